//! `immune check-config`: every mistake at once, or the whole configuration.

use crate::config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `immune check-config`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file, YAML.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Checks file and environment; prints the result as YAML, which is a valid file again once secrets are put in.
///
/// # Errors
/// Every mistake at once.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let checked = Config::read(args.config.as_deref(), &[])?;
    print!("{}", serde_norway::to_string(&checked.config)?);
    for warning in &checked.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(ExitCode::SUCCESS)
}
