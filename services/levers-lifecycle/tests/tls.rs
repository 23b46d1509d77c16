//! Both forms over TLS: a platform is believed only with a certificate of an authority that is trusted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod platform;

use immune_domain::healing::Action;
use immune_levers::{Lever, Order, Outcome};
use immune_levers_lifecycle::{Base, Config, Lifecycle};
use immune_proto::v1::agent_lifecycle_server::{AgentLifecycle, AgentLifecycleServer};
use immune_proto::v1::{
    ActRequest, ActResponse, AgentLifecycleGetAgentRequest, AgentLifecycleGetAgentResponse,
    GetOperationRequest, GetOperationResponse, LifecycleOutcome,
};
use platform::{ask, config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

const HEAL: Order = Order::Heal(Action::ResetAgent);

/// A certificate authority, and a certificate of it for 127.0.0.1.
struct Authority {
    file: tempfile::NamedTempFile,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn authority() -> Authority {
    // The provider that the client installs; the servers here need one before that.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), issuer.pem()).unwrap();
    Authority {
        file,
        certificate,
        key,
    }
}

struct Does;

#[tonic::async_trait]
impl AgentLifecycle for Does {
    async fn act(&self, _: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let outcome = LifecycleOutcome::Done.into();
        Ok(Response::new(ActResponse {
            outcome,
            detail: "did it".to_owned(),
            ..ActResponse::default()
        }))
    }

    async fn get_operation(
        &self,
        _: Request<GetOperationRequest>,
    ) -> Result<Response<GetOperationResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_agent(
        &self,
        _: Request<AgentLifecycleGetAgentRequest>,
    ) -> Result<Response<AgentLifecycleGetAgentResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

async fn grpcs(authority: &Authority) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("grpcs://{}", listener.local_addr().unwrap());
    let identity = Identity::from_pem(authority.certificate.pem(), authority.key.serialize_pem());
    let server = Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity))
        .unwrap()
        .add_service(AgentLifecycleServer::new(Does));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    url
}

async fn https(authority: &Authority) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/api", listener.local_addr().unwrap());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(authority.key.serialize_der()));
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![authority.certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            // The request is small and fits in one read.
            let _ = stream.read(&mut [0; 16_384]).await;
            let body = r#"{"outcome":"done","detail":"did it"}"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    url
}

/// Scenario: a platform with a certificate of an authority of its own.
/// Guarantees: trusted with that authority in `ca_file`; otherwise nothing is sent and nothing is claimed.
#[tokio::test]
async fn certificates_are_checked() {
    let authority = authority();
    for url in [https(&authority).await, grpcs(&authority).await] {
        let say = async |ca_file| {
            let base = Base {
                url: url.clone(),
                ca_file,
                ..Base::default()
            };
            let lever = Lifecycle::new(&Config {
                bases: vec![base],
                ..config("")
            })
            .unwrap();
            lever.ask(&ask("a", HEAL)).await
        };
        let trusted = say(Some(authority.file.path().to_owned())).await;
        assert_eq!(trusted.outcome, Outcome::Done, "{url}: {trusted:?}");
        let stranger = say(None).await;
        assert_eq!(stranger.outcome, Outcome::Unknown, "{url}: {stranger:?}");
        let other = say(Some(self::authority().file.path().to_owned())).await;
        assert_eq!(other.outcome, Outcome::Unknown, "{url}: {other:?}");
    }
}
