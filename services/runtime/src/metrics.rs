//! What this room counts, and the `/metrics` endpoint in the OpenMetrics text format.

use crate::access::{RefusedCall, RoleName, Teller};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The role that was called.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RoleLabels {
    /// Its name.
    pub role: &'static str,
}

impl From<RoleName> for RoleLabels {
    fn from(role: RoleName) -> Self {
        RoleLabels { role: role.as_str() }
    }
}

/// The role that was called, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// Its name.
    pub role: &'static str,
    /// `ok` or `failed`; an answer that refuses is `ok`.
    pub outcome: &'static str,
}

/// Why a call was not let in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabels {
    /// `role` (it may not call this), `token` (a wrong one).
    pub reason: &'static str,
}

/// What calls between processes and TLS count. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub(crate) calls: Family<CallLabels, Counter>,
    pub(crate) retries: Family<RoleLabels, Counter>,
    pub(crate) retries_withheld: Family<RoleLabels, Counter>,
    pub(crate) ejections: Family<RoleLabels, Counter>,
    pub(crate) replicas_connected: Family<RoleLabels, Gauge>,
    pub(crate) owner_misses: Family<RoleLabels, Counter>,
    pub(crate) calls_refused: Family<RefusalLabels, Counter>,
    pub(crate) teller: Teller,
    pub(crate) tls: TlsMetrics,
}

/// What a listener or a caller with certificates counts. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    pub(crate) handshakes_failed: Counter,
    pub(crate) reloads: Counter,
    pub(crate) reload_failures: Counter,
    pub(crate) certificate_expires: Gauge,
}

impl TlsMetrics {
    /// Metrics that the registry serves, named `<prefix>_tls_...`.
    pub fn register(registry: &mut Registry, prefix: &str) -> Self {
        let m = TlsMetrics::default();
        let registry = registry
            .sub_registry_with_prefix(prefix)
            .sub_registry_with_prefix("tls");
        let help = "Connections refused in their TLS handshake";
        registry.register("handshakes_failed", help, m.handshakes_failed.clone());
        let help = "Changed certificate files that are in use now";
        registry.register("reloads", help, m.reloads.clone());
        let help = "Changed certificate files that could not be used";
        registry.register("reload_failures", help, m.reload_failures.clone());
        let help = "When the certificate in use expires, seconds since the epoch; 0: none";
        registry.register("certificate_expires", help, m.certificate_expires.clone());
        m
    }
}

impl Metrics {
    /// The calls that are counted as refused, for whoever writes them down; a second listener hears nothing. Those that
    /// find no room are counted all the same.
    pub fn refused_calls(&self) -> mpsc::Receiver<RefusedCall> {
        self.teller.listen()
    }

    /// Metrics that the registry serves, named `immune_runtime_...`.
    pub fn register(registry: &mut Registry) -> Self {
        let m = Metrics {
            tls: TlsMetrics::register(registry, "immune_runtime"),
            ..Metrics::default()
        };
        let registry = registry.sub_registry_with_prefix("immune_runtime");
        let help = "Calls to other processes, by role and outcome; repetitions count once";
        registry.register("calls", help, m.calls.clone());
        let help = "Calls to other processes that were repeated, by role";
        registry.register("retries", help, m.retries.clone());
        let help = "Calls that were not repeated because too many were, by role";
        registry.register("retries_withheld", help, m.retries_withheld.clone());
        let help = "Replicas left alone for a while because they failed, by role";
        registry.register("ejections", help, m.ejections.clone());
        let help = "Replicas that this process is connected to, by role";
        registry.register("replicas_connected", help, m.replicas_connected.clone());
        let help = "Calls to a replica that does not hold the agent's partition, by role";
        registry.register("owner_misses", help, m.owner_misses.clone());
        let help = "gRPC calls not let in, by reason";
        registry.register("calls_refused", help, m.calls_refused.clone());
        m
    }
}

/// Serves the registry until the token is cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    registry: Arc<Registry>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(registry))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

/// `/metrics`, for a listener that serves more than that.
pub(crate) fn router(registry: Arc<Registry>) -> Router {
    Router::new().route("/metrics", get(render)).with_state(registry)
}

async fn render(State(registry): State<Arc<Registry>>) -> impl IntoResponse {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    (
        [(
            header::CONTENT_TYPE,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        )],
        text,
    )
}
