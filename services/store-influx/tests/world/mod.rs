//! A database of its own on the shared server.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use immune_store_influx::{Config, InfluxStore, Metrics, Secret};
use immune_test_servers::Influx;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A store on a database that nothing else uses.
pub struct World {
    store: Option<InfluxStore>,
    config: Config,
    pub metrics: Metrics,
    pub folder: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let server = Influx::shared().await;
        Self::on(&server.url(), server.user(), |config| config).await
    }

    /// With options changed.
    pub async fn on(
        url: &str,
        (user, password): (&str, &str),
        change: impl FnOnce(Config) -> Config,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let n = DATABASES.fetch_add(1, Ordering::Relaxed);
        let config = change(Config {
            url: url.to_owned(),
            database: format!("test {n} \"quoted\""),
            user: Some(user.to_owned()),
            password: Some(Secret::new(password)),
            spill_dir: Some(folder.path().join("spill")),
            ..Config::default()
        });
        let metrics = Metrics::default();
        let store = InfluxStore::open(config.clone(), metrics.clone()).await.unwrap();
        store.create_database().await.unwrap();
        World {
            store: Some(store),
            config,
            metrics,
            folder,
        }
    }

    pub fn store(&self) -> &InfluxStore {
        self.store.as_ref().unwrap()
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same database and spill in a new process, as far as the store can tell.
    pub async fn restart(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await;
        }
        self.store = Some(
            InfluxStore::open(self.config.clone(), self.metrics.clone())
                .await
                .unwrap(),
        );
    }
}

/// Waits until something holds, at most a minute.
pub async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < deadline, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
