//! The certificates of a cluster: an authority, and a file pair per role that may be exchanged while it runs.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An authority with a folder.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// Makes an authority and writes its certificate.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority can be made");
        let folder = folder.join("certificates");
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        std::fs::write(folder.join("ca.pem"), issuer.pem()).expect("a file can be written");
        Authority { issuer, folder }
    }

    /// Writes a certificate for a role that is good for that many seconds from now; negative: it ended then.
    ///
    /// # Panics
    /// When the files cannot be written.
    pub fn issue(&self, role: &str, seconds: i64) {
        let mut params = CertificateParams::default();
        let name = format!("spiffe://tests/immune-{role}");
        params.subject_alt_names = vec![SanType::URI(name.try_into().expect("ASCII"))];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = from_now(-86_400);
        params.not_after = from_now(seconds);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate can be signed");
        // First beside, then in place: nobody reads half a file.
        for (name, text) in [("key", key.serialize_pem()), ("pem", certificate.pem())] {
            let file = self.folder.join(format!("{role}.{name}"));
            let beside = self.folder.join(format!("{role}.{name}.new"));
            std::fs::write(&beside, text).expect("a file can be written");
            std::fs::rename(&beside, &file).expect("a file can be renamed");
        }
    }

    /// What a process of a role is told.
    pub fn config(&self, role: &str) -> Value {
        let file = |name: String| self.folder.join(name).display().to_string();
        json!({ "grpc": { "tls": {
            "ca_file": file("ca.pem".to_owned()),
            "cert_file": file(format!("{role}.pem")),
            "key_file": file(format!("{role}.key")),
        } } })
    }
}

fn from_now(seconds: i64) -> time::OffsetDateTime {
    #[allow(
        clippy::disallowed_methods,
        reason = "certificates are about the machine's own time"
    )]
    let now = SystemTime::now();
    time::OffsetDateTime::from(now) + time::Duration::seconds(seconds)
}
