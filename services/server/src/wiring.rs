//! From configuration to backends: the only place that names one.

use crate::config::Config;
use anyhow::Context;
use immune_levers::Levers;
use immune_levers_lifecycle::Lifecycle;
use immune_store::Stores;
use immune_store_sqlite::SqliteStore;
use std::sync::Arc;

/// The stores of a process, and what must be closed at its end.
pub struct Backends {
    /// Every contract.
    pub stores: Stores,
    /// The means to act.
    pub levers: Levers,
    sqlite: Option<SqliteStore>,
}

impl Backends {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// When a backend cannot be opened; the message says which and what to do.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        let lever = Lifecycle::new(&config.levers.lifecycle).context("levers.lifecycle cannot be built")?;
        let levers = Levers::default().with(Arc::new(lever));
        let Some(path) = config.sqlite_path() else {
            return Ok(Backends {
                stores: immune_store::memory::stores(),
                levers,
                sqlite: None,
            });
        };
        let sqlite = SqliteStore::open(&path).await?;
        Ok(Backends {
            stores: sqlite.stores(),
            levers,
            sqlite: Some(sqlite),
        })
    }

    /// Finishes queued writes.
    pub async fn close(&self) {
        if let Some(sqlite) = &self.sqlite {
            sqlite.close().await;
        }
    }
}
