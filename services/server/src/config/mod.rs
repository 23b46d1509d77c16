//! The configuration of a process: every role's options in one file.

mod cluster;

pub use cluster::{Addresses, Grpc, Redis, Roles};

use crate::roles::Role;
use immune_domain::policy::Policies;
use immune_runtime::access::KeyRing;
use immune_runtime::config::{Mistakes, load};
use immune_runtime::grpc::Target;
use immune_runtime::telemetry;
use immune_store::retention::Retention;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Everything that can be set. Names in a file are those of the fields; in the environment `IMMUNE_` and the path
/// in capitals with two underscores between levels (`IMMUNE_STORE__URL`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Roles of this process; default all.
    pub roles: Roles,
    /// Where the others are.
    pub peers: Addresses,
    /// Where records and workflow live.
    pub store: Store,
    /// Vitals in InfluxDB, and a copy of everything else for dashboards; default none: vitals live in `store`.
    pub influx: Option<immune_store_influx::Config>,
    /// The vitals bus for several replicas of baseline and sentinel; default none: it needs no server.
    pub redis: Option<Redis>,
    /// The vitals bus between processes where there is no Redis.
    pub bus: immune_bus_grpc::Config,
    /// How long records are kept.
    pub retention: Retention,
    /// gRPC between roles and for programs.
    pub grpc: Grpc,
    /// The process's own metrics.
    pub metrics: Metrics,
    /// Who may call REST and OTLP.
    pub access: immune_door::Config,
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
    /// Policies and cases as custom resources of the cluster.
    pub resources: immune_resources::Config,
    /// Our own logs.
    pub log: telemetry::Config,
    /// What is sent to an OpenTelemetry backend.
    pub telemetry: immune_export_otlp::Config,
    /// Whom to tell what happens to cases.
    pub notify: immune_notify::Config,
    /// Where gateways ask whether an agent may act; served where quarantine runs.
    pub gate: immune_gate::Config,
    /// How roles call roles in other processes.
    pub calls: immune_runtime::grpc::Options,
}

/// Where records and workflow live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `sqlite:PATH` (default `sqlite:immune.db`, beside the working directory), `postgres://USER:PASSWORD@HOST/NAME`
    /// or `memory:` (nothing survives). May hold a password, and is printed without it.
    #[serde(serialize_with = "masked")]
    pub url: String,
    /// The same, in a file.
    pub url_file: Option<PathBuf>,
    /// Sizes and times of the connections to PostgreSQL.
    pub postgres: immune_store_postgres::Limits,
}

impl Default for Store {
    fn default() -> Self {
        Store {
            url: "sqlite:immune.db".to_owned(),
            url_file: None,
            postgres: immune_store_postgres::Limits::default(),
        }
    }
}

impl Store {
    /// Whether it is a server that several processes share.
    pub fn is_shared(&self) -> bool {
        self.url.starts_with("postgres://") || self.url.starts_with("postgresql://")
    }

    /// The URL without its password.
    pub fn shown(&self) -> String {
        mask(&self.url)
    }

    /// Takes the URL from its file.
    fn read_file(&mut self, mistakes: &mut Vec<String>) {
        let Some(file) = &self.url_file else { return };
        match std::fs::read_to_string(file) {
            Ok(text) => self.url = text.trim().to_owned(),
            Err(error) => mistakes.push(format!("store.url_file = {}: {error}", file.display())),
        }
    }
}

fn masked<S: serde::Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&mask(url))
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

/// The means to act.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Levers {
    /// The Agent Lifecycle API that the customer's platform implements.
    pub lifecycle: immune_levers_lifecycle::Config,
    /// Kubernetes: network policies, restarts, rollbacks.
    pub kubernetes: immune_levers_kubernetes::Config,
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
    /// Where roles of other processes are.
    pub targets: Vec<Target>,
}

