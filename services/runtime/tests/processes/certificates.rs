//! An authority, and the certificates that it signs, in files.

use immune_runtime::clock::{Clock, System};
use immune_runtime::grpc::ClientSecurity;
use immune_runtime::grpc::server::ServerSecurity;
use immune_runtime::metrics::Metrics;
use immune_runtime::tls::{ClientTls, RoleFiles, ServerTls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a certificate says.
#[derive(Clone)]
pub struct Wanted {
    pub name: &'static str,
    /// From now; negative: that long ago.
    pub valid_seconds: i64,
}

pub fn role(name: &'static str) -> Wanted {
    Wanted {
        name,
        valid_seconds: 3_600,
    }
}

/// The time of this process in seconds.
pub fn now() -> i64 {
    System.now().as_micros() / 1_000_000
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key, PEM.
    pub fn sign(&self, wanted: &Wanted) -> (String, String) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![match wanted.name.contains("://") {
            true => SanType::URI(wanted.name.try_into().unwrap()),
            false => SanType::DnsName(wanted.name.try_into().unwrap()),
        }];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let at = |seconds: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.try_into().unwrap());
        params.not_before = at(now() - 7_200);
        params.not_after = at(now() + wanted.valid_seconds);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes a certificate with its key, and this authority, into a folder.
    pub fn write(&self, folder: &Path, wanted: &Wanted) {
        let (certificate, key) = self.sign(wanted);
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("ca.crt"), self.pem()).unwrap();
        std::fs::write(folder.join("tls.crt"), certificate).unwrap();
        std::fs::write(folder.join("tls.key"), key).unwrap();
    }
}

pub fn files(folder: &Path) -> RoleFiles {
    RoleFiles {
        ca_file: folder.join("ca.crt"),
        cert_file: folder.join("tls.crt"),
        key_file: folder.join("tls.key"),
    }
}

pub fn of_server(folder: PathBuf) -> impl FnOnce(&Metrics) -> ServerSecurity + Send + 'static {
    move |metrics| ServerSecurity::MutualTls(ServerTls::for_roles(files(&folder), metrics).unwrap())
}

pub fn of_client(folder: &Path) -> ClientSecurity {
    ClientSecurity::MutualTls(ClientTls::load(files(folder), &Metrics::default()).unwrap())
}
