//! `immune simulate`: simulated agents alone, for a server that runs elsewhere, such as a cluster that is being tried out.

use anyhow::{Context, bail};
use immune_runtime::{lifecycle, telemetry};
use immune_simulator::{AgentType, Simulator};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

/// Arguments of `immune simulate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the agents' telemetry goes: OTLP over gRPC.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        default_value = "http://127.0.0.1:4317",
        value_name = "URL"
    )]
    otlp: String,
    /// A file with the API key (role ingest) that the agents show.
    #[arg(long, env = "IMMUNE_API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// The run that they say they belong to.
    #[arg(long, default_value = "default", value_name = "RUN")]
    run: String,
    /// Agents.
    #[arg(long, default_value_t = 12, value_name = "N")]
    agents: usize,
    /// Their types, taken in turn; each is a service of its own, `TYPE-agents`.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "research,data,coordinator",
        value_name = "TYPES"
    )]
    types: Vec<AgentType>,
    /// A healthy agent falls ill this often, seconds; without it none does.
    #[arg(long, value_name = "SECONDS")]
    infect_every: Option<f64>,
    /// The same seed gives the same infections.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where the Agent Lifecycle API of these agents is served, HTTP. It wants a token beyond loopback.
    #[arg(long, default_value = "127.0.0.1:8099", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// A file with the token that callers of the Agent Lifecycle API must show.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Runs agents until it is told to stop.
///
/// # Errors
/// When a file cannot be read, an address is taken, or the API would be open to other machines.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let log = telemetry::Config {
        filter: "warn".to_owned(),
        ..telemetry::Config::default()
    };
    telemetry::start(&log);
    let token = args.token_file.as_deref().map(read).transpose()?;
    if token.is_none() && !args.listen.ip().is_loopback() {
        bail!(
            "--listen {}: beyond loopback the Agent Lifecycle API needs --token-file, or anybody could act on the agents",
            args.listen
        );
    }
    let mut headers = BTreeMap::new();
    if let Some(file) = &args.api_key_file {
        headers.insert("authorization".to_owned(), format!("Bearer {}", read(file)?));
    }
    let infect_every = args.infect_every.map(|seconds| {
        Duration::try_from_secs_f64(seconds)
            .with_context(|| format!("--infect-every = {seconds}: must be a time in seconds"))
    });
    let shutdown = lifecycle::on_signal()?;
    let agents = Simulator::start(immune_simulator::Config {
        otlp_endpoint: args.otlp.clone(),
        otlp_headers: headers,
        run: args.run,
        agents: args.agents,
        types: args.types,
        seed: args.seed,
        infect_every: infect_every.transpose()?,
        listen: args.listen,
        token,
        ..immune_simulator::Config::default()
    })
    .await?;
    let mut events = agents.events();
    say(&format!(
        "{} agents; telemetry to {}; Agent Lifecycle API at {}",
        args.agents,
        args.otlp,
        agents.lifecycle_base_url()
    ))?;
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => break,
            event = events.recv() => event,
        };
        match event {
            Ok(event) => say(&event.to_string())?,
            Err(RecvError::Lagged(missed)) => say(&format!("{missed} events were too fast to be told"))?,
            Err(RecvError::Closed) => break,
        }
    }
    agents.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn read(file: impl AsRef<std::path::Path>) -> anyhow::Result<String> {
    let file = file.as_ref();
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.trim().to_owned())
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("stdout")
}
