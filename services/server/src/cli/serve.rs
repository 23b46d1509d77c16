//! `immune serve`: all roles in this process.

use crate::config::{Checked, Config};
use crate::host::{self, Addresses};
use immune_runtime::{clock, lifecycle, telemetry};
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `immune serve`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file, YAML.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep nothing: every store in memory.
    #[arg(long)]
    ephemeral: bool,
}

/// Runs until a signal; drains and exits.
///
/// # Errors
/// When the configuration is wrong, an address is taken, or a part of the process fails.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let flags = flags(args.ephemeral);
    let checked = Config::read(args.config.as_deref(), &flags)?;
    telemetry::start(&checked.config.log);
    warn(&checked);
    let shutdown = lifecycle::on_signal()?;
    let running = host::start(&checked, clock::system()).await?;
    announce(&running.addresses);
    running.until(shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

/// Settings that the flags stand for.
pub fn flags(ephemeral: bool) -> Vec<(&'static [&'static str], String)> {
    if ephemeral {
        vec![(&["store", "url"], "memory:".to_owned())]
    } else {
        Vec::new()
    }
}

fn warn(checked: &Checked) {
    for warning in &checked.warnings {
        tracing::warn!("{warning}");
    }
    if checked.keys.is_empty() {
        tracing::warn!("no API keys: everybody on this machine may do everything (access.api_keys)");
    }
    if checked.config.levers.lifecycle.bases.is_empty() {
        tracing::warn!(
            "no platform to act on: agents are watched, and can be neither contained nor healed (levers.lifecycle.bases)"
        );
    }
}

fn announce(addresses: &Addresses) {
    tracing::info!(
        otlp_grpc = %addresses.otlp_grpc,
        otlp_http = %addresses.otlp_http,
        rest = %addresses.rest,
        metrics = ?addresses.metrics,
        "immune is ready; agents need OTEL_EXPORTER_OTLP_ENDPOINT=http://{}",
        addresses.otlp_grpc,
    );
}
