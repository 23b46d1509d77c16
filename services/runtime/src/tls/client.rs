//! Our side where we connect to a role.

use super::certificate::Facts;
use super::files::Material;
use super::reload::{Current, follow};
use super::{RoleFiles, TlsError, provider};
use crate::access::RoleName;
use crate::metrics::Metrics;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// Our certificate and the authority of the others', as the files say now. A clone follows the same files.
#[derive(Clone)]
pub struct ClientTls {
    current: Current<Identity>,
}

/// What connections are made with.
pub(crate) struct Identity {
    roots: Arc<RootCertStore>,
    own: Arc<CertifiedKey>,
}

impl ClientTls {
    /// Reads the files, and again whenever they change.
    ///
    /// # Errors
    /// When the files cannot be used at the start; later changes that cannot be used are logged and counted.
    pub fn load(files: RoleFiles, metrics: &Metrics) -> Result<Self, TlsError> {
        let build = |material: &Material| {
            Ok(Identity {
                roots: material.roots.clone().expect("a role's files name an authority"),
                own: material.own.clone(),
            })
        };
        let current = follow(files.into(), metrics.tls.clone(), build)?;
        Ok(ClientTls { current })
    }

    /// What connections to a role are made with from now on.
    pub(crate) fn config(&self, role: RoleName) -> ClientConfig {
        let identity = self.current.borrow().clone();
        let verifier = OfRole {
            role,
            roots: identity.roots.clone(),
            provider: provider(),
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            // Looks at more than the default does, not at less: see `OfRole`.
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.own.clone())));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Every connection looks at the certificate anew.
        config.resumption = Resumption::disabled();
        config
    }

    /// Tells when connections should be made anew, because our certificate or the authority has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Identity>> {
        self.current.clone()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Takes a certificate that the authority has signed, that is valid now, and that names the role which was called.
/// The host is not compared: replicas are reached by the addresses behind a name, and their certificates name the
/// role, which is what matters: no other role can answer for it.
#[derive(Debug)]
struct OfRole {
    role: RoleName,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OfRole {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        let roles = Facts::of(end_entity).map(|facts| facts.roles).unwrap_or_default();
        if !roles.contains(self.role) {
            let message = format!("the certificate is for role {roles}, {} was called", self.role);
            return Err(Error::General(message));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
