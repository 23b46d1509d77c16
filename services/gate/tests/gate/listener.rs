//! The listener: certificates, limits, its end.

use crate::certificates::Authority;
use crate::world::{Door, World, by_headers, config, http_client};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use immune_domain::policy::LivePolicies;
use immune_gate::Config;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

/// Scenario: a check with a certificate that asks for the gateway's; gateways with one, with none, and in plain text.
/// Guarantees: only the one with a certificate of that authority is answered, over both protocols.
#[tokio::test]
async fn gateways_show_certificates() {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let (certificate, key) = authority.sign("localhost");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let tls = json!({
        "cert_file": file("tls.crt", &certificate),
        "key_file": file("tls.key", &key),
        "client_ca_file": file("ca.crt", &authority.pem()),
    });
    let cases = immune_store::memory::stores().cases;
    let door = Door::start(config(json!({ "tls": tls })), &cases, &LivePolicies::default()).await;
    let ca = Certificate::from_pem(authority.pem());
    let (certificate, key) = authority.sign("gateway");
    let ask = async |identity: Option<Identity>| {
        let tls = ClientTlsConfig::new()
            .ca_certificate(ca.clone())
            .domain_name("localhost");
        let tls = match identity {
            Some(identity) => tls.identity(identity),
            None => tls,
        };
        let channel = Channel::from_shared(format!("https://{}", door.address))
            .unwrap()
            .tls_config(tls)
            .unwrap()
            .connect_lazy();
        let request = by_headers(&[("x-agent-id", "a")]);
        AuthorizationClient::new(channel).check(request).await
    };
    let shown = ask(Some(Identity::from_pem(&certificate, &key))).await.unwrap();
    assert_eq!(shown.into_inner().status.unwrap().code, 0);
    assert!(ask(None).await.is_err());
    let stranger = Authority::new().sign("gateway");
    assert!(
        ask(Some(Identity::from_pem(stranger.0, stranger.1)))
            .await
            .is_err()
    );
    assert!(
        http_client().get(door.url("/check")).send().await.is_err(),
        "plain text"
    );
}

/// Scenario: listeners beyond loopback with and without certificates, addresses that are none, settings that exclude
/// each other.
/// Guarantees: what would be open by accident does not start, and the sentence says what to choose.
#[tokio::test]
async fn open_listeners_are_chosen() {
    let table = [
        (json!({ "listen": "0.0.0.0:9001" }), Some("plaintext: true")),
        (json!({ "listen": "[::]:9001" }), Some("plaintext: true")),
        (json!({ "listen": "0.0.0.0:9001", "plaintext": true }), None),
        (json!({ "listen": "127.0.0.1:9001" }), None),
        (json!({ "listen": "" , "identity": [] }), None),
        (
            json!({ "listen": "9001" }),
            Some("must be an address with a port"),
        ),
        (
            json!({ "tls": { "cert_file": "no.crt", "key_file": "no.key" } }),
            Some("gate.tls: no.crt: cannot be read"),
        ),
        (json!({ "blind_after_seconds": 1 }), Some("between 2 and 3600")),
    ];
    for (over, expected) in table {
        let mut mistakes = Vec::new();
        config(over.clone()).check("gate", &mut mistakes);
        match expected {
            None => assert_eq!(mistakes, Vec::<String>::new(), "{over}"),
            Some(part) => assert!(
                mistakes.len() == 1 && mistakes[0].contains(part),
                "{over}: {mistakes:?}"
            ),
        }
    }
    assert_eq!(Config::default().address(), None);
}

/// Scenario: a check that is larger than the limit; heads that are too large, or do not end; bodies; paths and methods
/// of the requests that gateways ask about; something that is no HTTP.
/// Guarantees: each is refused with a status or cut off, the well-meant ones are answered, and the listener goes on.
#[tokio::test]
async fn what_is_sent_is_bounded() {
    let world = World::start(json!({ "request_bytes_max": 8192 })).await;
    let mut client = world.door.grpc().await;
    let large = "x".repeat(10_000);
    let status = client
        .check(by_headers(&[("x-agent-id", "a"), ("x", &large)]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");

    let http = http_client();
    let huge = "x".repeat(300 * 1024);
    let answer = http.get(world.door.url("/check")).header("x", huge).send().await;
    assert!(answer.is_err() || answer.unwrap().status().as_u16() == 431);
    for (method, path) in [
        ("GET", "/check/"),
        ("POST", "/check/v1/chat?x=%ff"),
        ("DELETE", "/check//a/../b"),
        ("HEAD", "/check"),
    ] {
        let request = http.request(method.parse().unwrap(), world.door.url(path));
        let request = request.header("x-agent-id", "a").body("x".repeat(100_000));
        assert_eq!(request.send().await.unwrap().status(), 200, "{method} {path}");
    }
    let answer = http.get(world.door.url("/elsewhere")).send().await.unwrap();
    assert_eq!(answer.status(), 404);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["type"], "urn:immune:problem:gate.not_found");

    let mut stream = TcpStream::connect(world.door.address).await.unwrap();
    stream
        .write_all(b"\x16\x03\x01 not http at all\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .expect("cut off");
    assert!(world.door.may_act("a").await);
}

/// Scenario: a gateway that keeps its connections open when the process stops, and one that has never said a word.
/// Guarantees: checks are answered until the end, which does not wait for either.
#[tokio::test]
async fn the_end_is_orderly() {
    let world = World::start(json!({})).await;
    let mut client = world.door.grpc().await;
    let ask = || by_headers(&[("x-agent-id", "a")]);
    client.check(ask()).await.unwrap();
    let _silent = TcpStream::connect(world.door.address).await.unwrap();
    let began = std::time::Instant::now();
    world.door.stop().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(client.check(ask()).await.is_err());
}

/// Scenario: a gateway asks for gRPC health, as Envoy's health checks do.
/// Guarantees: serving under both names once the cases are known.
#[tokio::test]
async fn health_is_told() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;
    let world = World::start(json!({})).await;
    let channel = Channel::from_shared(world.door.url("")).unwrap().connect_lazy();
    for service in ["", "envoy.service.auth.v3.Authorization"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        crate::world::until("serving", async || {
            let answer = HealthClient::new(channel.clone()).check(request.clone()).await;
            answer.is_ok_and(|answer| answer.into_inner().status == 1)
        })
        .await;
    }
}
