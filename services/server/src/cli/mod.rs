//! The command line: one file per command.
//!
//! Exit status: 0 done, 1 failed or refused, 2 wrong usage or configuration.

pub mod backtest;
pub mod baseline;
pub mod check_config;
pub mod client;
pub mod completions;
pub mod crds;
pub mod decide;
pub mod demo;
pub mod doctor;
pub mod failure;
pub mod get;
pub mod keys;
pub mod kubectl;
pub mod migrate;
pub mod openapi;
pub mod out;
pub mod pick;
pub mod replay;
pub mod serve;
pub mod simulate;
pub mod table;
pub mod uninstall;
pub mod verify_log;

use clap::{CommandFactory, Parser, Subcommand};
use immune_domain::case::Decision;
use immune_runtime::config::Mistakes;
use std::ffi::OsString;
use std::path::Path;
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
    /// Judge recorded executions once more, and write down every alarm.
    Replay(replay::Args),
    /// Judge the executions that a running server has on record once more, under another policy as well.
    Backtest(backtest::Args),
    /// Look at what is normal for an agent, and reset, freeze, pin, accept, export or import it.
    Baseline(baseline::Args),
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
    /// Print the definitions of the custom resources, as YAML.
    Crds,
    /// Decide on an AgentCase of the cluster that kubectl points at; also as `kubectl immune`.
    #[command(subcommand)]
    Kubectl(kubectl::Command),
    /// Release every agent that the Kubernetes lever contains, before the system is taken away.
    UninstallQuarantines(uninstall::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let cli = Cli::parse_from(arguments(std::env::args_os()));
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

/// The arguments, those of a plugin made into ours: kubectl runs `kubectl-immune approve ...` for `kubectl immune ...`.
fn arguments(given: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut given: Vec<OsString> = given.collect();
    let is_plugin = given.first().is_some_and(|program| {
        Path::new(program)
            .file_stem()
            .is_some_and(|name| name == "kubectl-immune")
    });
    if is_plugin {
        given.insert(1, "kubectl".into());
    }
    given
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        // In a box: it holds a whole configuration.
        Command::Demo(args) => Box::pin(demo::run(args)).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Replay(args) => replay::run(args).await,
        Command::Backtest(args) => backtest::run(args).await,
        Command::Baseline(args) => baseline::run(args).await,
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
        Command::Crds => crds::run(),
        Command::Kubectl(command) => kubectl::run(command).await,
        Command::UninstallQuarantines(args) => uninstall::run(args).await,
        Command::Completions(args) => completions::run(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: called as kubectl's plugin, the program takes the plugin's words.
    #[test]
    fn a_plugin_is_known_by_its_name() {
        let words = |given: &[&str]| arguments(given.iter().map(OsString::from));
        assert_eq!(words(&["/usr/bin/kubectl-immune", "approve", "c"])[1], "kubectl");
        assert_eq!(words(&["immune", "serve"]), ["immune", "serve"]);
    }

    /// Guarantees: the command line has no contradictions (clap's own check).
    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
