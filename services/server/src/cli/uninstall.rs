//! `immune uninstall-quarantines`: nobody stays contained by a system that is taken away.

use crate::config::Config;
use anyhow::bail;
use immune_levers_kubernetes::Kubernetes;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `immune uninstall-quarantines`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file of the server, as for `immune serve`.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Releases every agent that the Kubernetes lever contains in the namespaces that the configuration names. Running it
/// again changes nothing.
///
/// # Errors
/// When the configuration is wrong or has no Kubernetes lever, or the API server refuses or is away.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let checked = Config::read(args.config.as_deref(), &[])?;
    let config = &checked.config.levers.kubernetes;
    if !config.enabled {
        bail!(
            "levers.kubernetes is not enabled in this configuration: there is nothing that it could have contained"
        );
    }
    let removed = Kubernetes::connect(config).await?.release_everyone().await?;
    println!("{} policies removed", removed.policies);
    for workload in removed.workloads {
        println!("{workload} may act again");
    }
    Ok(ExitCode::SUCCESS)
}
