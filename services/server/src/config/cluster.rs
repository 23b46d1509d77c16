//! What a cluster adds: which roles run here, where the others are, how the roles know each other, and the servers
//! that they share.

use super::Config;
use crate::roles::Role;
use anyhow::Context;
use immune_runtime::access::RoleToken;
use immune_runtime::config::Secret;
use immune_runtime::grpc::Target;
use immune_runtime::tls::RoleFiles;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The roles of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(pub Vec<Role>);

impl Default for Roles {
    fn default() -> Self {
        Roles(Role::ALL.to_vec())
    }
}

/// gRPC between roles and for programs. In one process the roles call each other without a socket; the listeners
/// are for other processes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// Whether to listen; default true.
    pub enabled: bool,
    /// Address of the listeners of all roles of this process. Beyond loopback only with `tls`, which asks every
    /// caller for a certificate. Default 127.0.0.1.
    pub host: IpAddr,
    /// Port of the first role (ingestion), the others follow: baseline, sentinel, quarantine, healer, dashboard.
    /// Default 50051; 0 takes any free ports.
    pub first_port: u16,
    /// Certificates, with which roles know each other across machines; default none.
    pub tls: Option<RoleFiles>,
    /// A secret that all processes of one machine share, with which their roles know each other on loopback where
    /// there is no `tls`; default none: then only roles of one process talk to each other.
    pub token: Option<Secret>,
    /// The same, in a file.
    pub token_file: Option<PathBuf>,
}

impl Default for Grpc {
    fn default() -> Self {
        Grpc {
            enabled: true,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            first_port: 50051,
            tls: None,
            token: None,
            token_file: None,
        }
    }
}

impl Grpc {
    /// Where a role listens.
    pub fn address(&self, role: Role) -> SocketAddr {
        let port = match self.first_port {
            0 => 0,
            first => first.saturating_add(role.index() as u16),
        };
        SocketAddr::from((self.host, port))
    }
}

/// Where the replicas of each role are: `HOST:PORT`, several separated by commas. Every address of a host's DNS name
/// is a replica. A role that is not named is reached in this process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Addresses {
    /// OTLP in, vitals out.
    pub ingestion: Option<String>,
    /// Learns.
    pub baseline: Option<String>,
    /// Judges.
    pub sentinel: Option<String>,
    /// Contains and decides.
    pub quarantine: Option<String>,
    /// Heals.
    pub healer: Option<String>,
    /// The door for people.
    pub dashboard: Option<String>,
}

/// Redis, which carries the vitals between several replicas.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// `redis://`, `rediss://`, `redis+cluster://` or `redis+sentinel://`; may hold a password and is never printed.
    pub url: Option<Secret>,
    /// The same, in a file.
    pub url_file: Option<PathBuf>,
    /// How vitals are kept there.
    pub bus: immune_bus_redis::Config,
}

impl Redis {
    /// Where it is; `None` when nothing says so.
    ///
    /// # Errors
    /// When the file cannot be read or the text is no address; it is not told, since it may hold a password.
    pub fn address(&self) -> anyhow::Result<Option<immune_bus_redis::Address>> {
        let text = match (&self.url, &self.url_file) {
            (Some(url), _) => url.expose().to_owned(),
            (None, Some(file)) => std::fs::read_to_string(file)
                .with_context(|| format!("redis.url_file = {}", file.display()))?
                .trim()
                .to_owned(),
            (None, None) => return Ok(None),
        };
        Ok(Some(text.parse().context("redis.url")?))
    }
}

impl Addresses {
    /// Every role that is elsewhere.
    pub(super) fn targets(&self, mistakes: &mut Vec<String>) -> Vec<Target> {
        let mut targets = Vec::new();
        for role in Role::ALL {
            match self.of(role).map(|text| Target::parse(role.name(), text)) {
                Some(Ok(target)) => targets.push(target),
                Some(Err(error)) => mistakes.push(format!("peers.{}: {error}", role.as_str())),
                None => {}
            }
        }
        targets
    }

    /// Where a role is, if it is elsewhere.
    pub fn of(&self, role: Role) -> Option<&str> {
        let named = match role {
            Role::Ingestion => &self.ingestion,
            Role::Baseline => &self.baseline,
            Role::Sentinel => &self.sentinel,
            Role::Quarantine => &self.quarantine,
            Role::Healer => &self.healer,
            Role::Dashboard => &self.dashboard,
        };
        named.as_deref()
    }
}

/// What a set of roles in several processes needs beyond what one process needs.
pub(super) fn check(config: &Config, mistakes: &mut Vec<String>) {
    if config.roles.0.is_empty() {
        mistakes.push("roles = []: must name at least one role, or be left out for all".to_owned());
    }
    let is_here = |role: &Role| config.has(*role);
    for role in &config.roles.0 {
        for called in role.calls() {
            if !is_here(called) && config.peers.of(*called).is_none() {
                mistakes.push(format!(
                    "peers.{called} is missing: {role} calls it, and it does not run in this process",
                    called = called.as_str(),
                    role = role.as_str()
                ));
            }
        }
    }
    let grpc = &config.grpc;
    let is_split = !Role::ALL
        .iter()
        .all(|role| is_here(role) && config.peers.of(*role).is_none());
    if is_split && !grpc.enabled {
        mistakes.push("grpc.enabled = false: must be true where roles run in several processes".to_owned());
    }
    if is_split && grpc.tls.is_none() && grpc.token.is_none() && grpc.token_file.is_none() {
        mistakes.push(
            "grpc.tls is missing: roles in several processes know each other by certificates (or, on one machine, \
             by grpc.token or grpc.token_file)"
                .to_owned(),
        );
    }
    if let Some(token) = &grpc.token {
        RoleToken::check(token, "grpc.token", mistakes);
    }
    if is_split && config.roles.0.iter().any(|role| role.needs_workflow()) && !config.store.is_shared() {
        mistakes.push(format!(
            "store.url = {}: must be postgres://... where roles run in several processes",
            config.store.shown()
        ));
    }
    let needs_vitals = config.roles.0.iter().any(|role| role.needs_vitals());
    if is_split && needs_vitals && config.influx.is_none() && !config.store.is_shared() {
        mistakes.push(
            "influx is missing: vitals need a shared store where roles run in several processes (influx.url, or \
             store.url = postgres://... for everything)"
                .to_owned(),
        );
    }
    if let Some(redis) = &config.redis {
        match redis.address() {
            Ok(Some(_)) => {}
            Ok(None) => mistakes.push("redis.url is missing (or redis.url_file, or REDIS_URL)".to_owned()),
            Err(error) => mistakes.push(format!("{error:#}")),
        }
    }
    if grpc.enabled && !grpc.host.is_loopback() && grpc.tls.is_none() {
        mistakes.push(format!(
            "grpc.host = {}: must be a loopback address unless grpc.tls is set, since whoever reaches these ports is \
             believed",
            grpc.host
        ));
    }
    if grpc.first_port > u16::MAX - 5 {
        mistakes.push(format!(
            "grpc.first_port = {}: six ports must follow each other",
            grpc.first_port
        ));
    }
}
