//! TLS and passwords.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_bus::BusError;
use immune_bus_redis::Config;
use immune_bus_redis::config::Tls;
use immune_test_servers::{Redis, free_port};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use world::{bare, bus, prefix, publish, record, with};

/// Writes an authority and certificates of it for the server and for this process.
fn write_certificates(folder: &Path) {
    let write = |name: &str, text: String| std::fs::write(folder.join(name), text).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    write("ca.pem", authority.pem());
    let issuer = Issuer::new(params, key);
    for name in ["server", "client"] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

/// Scenario: a server that speaks TLS and wants to see a certificate.
/// Guarantees: with the authority and a certificate all works; without a certificate, or without the authority,
/// nothing is sent, and the reason is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutual_tls() {
    let folder = tempfile::tempdir().unwrap();
    write_certificates(folder.path());
    let file = |name: &str| folder.path().join(name);
    let text = |name: &str| file(name).display().to_string();
    let port = free_port();
    let _redis = Redis::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text("server.pem"),
        "--tls-key-file",
        &text("server.key"),
        "--tls-ca-cert-file",
        &text("ca.pem"),
    ])
    .await;
    let url = format!("rediss://localhost:{port}");
    let config = |tls: Tls| Config {
        prefix: prefix("tls"),
        publish_seconds_max: 1,
        tls,
        ..Config::default()
    };
    let whole = Tls {
        ca_file: Some(file("ca.pem")),
        certificate_file: Some(file("client.pem")),
        key_file: Some(file("client.key")),
    };
    publish(&with(&url, config(whole.clone())), Arc::from([record("a", 0)])).await;
    let nameless = Tls {
        ca_file: Some(file("ca.pem")),
        ..Tls::default()
    };
    let trusting_others = Tls {
        ca_file: None,
        ..whole.clone()
    };
    for tls in [nameless, trusting_others] {
        let bus = with(&url, config(tls));
        assert!(bus.ping().await.is_err());
        let refused = bus.publisher().publish(Arc::from([record("a", 0)])).await;
        assert!(matches!(refused, Err(BusError::Away { .. })), "{refused:?}");
    }
    let lost = Tls {
        ca_file: Some(file("nowhere.pem")),
        ..whole
    };
    let error = with(&url, config(lost)).ping().await.unwrap_err();
    assert!(
        error.to_string().ends_with("nowhere.pem cannot be read"),
        "{error}"
    );
}

/// Scenario: a server that wants a password, asked without, with a wrong one and with the right one.
/// Guarantees: only the right one works, and no error shows any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords() {
    let redis = Redis::start().await;
    let mut set = redis::cmd("CONFIG");
    set.arg(&["SET", "requirepass", "se:cr@t"]);
    set.exec_async(&mut bare(&redis.url()).await).await.unwrap();
    let url = |login: &str| format!("redis://{login}127.0.0.1:{}/2", redis.port());
    let prefix = prefix("password");
    for login in ["", ":wr0ng@", "user:wr0ng@"] {
        let error = bus(&url(login), &prefix).ping().await.unwrap_err();
        let mut shown = format!("{error} {error:?}");
        let mut source = error.source();
        while let Some(error) = source {
            shown += &format!(" {error} {error:?}");
            source = error.source();
        }
        assert!(!shown.contains("wr0ng"), "{shown}");
    }
    let bus = bus(&url(":se%3Acr%40t@"), &prefix);
    bus.ping().await.unwrap();
    publish(&bus, Arc::from([record("a", 0)])).await;
}
