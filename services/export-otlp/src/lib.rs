//! OTLP out: vitals, severity and case events as OpenTelemetry metrics and logs, so that Prometheus, Grafana or a
//! vendor sees them beside everything else.
//!
//! An [`Observer`] of the stores: what was stored is told here afterwards, and never waits for the backend. What
//! cannot be sent is dropped by the SDK's bounded queues; the stores have it.
//!
//! - [`metrics`]: one instrument per vital, with `gen_ai.agent.*` attributes, bounded in agents.
//! - [`logs`]: one log record per case event and per row of the action log.
//!
//! To add an instrument: a field in [`metrics`], recorded from what the observer is given, and a line in
//! `observability/metrics.md`.

mod config;
mod error;
mod logs;
mod metrics;

pub use config::{Config, Protocol};
pub use error::Error;

use immune_domain::case::Case;
use immune_domain::healing::Healing;
use immune_domain::vitals::Vitals;
use immune_store::action_log::LogRow;
use immune_store::baselines::StoredProfile;
use immune_store::cases::NewEvent;
use immune_store::observed::Observer;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use std::time::Duration;

/// How long the last export may take when the process stops.
const FLUSH_MAX: Duration = Duration::from_secs(3);

/// The exporter; it sends in the background until [`Exporter::shutdown`].
pub struct Exporter {
    metrics: metrics::Metrics,
    logs: logs::Logs,
    meters: SdkMeterProvider,
    loggers: SdkLoggerProvider,
}

impl Exporter {
    /// Starts the exporter; `None` when no endpoint is configured. Must be called within a tokio runtime. A backend
    /// that is away is no error.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn start(config: &Config) -> Result<Option<Self>, Error> {
        let Some(endpoint) = &config.endpoint else {
            return Ok(None);
        };
        let headers = config.read_headers()?;
        let resource = Resource::builder()
            .with_service_name(config.service_name.clone())
            .build();
        let meters = metrics::provider(config, endpoint, &headers, resource.clone())?;
        let loggers = logs::provider(config, endpoint, &headers, resource)?;
        Ok(Some(Exporter {
            metrics: metrics::Metrics::new(&meters),
            logs: logs::Logs::new(&loggers),
            meters,
            loggers,
        }))
    }

    /// Sends what waits. The SDK blocks meanwhile, so it happens on a thread of its own.
    pub async fn flush(&self) {
        let (meters, loggers) = (self.meters.clone(), self.loggers.clone());
        let flush = tokio::task::spawn_blocking(move || [meters.force_flush(), loggers.force_flush()]);
        if let Ok(ended) = flush.await {
            for error in ended.into_iter().filter_map(Result::err) {
                tracing::warn!(%error, "telemetry was not sent in full");
            }
        }
    }

    /// Sends what waits, and stops. The SDK blocks meanwhile, so it happens on a thread of its own.
    pub async fn shutdown(&self) {
        let (meters, loggers) = (self.meters.clone(), self.loggers.clone());
        let flush = tokio::task::spawn_blocking(move || {
            [
                meters.shutdown_with_timeout(FLUSH_MAX),
                loggers.shutdown_with_timeout(FLUSH_MAX),
            ]
        });
        match flush.await {
            Ok(ended) => {
                for error in ended.into_iter().filter_map(Result::err) {
                    tracing::warn!(%error, "the last telemetry was not sent in full");
                }
            }
            Err(error) => tracing::warn!(%error, "the last telemetry was not sent"),
        }
    }
}

impl Observer for Exporter {
    fn vitals(&self, batch: &[Vitals]) {
        self.metrics.vitals(batch);
    }

    fn profiles(&self, _batch: &[StoredProfile]) {}

    fn case(&self, case: &Case, events: &[NewEvent]) {
        self.metrics.case(case, events);
        self.logs.events(case, events);
    }

    fn healing(&self, healing: &Healing) {
        self.metrics.healing(healing);
    }

    fn log(&self, rows: &[LogRow]) {
        self.logs.rows(rows);
    }
}
