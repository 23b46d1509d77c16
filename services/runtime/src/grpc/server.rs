//! The gRPC server of a role: its service, health and reflection, on the in-process channel and on a listener.

use crate::access::{Origin, SUBJECT, VIA};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tower::util::MapRequestLayer;

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
/// When the transport fails.
pub async fn serve_in_process<S, IO>(
    routes: Routes,
    connections: S,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    S: futures::Stream<Item = io::Result<IO>> + Send + 'static,
    IO: tokio::io::AsyncRead
        + tokio::io::AsyncWrite
        + Send
        + Unpin
        + 'static
        + tonic::transport::server::Connected,
{
    Server::builder()
        .layer(MapRequestLayer::new(|mut request: http::Request<_>| {
            request.extensions_mut().insert(Origin::InProcess);
            request
        }))
        .add_routes(routes)
        .serve_with_incoming_shutdown(connections, shutdown.cancelled_owned())
        .await
}

/// Serves calls from a loopback listener. Identity metadata that arrives here is removed: it may come from
/// anyone on this machine, so the caller is `loopback` and nobody else.
///
/// # Errors
/// When the transport fails.
pub async fn serve_loopback(
    routes: Routes,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    Server::builder()
        .layer(MapRequestLayer::new(|mut request: http::Request<_>| {
            request.headers_mut().remove(SUBJECT);
            request.headers_mut().remove(VIA);
            request.extensions_mut().insert(Origin::Loopback);
            request
        }))
        .add_routes(routes)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
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
