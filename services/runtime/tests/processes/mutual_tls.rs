//! Between roles with certificates: who is let in, and who is not.

use super::certificates::{Authority, Wanted, of_client, of_server, role};
use super::fake::{Fake, Replica, client, connected, get, quick, reset, secured, until};
use immune_runtime::access::{Origin, RoleName};
use immune_runtime::grpc::{Options, Peers};
use rustls::pki_types::ServerName;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tonic::Code;

fn serve(folder: &Path) -> Replica {
    Replica::start_at(
        ([127, 0, 0, 1], 0).into(),
        Fake::new(),
        of_server(folder.to_owned()),
    )
}

/// A baseline and a caller, whose certificates are as wanted.
fn world(server: &Wanted, caller: &Wanted) -> (TempDir, Replica, Peers) {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
    authority.write(&folder.path().join("server"), server);
    authority.write(&folder.path().join("caller"), caller);
    let replica = serve(&folder.path().join("server"));
    let peers = secured(&[&replica], &quick(), of_client(&folder.path().join("caller")));
    (folder, replica, peers)
}

/// Waits until the peers say why they are not connected, with a word.
async fn refused(peers: &Peers, word: &str) {
    let said = async {
        while !peers.problem().is_some_and(|problem| problem.contains(word)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(5), said).await.is_err() {
        panic!("{word:?} is not in {:?}", peers.problem());
    }
}

/// Scenario: a sentinel calls a baseline; one name is a URI, the other a DNS name.
/// Guarantees: the service sees the role of the certificate, which may do what the table says and no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_says_who_calls() {
    let server = role("immune-baseline.immune.svc");
    let caller = role("spiffe://cluster.local/ns/immune/sa/immune-sentinel");
    let (_folder, replica, peers) = world(&server, &caller);
    connected(&peers, 1).await;
    get(&client(&peers)).await.unwrap();
    let origin = replica.fake.seen().origin;
    assert_eq!(origin, Some(Origin::Role(RoleName::Sentinel.into())));
    let status = reset(&client(&peers)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

/// Scenario: a certificate of the authority that names no role.
/// Guarantees: health may be asked, nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn no_role_no_rights() {
    let (_folder, _replica, peers) = world(&role("immune-baseline"), &role("monitoring.example"));
    connected(&peers, 1).await;
    let status = get(&client(&peers)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("role none"), "{status:?}");
}

/// Scenario: the server shows the certificate of another role, of another authority, or an expired one.
/// Guarantees: the caller does not connect, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn servers_must_be_who_was_called() {
    let (_folder, _replica, peers) = world(&role("immune-healer"), &role("immune-sentinel"));
    refused(&peers, "the certificate is for role healer, baseline was called").await;

    let expired = Wanted {
        valid_seconds: -60,
        ..role("immune-baseline")
    };
    let (_folder, _replica, peers) = world(&expired, &role("immune-sentinel"));
    refused(&peers, "expired").await;

    let (folder, _replica, _) = world(&role("immune-baseline"), &role("immune-sentinel"));
    Authority::new().write(&folder.path().join("other"), &role("immune-sentinel"));
    let peers = secured(&[&_replica], &quick(), of_client(&folder.path().join("other")));
    refused(&peers, "invalid peer certificate").await;
    let status = get(&client(&peers)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

/// Scenario: the caller's certificate has expired, or another authority has signed it; the caller itself knows the
/// right authority.
/// Guarantees: the server refuses it, and a call says that the role is away.
#[tokio::test(flavor = "multi_thread")]
async fn callers_must_be_known_and_valid() {
    let expired = Wanted {
        valid_seconds: -60,
        ..role("immune-sentinel")
    };
    let (_folder, replica, peers) = world(&role("immune-baseline"), &expired);
    refused(&peers, "refuses our certificate").await;

    let folder = TempDir::new().unwrap();
    let (right, wrong) = (Authority::new(), Authority::new());
    right.write(&folder.path().join("server"), &role("immune-baseline"));
    wrong.write(&folder.path().join("caller"), &role("immune-sentinel"));
    std::fs::write(folder.path().join("caller/ca.crt"), right.pem()).unwrap();
    let other = serve(&folder.path().join("server"));
    let options = Options {
        deadline_ms: 500,
        ..quick()
    };
    let peers = secured(&[&other], &options, of_client(&folder.path().join("caller")));
    refused(&peers, "refuses our certificate").await;
    assert_eq!(get(&client(&peers)).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(replica.fake.calls() + other.fake.calls(), 0);
}

/// Scenario: a client without a certificate, one that speaks no TLS, and one that says nothing.
/// Guarantees: the first two are refused, and none of them keeps others out.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused_and_keep_nobody_out() {
    let (_folder, replica, peers) = world(&role("immune-baseline"), &role("immune-sentinel"));
    let _silent = tokio::net::TcpStream::connect(replica.address).await.unwrap();
    let mut plain = tokio::net::TcpStream::connect(replica.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    // Refused with an alert or a reset.
    let _ = plain.read_to_end(&mut rest).await;
    assert!(rest.len() < 32, "{rest:?}");

    let config = super::doors_tls::trusting_anybody(&[b"h2"]);
    let tcp = tokio::net::TcpStream::connect(replica.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("immune-baseline").unwrap();
    // In TLS 1.3 the client learns with its first read that a certificate was wanted.
    let mut stream = connector.connect(name, tcp).await.unwrap();
    let error = stream.read_u8().await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");

    connected(&peers, 1).await;
    get(&client(&peers)).await.unwrap();
}

/// Scenario: the caller's certificate expires while it is connected.
/// Guarantees: the connection is cut then, not whenever it would have ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_does_not_outlive_its_certificate() {
    let short = Wanted {
        valid_seconds: 3,
        ..role("immune-sentinel")
    };
    let (_folder, _replica, peers) = world(&role("immune-baseline"), &short);
    connected(&peers, 1).await;
    let begun = std::time::Instant::now();
    until("the connection is cut", async || !peers.is_reachable()).await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    refused(&peers, "refuses our certificate").await;
}
