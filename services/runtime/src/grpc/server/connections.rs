//! Connections of the gRPC server: how they are served, and how they end.

use super::door::Door;
use crate::tls::certificate::Facts;
use crate::tls::{Accepted, Listener};
use futures::StreamExt;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at once; further ones wait in the system's queue. A role has a handful of callers.
const CONNECTIONS_MAX: usize = 4_096;
/// Calls and streams per connection.
const STREAMS_MAX: u32 = 4_096;
/// Calls that a client may give up at once before its connection is cut. Deadlines end many calls together when a
/// store stalls, and that must not cost the connection.
const RESETS_MAX: usize = 4_096;
/// What may be under way to us, bytes: of one call, of all.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// How often a silent client is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WAIT: Duration = Duration::from_secs(10);
/// How long calls under way may take to end when the server does.
const END_MAX: Duration = Duration::from_secs(12);

/// Where connections come from.
pub(super) trait Incoming {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection with what its client's certificate says; `None` when there will be none. Waiting for it
    /// may be given up at any time.
    fn next(&mut self) -> impl Future<Output = Option<(Self::Io, Option<Facts>)>> + Send;
}

/// Connections of a listener.
pub(super) struct FromListener(pub(super) Listener);

impl Incoming for FromListener {
    type Io = crate::tls::Stream;

    async fn next(&mut self) -> Option<(Self::Io, Option<Facts>)> {
        let Accepted {
            stream, certificate, ..
        } = self.0.accept().await;
        Some((stream, certificate))
    }
}

/// Connections of a stream.
pub(super) struct FromStream<S>(Pin<Box<S>>);

impl<S> FromStream<S> {
    pub(super) fn new(stream: S) -> Self {
        FromStream(Box::pin(stream))
    }
}

impl<S, IO> Incoming for FromStream<S>
where
    S: futures::Stream<Item = io::Result<IO>> + Send,
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = IO;

    async fn next(&mut self) -> Option<(IO, Option<Facts>)> {
        loop {
            match self.0.next().await? {
                Ok(connection) => return Some((connection, None)),
                Err(error) => tracing::warn!(%error, "a connection was not accepted"),
            }
        }
    }
}

/// Serves until the token is cancelled, and then until calls under way have ended or [`END_MAX`] is over.
pub(super) async fn serve(mut incoming: impl Incoming, door: Door, shutdown: CancellationToken) {
    let mut open = JoinSet::new();
    loop {
        let has_room = open.len() < CONNECTIONS_MAX;
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => {}
            next = incoming.next(), if has_room => match next {
                Some((io, certificate)) => {
                    open.spawn(connection(io, certificate, door.clone(), shutdown.clone()));
                }
                None => break,
            },
        }
    }
    let is_over = !shutdown.is_cancelled();
    drop(incoming);
    if is_over {
        // Nobody can connect any more; who is connected goes on.
        while !shutdown.is_cancelled() && !open.is_empty() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = open.join_next() => {}
            }
        }
    }
    let end = Instant::now() + END_MAX;
    while let Ok(Some(_)) = tokio::time::timeout_at(end, open.join_next()).await {}
    if !open.is_empty() {
        tracing::warn!(
            connections = open.len(),
            "cut off: their calls did not end in time"
        );
    }
}

async fn connection<IO>(io: IO, certificate: Option<Facts>, door: Door, shutdown: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answering = door.clone().answer(certificate, request);
        async move { Ok::<_, Infallible>(answering.await) }
    });
    let serving = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .serve_connection(TokioIo::new(io), service);
    let mut serving = pin!(serving);
    // A client is believed for as long as its certificate says, however long the connection lives.
    let expiry = async {
        match certificate {
            Some(certificate) => tokio::time::sleep(certificate.remaining()).await,
            None => std::future::pending().await,
        }
    };
    let mut expiry = pin!(expiry);
    let mut is_ending = false;
    loop {
        tokio::select! {
            // How a connection fails is its client's affair; the client sees it.
            _ = serving.as_mut() => return,
            () = expiry.as_mut() => {
                tracing::warn!("a connection was cut: the client's certificate has expired");
                return;
            }
            () = shutdown.cancelled(), if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}
