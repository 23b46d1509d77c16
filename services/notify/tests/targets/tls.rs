//! Certificates are checked.

use crate::world::{config, open_case, start, target, until};
use immune_store::memory;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const SECRET: &str = "a-secret-of-more-than-24-bytes";

/// Scenario: a receiver with a certificate that only one of two targets has been told to trust.
/// Guarantees: that one's notifications arrive, the other's stay.
#[tokio::test]
async fn an_unknown_certificate_is_refused() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut buffer = [0_u8; 64 * 1_024];
                while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                    let _ = stream
                        .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                        .await;
                    let _ = stream.shutdown().await;
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, made.cert.pem()).unwrap();
    let hook = |name: &str, ca: Option<&std::path::Path>| -> Value {
        json!({ "name": name, "webhook": { "url": format!("https://localhost:{port}/"), "secret": SECRET, "ca_file": ca } })
    };
    let stores = memory::stores();
    let config = config(json!([hook("trusts", Some(&ca)), hook("doubts", None)]));
    let _running = start(&stores, &config).await;
    open_case(&stores, "a", 3.0).await;
    until("one is told", async || {
        target(&stores, "trusts").await.delivered == 1
    })
    .await;
    until("the other refuses", async || {
        target(&stores, "doubts")
            .await
            .last_error
            .is_some_and(|(_, text)| text.contains("certificate"))
    })
    .await;
    assert_eq!(target(&stores, "doubts").await.delivered, 0);
}
