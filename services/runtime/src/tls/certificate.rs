//! What a certificate says: for which roles it is, and until when.

use crate::access::{RoleName, Roles};
use crate::clock::{Clock, System};
use rustls::pki_types::CertificateDer;
use std::time::Duration;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What begins the name of a role in a certificate.
const PREFIX: &str = "immune-";

/// A certificate, as far as we ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The roles that it names.
    pub roles: Roles,
    /// Valid until, seconds since the epoch.
    pub expires_at: i64,
}

impl Facts {
    /// Reads a certificate; `None` when it cannot be parsed.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let expires_at = certificate.validity().not_after.timestamp();
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|extension| extension.value.general_names.as_slice());
        let roles = names.unwrap_or_default().iter().filter_map(role_of).collect();
        Some(Facts { roles, expires_at })
    }

    /// How long it is still valid; zero when it is not.
    pub fn remaining(&self) -> Duration {
        let now = System.now().as_micros().div_euclid(1_000_000);
        u64::try_from(self.expires_at.saturating_sub(now)).map_or(Duration::ZERO, Duration::from_secs)
    }
}

fn role_of(name: &GeneralName<'_>) -> Option<RoleName> {
    match name {
        GeneralName::URI(uri) => {
            let (_trust_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
            role_of_label(path.rsplit('/').next()?)
        }
        GeneralName::DNSName(name) => role_of_label(name.split('.').next()?),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

fn role_of_label(label: &str) -> Option<RoleName> {
    RoleName::parse(label.strip_prefix(PREFIX)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType};

    fn roles(uris: &[&str], dns: &[&str]) -> String {
        let mut params =
            CertificateParams::new(dns.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>()).unwrap();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "immune-dashboard");
        for uri in uris {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into().unwrap()));
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Facts::of(certificate.der()).unwrap().roles.to_string()
    }

    /// Scenario: names as SPIFFE, Kubernetes and people write them.
    /// Guarantees: a role is read only where the whole label says so; the common name never says it.
    #[test]
    fn names_say_the_role() {
        assert_eq!(
            roles(&["spiffe://example.org/ns/immune/sa/immune-healer"], &[]),
            "healer"
        );
        assert_eq!(roles(&["spiffe://example.org/immune-sentinel"], &[]), "sentinel");
        assert_eq!(
            roles(&[], &["immune-quarantine.immune.svc.cluster.local"]),
            "quarantine"
        );
        assert_eq!(
            roles(&[], &["immune-ingestion", "immune-baseline.x"]),
            "ingestion+baseline"
        );
        for uri in [
            "spiffe://immune-dashboard",
            "spiffe://immune-dashboard/sa/web",
            "spiffe://example.org/immune-dashboard/web",
            "https://example.org/immune-dashboard",
            "spiffe://example.org/sa/immune-dashboard2",
        ] {
            assert_eq!(roles(&[uri], &[]), "none", "{uri}");
        }
        for dns in [
            "dashboard",
            "x.immune-dashboard",
            "*.immune-dashboard.svc",
            "immune-dashboard-0.x",
        ] {
            assert_eq!(roles(&[], &[dns]), "none", "{dns}");
        }
    }
}
