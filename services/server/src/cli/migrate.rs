//! `immune migrate`: the store at the newest schema.

use crate::config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `immune migrate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Configuration file of the server, as for `immune serve`.
    #[arg(short, long, env = "IMMUNE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Migrates the store that the configuration names. Running it again changes nothing.
///
/// # Errors
/// When the configuration is wrong, the database is away, the file cannot be opened, or a server has it open.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let checked = Config::read(args.config.as_deref(), &[])?;
    let store = &checked.config.store;
    if store.is_shared() {
        let migrated = immune_store_postgres::migrate(&store.url).await?;
        match migrated.applied.as_slice() {
            [] => println!("{}: schema {} is the newest", store.shown(), migrated.to),
            applied => println!(
                "{}: schema {} -> {} ({})",
                store.shown(),
                migrated.from,
                migrated.to,
                applied.join(", ")
            ),
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Some(path) = checked.config.sqlite_path() else {
        println!("the store is in memory: there is nothing to migrate");
        return Ok(ExitCode::SUCCESS);
    };
    let migrated = immune_store_sqlite::migrate(&path).await?;
    if migrated.from == migrated.to {
        println!("{}: schema {} is the newest", path.display(), migrated.to);
    } else {
        println!("{}: schema {} -> {}", path.display(), migrated.from, migrated.to);
    }
    Ok(ExitCode::SUCCESS)
}