/// Names that users of the original know, and the settings that they stand for.
const KNOWN_VARIABLES: [(&str, &[&str]); 10] = [
    (
        "SEVERITY_REQUIRING_APPROVAL",
        &["policy", "defaults", "severity_requiring_approval"],
    ),
    ("DATABASE_URL", &["store", "url"]),
    ("REDIS_URL", &["redis", "url"]),
    ("INFLUXDB_URL", &["influx", "url"]),
    ("INFLUXDB_TOKEN", &["influx", "token"]),
    ("INFLUXDB_ORG", &["influx", "org"]),
    ("INFLUXDB_BUCKET", &["influx", "database"]),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", &["telemetry", "endpoint"]),
    ("OTEL_SERVICE_NAME", &["telemetry", "service_name"]),
    ("OTEL_METRIC_EXPORT_INTERVAL_MS", &["telemetry", "interval_ms"]),
];

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
    pub fn check(mut self) -> Result<Checked, Mistakes> {
        let mut mistakes = Vec::new();
        self.store.read_file(&mut mistakes);
        if self.sqlite_path().is_none() && self.store.url != "memory:" && !self.store.is_shared() {
            mistakes.push(format!(
                "store.url = {:?}: must be sqlite:PATH, postgres://... or memory:",
                self.store.shown()
            ));
        }
        cluster::check(&self, &mut mistakes);
        let targets = self.peers.targets(&mut mistakes);
        let keys = KeyRing::load(&self.access.api_keys, "access.api_keys", &mut mistakes);
        self.access.check("access", &mut mistakes);
        if !self.has_key_store() && self.access.api_keys.is_empty() {
            for (name, address) in self.exposed() {
                mistakes.push(format!(
                    "{name} = {address}: is not a loopback address, and this process shares no store of keys \
                     (store.url = postgres://...), so access.api_keys must name who may call"
                ));
            }
        }
        if let Some(influx) = &self.influx {
            influx.check("influx", &mut mistakes);
        }
        if let Some(redis) = &self.redis {
            redis.bus.check("redis.bus", &mut mistakes);
        }
        self.telemetry.check("telemetry", &mut mistakes);
        self.store.postgres.check("store.postgres", &mut mistakes);
        self.bus.check("bus", &mut mistakes);
        self.calls.check("calls", &mut mistakes);
        if let Some(tls) = &self.grpc.tls {
            tls.check("grpc.tls", &mut mistakes);
        }
        self.ingestion.check("ingestion", &mut mistakes);
        self.baseline.check("baseline", &mut mistakes);
        self.sentinel.check("sentinel", &mut mistakes);
        self.quarantine.check("quarantine", &mut mistakes);
        self.healer.check("healer", &mut mistakes);
        self.dashboard.check("dashboard", &mut mistakes);
        self.policy.check("policy", &mut mistakes);
        // Its secrets need not be where nobody uses them.
        if self.has(Role::Quarantine) || self.has(Role::Dashboard) {
            self.notify.check("notify", &mut mistakes);
        }
        if self.has(Role::Quarantine) {
            self.gate.check("gate", &mut mistakes);
        }
        self.levers.lifecycle.check("levers.lifecycle", &mut mistakes);
        self.levers.kubernetes.check("levers.kubernetes", &mut mistakes);
        self.resources.check("resources", &mut mistakes);
        self.log.check("log", &mut mistakes);
        let mut warnings = self
            .influx
            .as_ref()
            .map(|influx| influx.warnings())
            .unwrap_or_default();
        if self.has(Role::Dashboard) && self.policy.compile().has_second_person() && self.may_be_open() {
            warnings.push(
                "policy asks for a second person, but whoever reaches this open loopback listener is the one caller \
                 `loopback`; give people keys (access.api_keys) or a login (access.oidc)"
                    .to_owned(),
            );
        }
        if mistakes.is_empty() {
            Ok(Checked {
                config: self,
                keys,
                warnings,
                targets,
            })
        } else {
            Err(Mistakes(mistakes))
        }
    }

    /// Whether a role runs in this process.
    pub fn has(&self, role: Role) -> bool {
        self.roles.0.contains(&role)
    }

    /// Whether this process reads the keys that people create: it makes them itself, or shares their store.
    pub fn has_key_store(&self) -> bool {
        self.has(Role::Dashboard) || self.store.is_shared()
    }

    /// Listeners of this process for REST and OTLP that other machines reach, by their settings.
    pub fn exposed(&self) -> Vec<(&'static str, SocketAddr)> {
        let listeners = [
            (
                Role::Ingestion,
                "ingestion.grpc_listen",
                self.ingestion.grpc_listen,
            ),
            (
                Role::Ingestion,
                "ingestion.http_listen",
                self.ingestion.http_listen,
            ),
            (Role::Dashboard, "dashboard.listen", self.dashboard.listen),
        ];
        let exposed = listeners
            .into_iter()
            .filter(|(role, _, address)| self.has(*role) && !address.ip().is_loopback());
        exposed.map(|(_, name, address)| (name, address)).collect()
    }

    /// Whether the door for people is open as long as no key is stored.
    fn may_be_open(&self) -> bool {
        self.access.api_keys.is_empty()
            && !self.access.has_login()
            && self.exposed().is_empty()
            && !self.wants_bootstrap()
    }

    /// Whether a first admin key is made where there has never been a key: asked for, or nobody could come in
    /// otherwise. Only the process with the door for people makes it.
    pub fn wants_bootstrap(&self) -> bool {
        let is_needed =
            self.access.api_keys.is_empty() && !self.access.has_login() && !self.exposed().is_empty();
        self.has(Role::Dashboard) && self.access.bootstrap.unwrap_or(is_needed)
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

    /// Scenario: a store that is not there, gRPC open to the network without certificates, and limits that let nobody
    /// in.
    /// Guarantees: the mistakes are reported together, and a password in a URL is not printed.
    #[test]
    fn every_mistake_at_once() {
        let mut config = Config::default();
        config.store.url = "mysql://me:secret@db/immune".to_owned();
        config.grpc.host = "0.0.0.0".parse().unwrap();
        config.access.limits.reads.burst = 0;
        let Mistakes(mistakes) = config.check().unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(!mistakes.join("").contains("secret"), "{mistakes:?}");
    }

    /// Guarantees: the defaults are a valid configuration.
    #[test]
    fn defaults_are_valid() {
        assert!(Config::default().check().is_ok());
    }

    /// Scenario: listeners on loopback and beyond, with and without keys, with all roles and with ingestion alone, with
    /// and without a store that is shared.
    /// Guarantees: the first key is made where nobody could come in otherwise; a process that can verify nobody does
    /// not start.
    #[test]
    fn who_makes_the_first_key() {
        let everywhere: SocketAddr = "0.0.0.0:1".parse().unwrap();
        let mut config = Config::default();
        assert!(!config.wants_bootstrap(), "loopback is open");
        config.ingestion.http_listen = everywhere;
        assert!(config.wants_bootstrap());
        assert!(config.clone().check().is_ok());
        config.access.bootstrap = Some(false);
        assert!(!config.wants_bootstrap());

        let mut alone = Config::default();
        alone.roles.0 = [Role::Ingestion].into_iter().collect();
        alone.ingestion.grpc_listen = everywhere;
        assert!(!alone.wants_bootstrap() && !alone.has_key_store());
        let Mistakes(mistakes) = alone.clone().check().unwrap_err();
        let of_listener = |mistake: &&String| mistake.starts_with("ingestion.grpc_listen");
        assert_eq!(mistakes.iter().filter(of_listener).count(), 1, "{mistakes:?}");
        alone.store.url = "postgres://db/immune".to_owned();
        let Mistakes(mistakes) = alone.check().unwrap_err();
        assert_eq!(mistakes.iter().filter(of_listener).count(), 0, "{mistakes:?}");
    }
}
