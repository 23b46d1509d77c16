//! Doors for people and programs, with TLS.

use super::certificates::{Authority, Wanted, role};
use axum::Router;
use axum::routing::get;
use immune_runtime::metrics::TlsMetrics;
use immune_runtime::tls::{DoorFiles, Listener, Protocols};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// A client that takes any certificate and shows none.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

pub fn trusting_anybody(protocols: &[&[u8]]) -> ClientConfig {
    let mut config = builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    config
}

async fn door(files: DoorFiles) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let metrics = TlsMetrics::default();
    let listener = Listener::for_door(tcp, Some(&files), Protocols::Either, &metrics).unwrap();
    let router = Router::new().route("/", get(async || "hello"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn ask(address: SocketAddr, config: ClientConfig) -> std::io::Result<String> {
    let tcp = TcpStream::connect(address).await?;
    let name = ServerName::try_from("door.example").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: door.example\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn door_files(folder: &Path, client_ca: bool) -> DoorFiles {
    DoorFiles {
        cert_file: folder.join("tls.crt"),
        key_file: folder.join("tls.key"),
        client_ca_file: client_ca.then(|| folder.join("ca.crt")),
    }
}

/// Scenario: a door with a certificate; clients that check it by the authority and the name.
/// Guarantees: they are answered. Where the door asks for certificates, only those who show one are.
#[tokio::test]
async fn doors_speak_tls() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    authority.write(folder.path(), &role("door.example"));
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
        .unwrap();
    let open = door(door_files(folder.path(), false)).await;
    let asking = builder().with_root_certificates(roots.clone());
    let answer = ask(open, asking.clone().with_no_client_auth()).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");

    let closed = door(door_files(folder.path(), true)).await;
    let refused = ask(closed, asking.clone().with_no_client_auth()).await;
    assert!(refused.is_err(), "{refused:?}");
    let (certificate, key) = authority.sign(&role("anybody.example"));
    let shown = asking
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let answer = ask(closed, shown).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

/// Scenario: files that are missing, no certificate, or of two pairs.
/// Guarantees: the mistake names the path of the setting and the file, and never shows the key.
#[test]
fn wrong_files_are_mistakes() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    authority.write(folder.path(), &role("door.example"));
    let files = door_files(folder.path(), true);
    let mistakes = || {
        let mut mistakes = Vec::new();
        files.check("dashboard.tls", &mut mistakes);
        mistakes.join("\n")
    };
    assert_eq!(mistakes(), "");
    let (_, other_key) = authority.sign(&Wanted {
        name: "x",
        valid_seconds: 60,
    });
    std::fs::write(&files.key_file, &other_key).unwrap();
    assert!(mistakes().contains("tls.key"), "{}", mistakes());
    std::fs::write(&files.key_file, other_key.replace("BEGIN", "BEGINNING")).unwrap();
    assert!(mistakes().contains("no private key"), "{}", mistakes());
    let line = other_key.lines().nth(1).unwrap();
    assert!(!mistakes().contains(line));
    std::fs::write(&files.cert_file, "hello").unwrap();
    assert!(mistakes().starts_with("dashboard.tls: "), "{}", mistakes());
    assert!(mistakes().contains("has no certificate"), "{}", mistakes());
    std::fs::remove_file(files.client_ca_file.as_ref().unwrap()).unwrap();
    assert!(mistakes().contains("cannot be read"), "{}", mistakes());
}
