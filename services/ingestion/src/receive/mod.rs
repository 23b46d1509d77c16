//! OTLP in: the two listeners, what may come through them, and how they answer.
//!
//! - [`http`], [`grpc`]: the protocols; they translate and nothing else.
//! - [`connections`]: the listeners' connections, and their end.
//! - [`admission`]: how much may be under way. [`body`]: reading and inflating within it, the same for both.
//! - [`weight`]: what a request will take once decoded. [`message`]: reading or decoding it.
//! - [`gate`]: all of this in front of tonic.
//! - [`caller`]: who sends, and for which run. [`refused`]: answers by HTTP to what is not taken.
//!
//! The specification followed: OTLP 1.9 (opentelemetry.io/docs/specs/otlp).

mod admission;
mod body;
mod caller;
mod connections;
mod gate;
mod grpc;
mod http;
mod message;
mod refused;
mod weight;

use crate::assemble::Accepted;
use crate::service::NotTaken;
use crate::{Config, Service};
use admission::Admission;
use caller::Run;
use connections::{Limits, Protocol};
use immune_runtime::grpc::server::bind;
use immune_runtime::tls::{Listener, Protocols};
use message::Traces;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The two listeners, bound and not served yet.
pub struct Receivers {
    grpc: TcpListener,
    http: TcpListener,
    addresses: (SocketAddr, SocketAddr),
}

/// What both protocols need.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) service: Service,
    pub(crate) admission: Arc<Admission>,
}

impl Door {
    /// Hands the spans of a request to the service.
    async fn traces(&self, run: &Run, traces: &Traces) -> Result<Accepted, NotTaken> {
        match traces {
            Traces::Checked(checked) => self.service.traces(run.runs(), checked.view()).await,
            Traces::Decoded(request) => self.service.traces(run.runs(), request).await,
        }
    }
}

impl Receivers {
    /// Binds both listeners.
    ///
    /// # Errors
    /// When an address is taken; the message names it and its setting.
    pub async fn bind(config: &Config) -> std::io::Result<Self> {
        let grpc = bind(config.grpc_listen, "OTLP over gRPC (ingestion.grpc_listen)").await?;
        let http = bind(config.http_listen, "OTLP over HTTP (ingestion.http_listen)").await?;
        let addresses = (grpc.local_addr()?, http.local_addr()?);
        Ok(Receivers {
            grpc,
            http,
            addresses,
        })
    }

    /// Where OTLP over gRPC comes in.
    pub fn grpc_address(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Where OTLP over HTTP comes in.
    pub fn http_address(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Serves both, and runs the service behind them, until the token is cancelled: then requests under way are
    /// answered, open traces finished, and everything stored.
    ///
    /// # Errors
    /// When a listener fails, and when its certificate cannot be used.
    pub async fn run(self, service: Service, shutdown: CancellationToken) -> std::io::Result<()> {
        let door = Door {
            admission: Arc::new(Admission::new(service.config(), service.metrics())),
            service: service.clone(),
        };
        let connections = Arc::new(Semaphore::new(service.config().connections_max));
        let limits = |protocol| Limits {
            protocol,
            connections: connections.clone(),
            silence_max: door.admission.body_time_max,
        };
        let (of_grpc, of_http) = (limits(Protocol::Http2), limits(Protocol::Http1));
        let (files, counts) = (service.config().tls.clone(), service.metrics().tls.clone());
        let door_of = |tcp, protocols| {
            Listener::for_door(tcp, files.as_ref(), protocols, &counts).map_err(std::io::Error::other)
        };
        let grpc = door_of(self.grpc, Protocols::Http2)?;
        let http = door_of(self.http, Protocols::Http1)?;
        let behind = CancellationToken::new();
        let running = tokio::spawn(service.run(behind.clone()));
        let served = tokio::try_join!(
            connections::serve(grpc, grpc::router(door.clone()), of_grpc, shutdown.clone()),
            connections::serve(http, http::router(door), of_http, shutdown)
        );
        // Only now, when every request has its answer, may what stands behind them end.
        behind.cancel();
        if let Err(error) = running.await {
            tracing::error!(%error, "ingestion failed");
        }
        served.map(|_| ())
    }
}
