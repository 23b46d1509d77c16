//! The gRPC server of a role: its service, health and reflection, on the in-process channel and on a listener.
//!
//! - `door`: who the caller is, and whether it may call the method. The only such place.
//! - `connections`: connections and their end. `stream`: streams of answers, which end with the server.

mod connections;
mod door;
mod stream;

use crate::access::RoleToken;
use crate::metrics::Metrics;
use crate::tls::{Listener, ServerTls};
use connections::{FromListener, FromStream};
use door::{Door, Way};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

/// Who may connect, and how callers are told apart.
#[derive(Debug, Clone)]
pub enum ServerSecurity {
    /// Programs on this machine. Who presents the token is the roles that it names, anybody else is `loopback`.
    Loopback {
        /// The token of the roles, where they are several processes.
        token: Option<RoleToken>,
        /// Whether programs that present nothing may call.
        strangers: Strangers,
    },
    /// Processes whose certificate our authority has signed; the certificate names their roles.
    MutualTls(ServerTls),
}

/// Whether programs on this machine that present nothing may call; health and reflection are answered in any case. It
/// is asked at every call: a server that stands open closes when the first key is made.
#[derive(Clone)]
pub struct Strangers(Arc<dyn Fn() -> bool + Send + Sync>);

impl Strangers {
    /// As this says at the time of the call; it must not block.
    pub fn when(may_call: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Strangers(Arc::new(may_call))
    }

    /// They may call.
    pub fn welcome() -> Self {
        Strangers::when(|| true)
    }

    pub(super) fn may_call(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Strangers({})", self.may_call())
    }
}

/// Adds gRPC health and reflection to a role's services.
///
/// # Errors
/// When the descriptor set cannot be read, which is a defect of the build.
pub fn with_standard_services(
    routes: Routes,
) -> Result<(Routes, HealthReporter), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(immune_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok((routes.add_service(health).add_service(reflection), reporter))
}

/// Serves calls from roles of this process until the token is cancelled and calls under way have ended.
///
/// # Errors
/// Never at present; a connection's failure is its own.
pub async fn serve_in_process<S, IO>(
    routes: Routes,
    connections: S,
    shutdown: CancellationToken,
) -> io::Result<()>
where
    S: futures::Stream<Item = io::Result<IO>> + Send + 'static,
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    // Streams run on: who reads them is of this process and drains too.
    let door = Door::new(routes, Way::InProcess, Metrics::default(), None);
    connections::serve(FromStream::new(connections), door, shutdown).await;
    Ok(())
}

/// Serves calls from other processes until the token is cancelled: then streams of answers end with `UNAVAILABLE`,
/// calls under way are answered, for about ten seconds, and connections close.
///
/// # Errors
/// When the address is open to other machines and callers show no certificate.
pub async fn serve(
    routes: Routes,
    listener: TcpListener,
    security: ServerSecurity,
    metrics: &Metrics,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let (way, tls) = match security {
        ServerSecurity::Loopback { token, strangers } => {
            let address = listener.local_addr()?;
            if !address.ip().is_loopback() {
                let message = format!(
                    "gRPC on {address} needs mutual TLS: without it only a loopback address may listen"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            (Way::Loopback { token, strangers }, None)
        }
        ServerSecurity::MutualTls(tls) => (Way::MutualTls, Some(tls)),
    };
    let door = Door::new(routes, way, metrics.clone(), Some(shutdown.clone()));
    connections::serve(FromListener(Listener::new(listener, tls)), door, shutdown).await;
    Ok(())
}

/// Binds a listener and says where.
///
/// # Errors
/// With the address in the message, since "address already in use" alone helps nobody.
pub async fn bind(address: SocketAddr, what: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|e| io::Error::new(e.kind(), format!("cannot listen on {address} for {what}: {e}")))
}
