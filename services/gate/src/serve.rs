//! The listener: HTTP/1.1 and HTTP/2 on one port, with a limit for everything that a client could make grow.

use crate::check::Checker;
use crate::{State, envoy, plain};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use immune_runtime::tls::{Listener, Stream};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceExt;

/// Checks at once per connection of HTTP/2; a gateway has few connections and many requests.
const STREAMS_MAX: u32 = 1_024;
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How long the first request of a connection may take to come.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// How long a connection of HTTP/1.1 may rest between requests: longer than gateways let theirs rest, so that they are
/// the ones who close it.
const REST_MAX: Duration = Duration::from_secs(120);
/// How often a silent gateway is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WAIT: Duration = Duration::from_secs(10);
/// How long checks under way may take to end when the process does.
const END_MAX: Duration = Duration::from_secs(3);

/// Serves until the token is cancelled and checks under way are answered.
pub(crate) async fn run(
    listener: Listener,
    checker: Arc<Checker>,
    state: watch::Receiver<State>,
    shutdown: CancellationToken,
) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let grpc = Routes::new(envoy::service(checker.clone())).add_service(health);
    let router = plain::router(checker.clone()).merge(grpc.prepare().into_axum_router().reset_fallback());
    tokio::select! {
        () = serve(listener, router, &checker, shutdown) => {}
        () = keep_health(reporter, state) => {}
    }
}

/// Tells gRPC health: serving once the cases are known.
async fn keep_health(reporter: HealthReporter, mut state: watch::Receiver<State>) {
    loop {
        let status = match state.borrow_and_update().is_loaded {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        for service in ["", envoy::SERVICE] {
            reporter.set_service_status(service, status).await;
        }
        if state.changed().await.is_err() {
            // The follower has ended; the listener ends, too.
            std::future::pending::<()>().await;
        }
    }
}

async fn serve(mut listener: Listener, router: Router, checker: &Checker, shutdown: CancellationToken) {
    let mut open = JoinSet::new();
    let connections = &checker.metrics.connections;
    loop {
        connections.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        let has_room = open.len() < checker.config.connections_max;
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = open.join_next() => {}
            accepted = listener.accept(), if has_room => {
                open.spawn(connection(accepted.stream, router.clone(), shutdown.clone()));
            }
        }
    }
    drop(listener);
    let end = Instant::now() + END_MAX;
    while let Ok(Some(_)) = tokio::time::timeout_at(end, open.join_next()).await {}
    connections.set(0);
}

async fn connection(stream: Stream, router: Router, shutdown: CancellationToken) {
    let begun = Arc::new(AtomicBool::new(false));
    let service = {
        let begun = begun.clone();
        router.map_request(move |request: http::Request<_>| {
            begun.store(true, Ordering::Relaxed);
            request
        })
    };
    let builder = builder();
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = pin!(serving);
    let mut silence = pin!(tokio::time::sleep(HEAD_MAX));
    let (mut is_asked, mut is_ending) = (false, false);
    loop {
        tokio::select! {
            // How a connection fails is its gateway's affair.
            _ = serving.as_mut() => return,
            () = silence.as_mut(), if !is_asked => is_asked = true,
            () = shutdown.cancelled(), if !is_ending => {
                is_ending = true;
                serving.as_mut().graceful_shutdown();
            }
        }
        // Health checks of gateways connect and say nothing; they may not stay.
        if (is_asked || is_ending) && !begun.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(REST_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT);
    builder
}
