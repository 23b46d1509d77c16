//! From configuration to backends: the only place, beside [`crate::bus`], that names one.

use crate::config::Config;
use crate::roles::Role;
use anyhow::Context;
use immune_export_otlp::Exporter;
use immune_levers::Levers;
use immune_levers_kubernetes::Kubernetes;
use immune_levers_lifecycle::Lifecycle;
use immune_runtime::health::{Condition, Readiness};
use immune_store::observed::{Observer, observe};
use immune_store::{Stores, VitalsStore};
use immune_store_influx::InfluxStore;
use immune_store_postgres::{OpenError, PostgresStore};
use immune_store_sqlite::SqliteStore;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time between two looks at whether a database answers.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The stores of a process, and what must be closed at its end.
pub struct Backends {
    /// Every contract that the roles of this process use. The others are held in memory and used by nobody.
    pub stores: Stores,
    /// The means to act.
    pub levers: Levers,
    sqlite: Option<SqliteStore>,
    postgres: Option<PostgresStore>,
    influx: Option<InfluxStore>,
    exporter: Option<Arc<Exporter>>,
}

impl Backends {
    /// Opens what the configuration names. A database server that is away is no error: calls fail as unavailable
    /// until it is there.
    ///
    /// # Errors
    /// When a backend cannot be opened, or has another schema than this program's; the message says which and what
    /// to do.
    pub async fn open(config: &Config, registry: &mut Registry) -> anyhow::Result<Self> {
        let levers = levers(config).await?;
        let uses_workflow = config.roles.0.iter().any(|role| role.needs_workflow());
        let uses_vitals = config.roles.0.iter().any(|role| role.needs_vitals());

        let mut stores = immune_store::memory::stores();
        let mut sqlite = None;
        let mut postgres = None;
        if let Some(path) = config.sqlite_path().filter(|_| uses_workflow) {
            let store = SqliteStore::open(&path).await?;
            stores = store.stores();
            sqlite = Some(store);
        } else if config.store.is_shared() && (uses_workflow || uses_vitals) {
            let store = open_postgres(config).await?;
            stores = store.stores();
            postgres = Some(store);
        }
        let mut influx = None;
        if let Some(settings) = &config.influx {
            let metrics = immune_store_influx::Metrics::register(registry);
            let store = InfluxStore::open(settings.clone(), metrics).await?;
            if uses_vitals {
                stores.vitals = store.vitals();
            }
            stores = observe(stores, store.mirror());
            influx = Some(store);
        }
        let exporter = Exporter::start(&config.telemetry)
            .context("telemetry cannot be sent")?
            .map(Arc::new);
        if let Some(exporter) = &exporter {
            let observer: Arc<dyn Observer> = exporter.clone();
            stores = observe(stores, observer);
        }
        Ok(Backends {
            stores,
            levers,
            sqlite,
            postgres,
            influx,
            exporter,
        })
    }

    /// Keeps the readiness of the process up to date with its database servers.
    pub fn report(&self, readiness: &Readiness, shutdown: &CancellationToken) {
        if let Some(postgres) = self.postgres.clone() {
            let ask = move || {
                let postgres = postgres.clone();
                async move { postgres.ping().await }
            };
            keep(readiness.condition("PostgreSQL"), ask, shutdown.clone());
        }
        if self.influx.is_some() {
            let vitals = self.stores.vitals.clone();
            let ask = move || {
                let vitals = vitals.clone();
                async move { VitalsStore::ping(&*vitals).await }
            };
            keep(readiness.condition("InfluxDB"), ask, shutdown.clone());
        }
    }

    /// Finishes queued writes.
    pub async fn close(self) {
        if let Some(exporter) = self.exporter {
            exporter.shutdown().await;
        }
        if let Some(influx) = self.influx {
            influx.close().await;
        }
        if let Some(postgres) = self.postgres {
            postgres.close().await;
        }
        if let Some(sqlite) = self.sqlite {
            sqlite.close().await;
        }
    }
}

/// The levers that the configuration names. Only who acts gets any.
async fn levers(config: &Config) -> anyhow::Result<Levers> {
    let lever = Lifecycle::new(&config.levers.lifecycle).context("levers.lifecycle cannot be built")?;
    let levers = Levers::default().with(Arc::new(lever));
    let acts = config.has(Role::Quarantine) || config.has(Role::Healer);
    if !acts || !config.levers.kubernetes.enabled {
        return Ok(levers);
    }
    let lever = Kubernetes::connect(&config.levers.kubernetes)
        .await
        .context("levers.kubernetes cannot be built")?;
    Ok(levers.with(Arc::new(lever)))
}

/// Names of the backends that a configuration asks for.
pub(crate) fn deployment(config: &Config) -> immune_dashboard::Deployment {
    let workflow = match (config.sqlite_path(), config.store.is_shared()) {
        (Some(_), _) => "sqlite",
        (None, true) => "postgres",
        (None, false) => "memory",
    };
    immune_dashboard::Deployment {
        bus: crate::bus::name(config),
        workflow,
        vitals: if config.influx.is_some() {
            "influx"
        } else {
            workflow
        },
    }
}

async fn open_postgres(config: &Config) -> anyhow::Result<PostgresStore> {
    let store = PostgresStore::open(immune_store_postgres::Options {
        url: config.store.url.clone(),
        limits: config.store.postgres.clone(),
    })?;
    match store.check_schema().await {
        Ok(()) => Ok(store),
        Err(error @ OpenError::Away { .. }) => {
            tracing::warn!(%error, "the database is away; this process starts and waits for it");
            Ok(store)
        }
        Err(error) => Err(error.into()),
    }
}

/// Asks again and again, and says in the readiness what came of it.
pub(crate) fn keep<F, E>(
    condition: Condition,
    ask: impl Fn() -> F + Send + 'static,
    shutdown: CancellationToken,
) where
    F: Future<Output = Result<(), E>> + Send,
    E: std::error::Error + Send + Sync + 'static,
{
    tokio::spawn(async move {
        loop {
            match ask().await {
                Ok(()) => condition.ok(),
                Err(error) => condition.not(format!("{:#}", anyhow::Error::new(error))),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    });
}
