//! `immune doctor`: is everything there that the main job needs? One line per check, with what to do next.
//!
//! To add a check: a function in `doctor/` that returns a [`Finding`], and its line in [`run`].

mod finding;
mod levers;
mod local;
mod otlp;
mod rest;
mod roles;
mod targets;

use super::client::{Client, Output, Server};
use super::out;
use finding::{Finding, Level};
use immune_runtime::clock;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use targets::Targets;

/// Arguments of `immune doctor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file of the server, as for `immune serve`.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    server: Server,
}

/// Checks the configuration and the running server. The exit status is 1 when a check failed; warnings leave it 0.
///
/// # Errors
/// When standard output cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut report = Report {
        output: args.server.output,
        findings: Vec::new(),
    };
    let (config, findings) = local::configuration(args.config.as_deref());
    report.add(findings)?;
    report.add([local::store(&config).await, levers::configured(&config)])?;
    report.add(levers::reachable(&config).await)?;

    let clock = clock::system();
    let client = match Client::new(&args.server) {
        Ok(client) => client,
        Err(failure) => {
            report.add([Finding::failed("REST", failure.to_string(), "")])?;
            return report.end();
        }
    };
    let (is_there, findings) = rest::reachable(&client, &clock).await;
    report.add(findings)?;
    let targets = Targets::of(&config, &args.server.server);
    if is_there {
        report.add([
            rest::access(&client).await,
            rest::agents(&client).await,
            levers::answers(&client).await,
        ])?;
        // Before the OTLP probes, which arrive there as well.
        report.add(roles::system(&client, targets.roles.is_empty()).await)?;
    }

    let key = args.server.api_key.as_ref();
    if let Some(place) = &targets.otlp_grpc {
        report.add([otlp::grpc(place, key).await])?;
    }
    if let Some(place) = &targets.otlp_http {
        report.add([otlp::http(place, key).await])?;
    }
    for (role, place) in &targets.roles {
        report.add([roles::health(*role, place).await])?;
    }
    if let Some(place) = &targets.metrics {
        report.add([rest::metrics(place).await])?;
    }
    report.end()
}

/// Prints findings as they come, and counts them.
struct Report {
    output: Output,
    findings: Vec<Finding>,
}

impl Report {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) -> io::Result<()> {
        for finding in findings {
            match self.output {
                Output::Table => out::line(&finding.line())?,
                Output::Json => {}
            }
            self.findings.push(finding);
        }
        Ok(())
    }

    fn end(self) -> anyhow::Result<ExitCode> {
        let count = |level| {
            self.findings
                .iter()
                .filter(|finding| finding.level == level)
                .count()
        };
        let (ok, warnings, failed) = (count(Level::Ok), count(Level::Warning), count(Level::Failed));
        match self.output {
            Output::Table => out::line(&format!("\n{ok} ok, {warnings} to look at, {failed} failed"))?,
            Output::Json => {
                let checks: Vec<Value> = self.findings.iter().map(Finding::to_json).collect();
                let report = json!({ "ok": ok, "warnings": warnings, "failed": failed, "checks": checks });
                out::line(&serde_json::to_string_pretty(&report)?)?;
            }
        }
        Ok(if failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
