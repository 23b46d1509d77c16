//! Connections: how many, how long they may be silent, and how they end.
//!
//! The servers that axum and tonic bring wait forever for a head that does not come, also when they are told to
//! stop; then open traces would never be flushed. This one serves both protocols, and gives up on such senders.

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use immune_door::Peer;
use immune_runtime::tls::{Listener, Stream};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Streams of HTTP/2 per connection: a sender that opens more waits its turn.
const STREAMS_MAX: u32 = 64;
/// Bytes that a sender may have under way before it is heard: a request of 512 spans has about 400 kB, so that it comes in
/// one go, and a connection has two of them beside each other.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// The largest frame that a sender may send; each costs a look-up and a wake-up, whatever its size.
const FRAME_BYTES_MAX: u32 = 64 * 1024;
/// How often a silent peer of HTTP/2 is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(60);
const PING_WAIT: Duration = Duration::from_secs(20);
/// How long requests under way may take to end when the process does. Who gets no answer repeats the request.
const END_MAX: Duration = Duration::from_secs(8);

/// What a listener speaks. Telling by the first bytes would need a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What connections of a listener may do.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) protocol: Protocol,
    /// Connections at once, of all listeners that share this; further ones wait in the system's queue.
    pub(super) connections: Arc<Semaphore>,
    /// How long the first request, and any request's head, may take to come.
    pub(super) silence_max: Duration,
}

/// Serves until the token is cancelled, and then until requests under way are answered or [`END_MAX`] is over.
///
/// # Errors
/// Never at present; a connection's failure is its own.
pub(super) async fn serve(
    mut listener: Listener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut open = JoinSet::new();
    loop {
        let accept = async {
            // Never closed.
            let place = limits.connections.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => continue,
            accepted = accept => accepted,
        };
        let peer = ConnectInfo(Peer(accepted.address));
        let connection = connection(
            accepted.stream,
            peer,
            router.clone(),
            limits.clone(),
            shutdown.clone(),
        );
        open.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(listener);
    let end = Instant::now() + END_MAX;
    while let Ok(Some(_)) = tokio::time::timeout_at(end, open.join_next()).await {}
    if !open.is_empty() {
        tracing::warn!(
            connections = open.len(),
            "cut off: their requests did not end in time"
        );
    }
    Ok(())
}

async fn connection(
    stream: Stream,
    peer: ConnectInfo<Peer>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let begun = Arc::new(AtomicBool::new(false));
    let service = {
        let begun = begun.clone();
        router.map_request(move |mut request: http::Request<_>| {
            begun.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(peer);
            request
        })
    };
    let builder = builder(&limits);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = pin!(serving);
    let mut silence = pin!(tokio::time::sleep(limits.silence_max));
    let (mut is_asked, mut is_ending) = (false, false);
    loop {
        tokio::select! {
            // How a connection fails is its sender's affair.
            _ = serving.as_mut() => return,
            () = silence.as_mut(), if !is_asked => is_asked = true,
            () = shutdown.cancelled(), if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
        if (is_asked || is_ending) && !begun.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let builder = Builder::new(TokioExecutor::new());
    let mut builder = match limits.protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    };
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.silence_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT);
    builder
}
