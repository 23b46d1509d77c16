//! The configuration of a process: every role's options in one file.

use immune_domain::policy::Policies;
use immune_runtime::access::{ApiKey, KeyRing};
use immune_runtime::config::{Mistakes, load};
use immune_runtime::telemetry;
use immune_store::retention::Retention;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything that can be set. Names in a file are those of the fields; in the environment `IMMUNE_` and the path
/// in capitals with two underscores between levels (`IMMUNE_STORE__URL`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where records and workflow live.
    pub store: Store,
    /// How long records are kept.
    pub retention: Retention,
    /// gRPC between roles and for programs.
    pub grpc: Grpc,
    /// The process's own metrics.
    pub metrics: Metrics,
    /// Who may call.
    pub access: Access,
    /// OTLP and posted vitals.
    pub ingestion: immune_ingestion::Config,
    /// Learning what is normal.
    pub baseline: immune_baseline::Config,
    /// Judging.
    pub sentinel: immune_sentinel::Config,
    /// Containing and deciding.
    pub quarantine: immune_quarantine::Config,
    /// Healing.
    pub healer: immune_healer::Config,
    /// REST.
    pub dashboard: immune_dashboard::Config,
    /// Which rules hold for which agent.
    pub policy: Policies,
    /// The means to act.
    pub levers: Levers,
    /// Our own logs.
    pub log: telemetry::Config,
}

/// Where records and workflow live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH` (default `sqlite:immune.db`, beside the working directory) or `memory:` (nothing survives).
    pub url: String,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            url: "sqlite:immune.db".to_owned(),
        }
    }
}

/// gRPC between roles and for programs. In one process the roles call each other without a socket; the listeners
/// are for programs on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// Whether to listen; default true.
    pub enabled: bool,
    /// Address of all roles' listeners; loopback, since anybody who reaches them is believed. Default 127.0.0.1.
    pub host: IpAddr,
    /// Port of the first role (ingestion), the others follow: baseline, sentinel, quarantine, healer, dashboard.
    /// Default 50051; 0 takes any free ports.
    pub first_port: u16,
}

impl Default for Grpc {
    fn default() -> Self {
        Grpc {
            enabled: true,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            first_port: 50051,
        }
    }
}

/// The process's own metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Whether to listen; default true.
    pub enabled: bool,
    /// Address of `/metrics`; default 127.0.0.1:9464. Metrics name no agent and no content.
    pub listen: SocketAddr,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            enabled: true,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
        }
    }
}

/// Who may call REST and OTLP.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Keys; without any, only loopback listeners are allowed, and those are open.
    pub api_keys: Vec<ApiKey>,
}

/// The means to act.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Levers {
    /// The Agent Lifecycle API that the customer's platform implements.
    pub lifecycle: immune_levers_lifecycle::Config,
}

/// A configuration that was checked, with what checking resolved.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The values.
    pub config: Config,
    /// The keys, hashed.
    pub keys: KeyRing,
    /// What is allowed but deserves a word at start.
    pub warnings: Vec<String>,
}

/// Names that users of the original know, and the settings that they stand for.
const KNOWN_VARIABLES: [(&str, &[&str]); 2] = [
    (
        "SEVERITY_REQUIRING_APPROVAL",
        &["policy", "defaults", "severity_requiring_approval"],
    ),
    ("DATABASE_URL", &["store", "url"]),
];

/// Names that users of the original know and that nothing here reads yet; said aloud rather than ignored.
const NOT_READ: [&str; 3] = ["INFLUXDB_URL", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"];

impl Config {
    /// Reads and checks all layers.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn read(file: Option<&Path>, flags: &[(&[&str], String)]) -> Result<Checked, Mistakes> {
        let mut extra: Vec<(&[&str], String)> = KNOWN_VARIABLES
            .iter()
            .filter_map(|(name, path)| Some((*path, std::env::var(name).ok()?)))
            .collect();
        extra.extend(flags.iter().cloned());
        load::<Config>(file, std::env::vars(), &extra)?.check()
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Every mistake at once.
    pub fn check(self) -> Result<Checked, Mistakes> {
        let mut mistakes = Vec::new();
        if self.sqlite_path().is_none() && self.store.url != "memory:" {
            mistakes.push(format!(
                "store.url = {:?}: must be sqlite:PATH or memory:",
                mask(&self.store.url)
            ));
        }
        if self.grpc.enabled && !self.grpc.host.is_loopback() {
            mistakes.push(format!(
                "grpc.host = {}: must be a loopback address, since whoever reaches these ports is believed",
                self.grpc.host
            ));
        }
        if self.grpc.first_port > u16::MAX - 5 {
            mistakes.push(format!(
                "grpc.first_port = {}: six ports must follow each other",
                self.grpc.first_port
            ));
        }
        let keys = KeyRing::load(&self.access.api_keys, "access.api_keys", &mut mistakes);
        let listeners = [
            ("ingestion.grpc_listen", self.ingestion.grpc_listen),
            ("ingestion.http_listen", self.ingestion.http_listen),
        ];
        for (name, address) in listeners {
            if !address.ip().is_loopback() && self.access.api_keys.is_empty() {
                mistakes.push(format!(
                    "{name} = {address}: is not a loopback address, so access.api_keys must name who may call"
                ));
            }
        }
        self.ingestion.check("ingestion", &mut mistakes);
        self.baseline.check("baseline", &mut mistakes);
        self.sentinel.check("sentinel", &mut mistakes);
        self.quarantine.check("quarantine", &mut mistakes);
        self.healer.check("healer", &mut mistakes);
        self.dashboard.check("dashboard", &mut mistakes);
        self.dashboard
            .check_exposure("dashboard", !self.access.api_keys.is_empty(), &mut mistakes);
        self.policy.check("policy", &mut mistakes);
        self.levers.lifecycle.check("levers.lifecycle", &mut mistakes);
        self.log.check("log", &mut mistakes);
        let warnings = NOT_READ
            .iter()
            .filter(|name| std::env::var_os(name).is_some())
            .map(|name| format!("{name} is set, but this build does not read it"))
            .collect();
        if mistakes.is_empty() {
            Ok(Checked {
                config: self,
                keys,
                warnings,
            })
        } else {
            Err(Mistakes(mistakes))
        }
    }

    /// The path of the SQLite file, if that is the store.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let path = self.store.url.strip_prefix("sqlite:")?;
        let path = path.strip_prefix("//").unwrap_or(path);
        (!path.is_empty()).then(|| PathBuf::from(path))
    }
}

/// A URL without its password, for messages.
fn mask(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}://***@{}", &url[..scheme], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a store that is not there, and two listeners open to the network without a key.
    /// Guarantees: the mistakes are reported together, and a password in a URL is not printed.
    #[test]
    fn every_mistake_at_once() {
        let mut config = Config::default();
        config.store.url = "postgres://me:secret@db/immune".to_owned();
        config.grpc.host = "0.0.0.0".parse().unwrap();
        config.ingestion.http_listen = "0.0.0.0:4318".parse().unwrap();
        let Mistakes(mistakes) = config.check().unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(!mistakes.join("").contains("secret"), "{mistakes:?}");
    }

    /// Guarantees: the defaults are a valid configuration.
    #[test]
    fn defaults_are_valid() {
        assert!(Config::default().check().is_ok());
    }
}
