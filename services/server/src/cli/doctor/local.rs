//! Checks of this machine: the configuration and the place of the store.

use super::finding::Finding;
use crate::config::{Checked, Config};
use std::path::Path;

/// Reads the configuration; a server is checked by the defaults when it has mistakes.
pub fn configuration(file: Option<&Path>) -> (Config, Vec<Finding>) {
    let from = file.map_or("defaults and environment".to_owned(), |file| {
        file.display().to_string()
    });
    match Config::read(file, &[]) {
        Ok(Checked { config, warnings, .. }) => {
            let mut findings = vec![Finding::ok("configuration", format!("no mistakes in {from}"))];
            let warned = warnings
                .into_iter()
                .map(|said| Finding::warning("configuration", said, ""));
            findings.extend(warned);
            (config, findings)
        }
        Err(mistakes) => {
            let each = mistakes.0.iter().map(|mistake| {
                let next = "correct it; the other checks go by the defaults";
                Finding::failed("configuration", mistake, next)
            });
            (Config::default(), each.collect())
        }
    }
}

/// Whether the store can be there. A running server's store is asked over REST.
pub async fn store(config: &Config) -> Finding {
    if config.store.is_shared() {
        return database(config).await;
    }
    file(config)
}

/// Whether the database server answers and has the schema of this program.
async fn database(config: &Config) -> Finding {
    let shown = config.store.shown();
    let options = immune_store_postgres::Options {
        url: config.store.url.clone(),
        limits: config.store.postgres.clone(),
    };
    let checked = match immune_store_postgres::PostgresStore::open(options) {
        Ok(store) => store.check_schema().await,
        Err(error) => Err(error),
    };
    match checked {
        Ok(()) => Finding::ok(
            "database",
            format!("{shown} answers and has the schema of this program"),
        ),
        Err(error) => {
            let next = "start the database, correct store.url, or run `immune migrate`, as the message says";
            Finding::failed("database", format!("{shown}: {error}"), next)
        }
    }
}

fn file(config: &Config) -> Finding {
    let Some(path) = config.sqlite_path() else {
        let next = "set store.url to sqlite:PATH to keep cases over a restart";
        return Finding::warning("store file", "in memory: nothing survives a restart", next);
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let shown = path.display();
    let next = "create it, or set store.url to a path that this user may write";
    match (std::fs::metadata(directory), std::fs::metadata(&path)) {
        (Err(error), _) => Finding::failed("store file", format!("{}: {error}", directory.display()), next),
        (Ok(meta), _) if meta.permissions().readonly() => Finding::failed(
            "store file",
            format!("{} is read-only", directory.display()),
            next,
        ),
        (Ok(_), Ok(meta)) if !meta.is_file() => {
            Finding::failed("store file", format!("{shown} is no file"), next)
        }
        (Ok(_), Ok(meta)) if meta.permissions().readonly() => {
            Finding::failed("store file", format!("{shown} is read-only"), next)
        }
        (Ok(_), Ok(meta)) => Finding::ok(
            "store file",
            format!("{shown}, {:.1} MiB", meta.len() as f64 / 1_048_576.0),
        ),
        (Ok(_), Err(_)) => Finding::ok(
            "store file",
            format!("{shown} will be created at the first start"),
        ),
    }
}
