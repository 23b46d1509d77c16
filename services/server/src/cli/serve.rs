//! `immune serve`: all roles in this process, or some of them.

use crate::config::{Checked, Config};
use crate::host::{self, Addresses};
use crate::roles::Role;
use immune_runtime::{clock, lifecycle, telemetry};
use std::net::SocketAddr;
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
    /// Run this role and not the others; may be given several times. The others are where `peers` says.
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<Role>,
}

/// Runs until a signal; drains and exits.
///
/// # Errors
/// When the configuration is wrong, an address is taken, or a part of the process fails.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut flags = flags(args.ephemeral);
    if !args.roles.is_empty() {
        let names: Vec<&str> = args.roles.iter().map(|role| role.as_str()).collect();
        flags.push((&["roles"], serde_json::to_string(&names)?));
    }
    let checked = Config::read(args.config.as_deref(), &flags)?;
    telemetry::start(&checked.config.log);
    warn(&checked);
    let shutdown = lifecycle::on_signal()?;
    let running = host::start(&checked, clock::system()).await?;
    announce(&checked.config.roles.0, &running.addresses);
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
    let has = |role| checked.config.has(role);
    let acts = has(Role::Quarantine) || has(Role::Healer);
    let levers = &checked.config.levers;
    if acts && levers.lifecycle.platforms().is_empty() && !levers.kubernetes.enabled {
        tracing::warn!(
            "no platform to act on: agents are watched, and can be neither contained nor healed \
             (levers.lifecycle, levers.kubernetes)"
        );
    }
}

fn announce(roles: &[Role], addresses: &Addresses) {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let shown = |address: Option<SocketAddr>| address.map(|address| address.to_string());
    tracing::info!(
        roles = names.join(","),
        otlp_grpc = shown(addresses.otlp_grpc),
        otlp_http = shown(addresses.otlp_http),
        rest = shown(addresses.rest),
        metrics = shown(addresses.metrics),
        gate = shown(addresses.gate),
        "immune has started",
    );
    for (role, address) in &addresses.grpc {
        tracing::debug!(role = role.as_str(), %address, "gRPC");
    }
    if let Some(otlp) = addresses.otlp_grpc {
        tracing::info!("agents need OTEL_EXPORTER_OTLP_ENDPOINT=http://{otlp}");
    }
}
