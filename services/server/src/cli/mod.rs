//! The command line: one file per command.
//!
//! Exit status: 0 done, 1 failed or refused, 2 wrong usage or configuration.

pub mod check_config;
pub mod client;
pub mod completions;
pub mod decide;
pub mod demo;
pub mod doctor;
pub mod failure;
pub mod get;
pub mod keys;
pub mod migrate;
pub mod openapi;
pub mod out;
pub mod pick;
pub mod serve;
pub mod simulate;
pub mod table;
pub mod uninstall;
pub mod verify_log;

use clap::{CommandFactory, Parser, Subcommand};
use immune_domain::case::Decision;
use immune_runtime::config::Mistakes;
use std::process::ExitCode;

/// Watches AI agents over OpenTelemetry, and contains and heals those that fall ill.
#[derive(Debug, Parser)]
#[command(name = "immune", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the system: all roles in this process.
    Serve(serve::Args),
    /// Run the system with simulated agents that fall ill.
    Demo(demo::Args),
    /// Run simulated agents alone, for a server that runs elsewhere.
    Simulate(simulate::Args),
    /// Bring the store to the newest schema.
    Migrate(migrate::Args),
    /// Check a configuration and print it whole, defaults included, secrets masked.
    CheckConfig(check_config::Args),
    /// Print the REST API as OpenAPI 3.1.
    Openapi(openapi::Args),
    /// Check a configuration and a running server, and say what to do next.
    Doctor(doctor::Args),
    /// Show what a running server knows.
    Get(get::Args),
    /// Approve the healing of cases that wait.
    Approve(decide::Args),
    /// Reject the healing of cases that wait; the agents stay quarantined.
    Reject(decide::Args),
    /// Heal cases at once, after a rejection too.
    HealNow(decide::Args),
    /// Release agents without healing.
    Release(decide::Args),
    /// Create, list and revoke API keys of a running server.
    Keys(keys::Args),
    /// Check whether anybody has changed the action log.
    VerifyLog(verify_log::Args),
    /// Release every agent that the Kubernetes lever contains, before the system is taken away.
    UninstallQuarantines(uninstall::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Another provider may be installed by a program that embeds us; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            if error.is::<Mistakes>() {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Openapi(args) => openapi::run(&args),
        Command::Doctor(args) => doctor::run(args).await,
        Command::Get(args) => get::run(args).await,
        Command::Approve(args) => decide::run(Decision::Approve, args).await,
        Command::Reject(args) => decide::run(Decision::Reject, args).await,
        Command::HealNow(args) => decide::run(Decision::HealNow, args).await,
        Command::Release(args) => decide::run(Decision::Release, args).await,
        Command::Keys(args) => keys::run(args).await,
        Command::VerifyLog(args) => verify_log::run(args).await,
        Command::UninstallQuarantines(args) => uninstall::run(args).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the command line has no contradictions (clap's own check).
    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
