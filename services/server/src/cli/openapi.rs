//! `immune openapi`: the REST API as OpenAPI 3.1.

use std::process::ExitCode;

/// Arguments of `immune openapi`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {}

/// Prints the document as JSON.
///
/// # Errors
/// When it cannot be written.
pub fn run(_args: &Args) -> anyhow::Result<ExitCode> {
    println!("{}", immune_dashboard::openapi().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}
