//! Where the webhook listens, and what it needs.

use immune_runtime::tls::DoorFiles;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The admission webhook, `resources.webhook`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port; empty, the default: no webhook, and nobody decides on AgentCases.
    pub listen: String,
    /// PEM file with the certificate for the API server; read again when it changes.
    pub certificate_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
    /// File with the key of the seals, at least 32 bytes; the same for every replica.
    pub seal_key_file: PathBuf,
    /// The user name of our own account, `system:serviceaccount:NAMESPACE:NAME`, which alone writes AgentCases.
    pub service_account: String,
}

impl Config {
    /// Adds what is wrong to `mistakes`; `path` is where these options are.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if self.listen.is_empty() {
            return;
        }
        if self.listen.parse::<SocketAddr>().is_err() {
            mistakes.push(format!(
                "{path}.listen = {:?}: is no address like 0.0.0.0:9443",
                self.listen
            ));
        }
        let files = [
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
            ("seal_key_file", &self.seal_key_file),
        ];
        for (name, file) in files {
            if file.as_os_str().is_empty() {
                mistakes.push(format!("{path}.{name} is empty: the webhook needs it"));
            }
        }
        if !self.service_account.starts_with("system:serviceaccount:") {
            mistakes.push(format!(
                "{path}.service_account = {:?}: must be system:serviceaccount:NAMESPACE:NAME",
                self.service_account
            ));
        }
    }

    /// Where it listens, if it does.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(crate) fn files(&self) -> DoorFiles {
        DoorFiles {
            cert_file: self.certificate_file.clone(),
            key_file: self.key_file.clone(),
            client_ca_file: None,
        }
    }
}
