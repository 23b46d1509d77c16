//! Over TLS: a server is believed only with a certificate of an authority that is trusted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use immune_domain::ErrorKind;
use immune_store_influx::{Config, InfluxStore, Metrics};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An https server that answers every request with an empty result, and its authority's file.
async fn https() -> (String, tempfile::NamedTempFile) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 16 * 1_024];
                let _ = stream.read(&mut request).await;
                let body = r#"{"results":[{"statement_id":0}]}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nX-Influxdb-Version: 1.8.10\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, file)
}

async fn ping(url: &str, ca_file: Option<PathBuf>) -> Result<(), immune_store::StorageError> {
    let config = Config {
        url: url.to_owned(),
        ca_file,
        ..Config::default()
    };
    let store = InfluxStore::open(config, Metrics::default()).await.unwrap();
    store.vitals().ping().await
}

/// Scenario: a server with a certificate of an authority of its own, once trusted by file and once not.
/// Guarantees: trusted it answers; otherwise it is away, and the reason says certificate.
#[tokio::test]
async fn only_a_trusted_certificate_is_believed() {
    let (url, authority) = https().await;
    ping(&url, Some(authority.path().to_owned())).await.unwrap();
    let (other, _authority_of_other) = https().await;
    let stranger = ping(&other, Some(authority.path().to_owned())).await.unwrap_err();
    assert_eq!(stranger.kind(), ErrorKind::Unavailable);
    let why = std::error::Error::source(&stranger).unwrap().to_string();
    assert!(why.contains("certificate"), "{why}");
}
