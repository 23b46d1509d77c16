//! The in-process channel: real gRPC over an in-memory pipe, so that a caller cannot tell a role in its own
//! process from one in another.

use super::channel::RoleChannel;
use futures::stream::Stream;
use hyper_util::rt::TokioIo;
use std::io;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Endpoint, Uri};

/// Room in each direction of a pipe before the writer waits, bytes.
const PIPE_BYTES: usize = 256 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: usize = 16;

/// A channel to a role in this process, and the connections that its server accepts. The channel may be used
/// before the server runs; calls wait for it.
pub fn pair() -> (
    RoleChannel,
    impl Stream<Item = io::Result<DuplexStream>> + Send + 'static,
) {
    let (sender, receiver) = mpsc::channel::<DuplexStream>(BACKLOG);
    let connector = tower::service_fn(move |_: Uri| {
        let sender = sender.clone();
        async move {
            let (client, server) = tokio::io::duplex(PIPE_BYTES);
            sender
                .send(server)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::ConnectionRefused, "the role has stopped"))?;
            Ok::<_, io::Error>(TokioIo::new(client))
        }
    });
    let channel = Endpoint::from_static("http://in-process").connect_with_connector_lazy(connector);
    (channel.into(), ReceiverStream::new(receiver).map(Ok))
}
