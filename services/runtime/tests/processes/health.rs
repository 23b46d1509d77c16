//! Readiness and liveness, over HTTP and gRPC.

use super::fake::{Fake, Replica, open, peers, quick, until};
use immune_runtime::grpc::{inproc, server};
use immune_runtime::health::{Readiness, serve};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

/// Scenario: a condition holds but deserves a word, then fails, then simply holds.
/// Guarantees: the word is said while the process stays ready, and only that long.
#[test]
fn a_remark_leaves_the_process_ready() {
    let readiness = Readiness::new();
    let store = readiness.condition("store");
    let said = || {
        let report = readiness.report();
        (report.ready, report.conditions["store"].reason.clone())
    };
    store.ok_but("answers as last known");
    assert_eq!(said(), (true, Some("answers as last known".to_owned())));
    store.not("is away");
    assert_eq!(said(), (false, Some("is away".to_owned())));
    store.ok();
    assert_eq!(said(), (true, None));
}

/// Scenario: a process that waits for its store and for another role, gets both, and drains.
/// Guarantees: `/readyz` says what is missing and why, `/livez` never minds, and a role's replica that comes and goes
/// shows.
#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_what_is_missing() {
    let readiness = Readiness::new();
    let store = readiness.condition("store");
    let mut gone = Replica::start();
    gone.kill();
    let peers = peers(&[&gone], &quick());
    peers.report(&readiness, CancellationToken::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let registry = Arc::new(Registry::default());
    tokio::spawn(serve(
        registry,
        readiness.clone(),
        listener,
        CancellationToken::new(),
    ));

    store.not("the database is away");
    until("both are said", async || {
        let (status, body) = get(address, "/readyz").await;
        status == 503
            && body.contains(r#""store":{"ok":false,"reason":"the database is away"}"#)
            && body.contains("baseline role")
            && body.contains("refused")
    })
    .await;
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/metrics").await.0, 200);

    store.ok();
    let mut back = Replica::start_at(gone.address, Fake::new(), |_| open());
    until("it is ready", async || get(address, "/readyz").await.0 == 200).await;
    let (_, body) = get(address, "/readyz").await;
    assert_eq!(
        body,
        r#"{"ready":true,"conditions":{"baseline role":{"ok":true},"store":{"ok":true}}}"#
    );
    back.kill();
    until("the loss is said", async || {
        get(address, "/readyz").await.0 == 503
    })
    .await;
    let _again = Replica::start_at(gone.address, Fake::new(), |_| open());
    until("it is ready again", async || {
        get(address, "/readyz").await.0 == 200
    })
    .await;

    readiness.drain();
    let (status, body) = get(address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("stopping"), "{body}");
    assert_eq!(get(address, "/livez").await.0, 200);
}

/// Scenario: a condition that does not hold and then does.
/// Guarantees: gRPC health says NOT_SERVING and SERVING, for the server and for the service.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_health_follows() {
    let readiness = Readiness::new();
    let store = readiness.condition("store");
    let (routes, reporter) = server::with_standard_services(tonic::service::Routes::default()).unwrap();
    let (channel, connections) = inproc::pair();
    let stop = CancellationToken::new();
    tokio::spawn(server::serve_in_process(routes, connections, stop.clone()));
    let keeping = readiness.clone();
    let service = "immune.v1.BaselineService";
    tokio::spawn(async move { keeping.keep_health(reporter, &[service], stop).await });
    let status_is = async |wanted: ServingStatus| {
        until(&format!("health is {wanted}"), async || {
            let mut all = Vec::new();
            for service in ["", service] {
                let request = HealthCheckRequest {
                    service: service.to_owned(),
                };
                let answer = HealthClient::new(channel.clone()).check(request).await;
                all.push(
                    answer
                        .map(|answer| answer.into_inner().status)
                        .unwrap_or_default(),
                );
            }
            all == [wanted as i32; 2]
        })
        .await;
    };
    status_is(ServingStatus::NotServing).await;
    store.ok();
    status_is(ServingStatus::Serving).await;
    readiness.drain();
    status_is(ServingStatus::NotServing).await;
}
