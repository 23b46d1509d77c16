//! Our side where others connect to us.

use super::files::{Files, Material};
use super::reload::{Current, follow};
use super::{DoorFiles, RoleFiles, TlsError, provider};
use crate::metrics::{Metrics, TlsMetrics};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use std::fmt;
use std::sync::Arc;

/// What is spoken inside, as the client is told in the handshake (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 only: gRPC.
    Http2,
    /// HTTP/1.1 only.
    Http1,
    /// Either, HTTP/2 first.
    Either,
}

impl Protocols {
    fn names(self) -> Vec<Vec<u8>> {
        match self {
            Protocols::Http2 => vec![b"h2".to_vec()],
            Protocols::Http1 => vec![b"http/1.1".to_vec()],
            Protocols::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// Our certificate and whose others we take, as the files say now. A clone follows the same files.
#[derive(Clone)]
pub struct ServerTls {
    current: Current<ServerConfig>,
    pub(super) metrics: TlsMetrics,
}

impl ServerTls {
    /// For other roles: they must show a certificate that the authority has signed. TLS 1.3 only.
    ///
    /// # Errors
    /// When the files cannot be used at the start; later changes that cannot be used are logged and counted.
    pub fn for_roles(files: RoleFiles, metrics: &Metrics) -> Result<Self, TlsError> {
        let ca = files.ca_file.clone();
        let build =
            move |material: &Material| config(material, Protocols::Http2, &[&rustls::version::TLS13], &ca);
        Self::load(files.into(), &metrics.tls, build)
    }

    /// For people and programs: TLS 1.2 and 1.3; certificates of clients are asked for when an authority is given.
    ///
    /// # Errors
    /// When the files cannot be used at the start; later changes that cannot be used are logged and counted.
    pub fn for_door(files: DoorFiles, protocols: Protocols, metrics: &TlsMetrics) -> Result<Self, TlsError> {
        let ca = files.client_ca_file.clone().unwrap_or_default();
        let build = move |material: &Material| config(material, protocols, rustls::DEFAULT_VERSIONS, &ca);
        Self::load(files.into(), metrics, build)
    }

    fn load(
        files: Files,
        metrics: &TlsMetrics,
        build: impl Fn(&Material) -> Result<ServerConfig, TlsError> + Send + Sync + 'static,
    ) -> Result<Self, TlsError> {
        Ok(ServerTls {
            current: follow(files, metrics.clone(), build)?,
            metrics: metrics.clone(),
        })
    }

    /// What handshakes from now on use.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.borrow().clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

fn config(
    material: &Material,
    protocols: Protocols,
    versions: &[&'static rustls::SupportedProtocolVersion],
    ca: &std::path::Path,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("the versions are those that the provider has");
    let builder = match &material.roots {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
                .build()
                .map_err(|error| TlsError::Authority {
                    path: ca.to_owned(),
                    problem: error.to_string(),
                })?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(material.own.clone())));
    config.alpn_protocols = protocols.names();
    if material.roots.is_some() {
        // A resumed session would skip the look at the client's certificate, which may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}
