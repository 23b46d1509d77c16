//! `immune demo`: the whole system with simulated agents that fall ill, told in one line per event.

mod narrator;
mod summary;

use super::serve;
use crate::config::{Config, Roles};
use crate::host;
use anyhow::Context;
use immune_runtime::access::with_person;
use immune_runtime::{clock, lifecycle, telemetry};
use immune_simulator::Simulator;
use narrator::Narrator;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

/// Arguments of `immune demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file, YAML; the store is in memory unless it names one.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A healthy agent falls ill this often, seconds.
    #[arg(long, default_value_t = 20.0, value_name = "SECONDS")]
    infect_every: f64,
    /// Agents.
    #[arg(long, default_value_t = 12, value_name = "N")]
    agents: usize,
    /// The same seed gives the same infections.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Approve severe cases after this time, as a person would; without it they wait for you.
    #[arg(long, value_name = "SECONDS")]
    approve_after: Option<f64>,
    /// End after this time, with a summary; without it the demo runs until it is stopped.
    #[arg(long, env = "RUN_DURATION_SECONDS", value_name = "SECONDS")]
    run_seconds: Option<f64>,
    /// Listen on any free ports instead of the usual ones.
    #[arg(long)]
    any_ports: bool,
}

/// Runs the demo.
///
/// # Errors
/// When an address is taken, or a part of the process fails.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let seconds = |value: f64, name: &str| {
        Duration::try_from_secs_f64(value)
            .with_context(|| format!("{name} = {value}: must be a time in seconds"))
    };
    let infect_every = seconds(args.infect_every, "--infect-every")?;
    let approve_after = args
        .approve_after
        .map(|s| seconds(s, "--approve-after"))
        .transpose()?;
    let run_for = args
        .run_seconds
        .map(|s| seconds(s, "--run-seconds"))
        .transpose()?;

    // The server has to know where the platform is, and the platform's agents where the server is. So the platform's
    // port is chosen here, the server starts with it, and the agents start last.
    let mut checked = Config::read(args.config.as_deref(), &serve::flags(args.config.is_none()))?;
    if args.any_ports {
        any_ports(&mut checked.config);
    }
    let lifecycle = TcpListener::bind("127.0.0.1:0")
        .await
        .context("a port for the simulated platform")?;
    let platform = lifecycle.local_addr()?;
    drop(lifecycle);
    checked.config.levers.lifecycle =
        immune_levers_lifecycle::Config::for_everyone(format!("http://{platform}"));
    checked.config.log.filter = "warn".to_owned();
    checked.config.roles = Roles::default();
    telemetry::start(&checked.config.log);

    let shutdown = lifecycle::on_signal()?;
    let running = host::start(&checked, clock::system()).await?;
    let otlp = running
        .addresses
        .otlp_grpc
        .context("the demo runs every role in this process")?;
    let agents = Simulator::start(immune_simulator::Config {
        otlp_endpoint: format!("http://{otlp}"),
        agents: args.agents,
        seed: args.seed,
        infect_every: Some(infect_every),
        listen: platform,
        ..immune_simulator::Config::default()
    })
    .await?;

    let narrator = Narrator::start(&running, clock::system());
    narrator.opening(&args.agents, infect_every, approve_after, args.seed);
    let events = agents.events();
    let end = shutdown.child_token();
    let telling = tokio::spawn(narrator.clone().platform(events, end.clone()));
    let listening = tokio::spawn(narrator.clone().cases(
        running.channels.clone(),
        approve_after,
        end.clone(),
    ));
    if let Some(run_for) = run_for {
        let end = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(run_for).await;
            end.cancel();
        });
    }
    let channels = running.channels.clone();
    let ended = running.until_after(shutdown, async {
        let summary = summary::read(channels, &narrator).await;
        agents.stop().await;
        summary
    });
    let (summary, ended) = ended.await;
    end.cancel();
    let _ = tokio::join!(telling, listening);
    summary.print();
    ended?;
    Ok(ExitCode::SUCCESS)
}

fn any_ports(config: &mut Config) {
    config.grpc.first_port = 0;
    for address in [
        &mut config.dashboard.listen,
        &mut config.ingestion.grpc_listen,
        &mut config.ingestion.http_listen,
        &mut config.metrics.listen,
    ] {
        address.set_port(0);
    }
}

/// Who approves in an unattended demo.
fn demo_person() -> immune_domain::case::Person {
    immune_domain::case::Person {
        subject: "demo".to_owned(),
        via: "loopback".to_owned(),
    }
}

/// A decision as the demo's own person.
fn as_demo<T>(message: T) -> tonic::Request<T> {
    with_person(message, &demo_person())
}
