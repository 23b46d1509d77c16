//! Options of the dashboard role.

use immune_runtime::tls::DoorFiles;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where REST listens and how much it takes in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of REST, default 127.0.0.1:8090. On any other than a loopback address everybody needs a key or a login;
    /// where none is configured, a first admin key is made (`access.bootstrap`).
    pub listen: SocketAddr,
    /// Certificate of the listener, read again whenever its files change: REST comes over TLS then, and only so.
    /// Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<DoorFiles>,
    /// Largest request body, bytes, default 1 MiB.
    pub body_bytes_max: usize,
    /// Longest time that a request may take, seconds, default 30. Live events are not bound by it.
    pub request_seconds_max: u64,
    /// Requests at the same time, default 512; more are answered with 503 and a time to wait.
    pub requests_max: usize,
    /// Readers of live events at the same time, default 128.
    pub event_streams_max: usize,
    /// Silence of telemetry after which the guard calls itself blind, seconds, default 60.
    pub blind_after_seconds: u64,
    /// Names, without port, under which browsers may reach an open loopback listener, beside `localhost` and loopback
    /// addresses; default none.
    pub allowed_hosts: Vec<String>,
    /// Origins, as `https://host:port`, whose pages may send writes beside our own; default none.
    pub allowed_origins: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            tls: None,
            body_bytes_max: 1 << 20,
            request_seconds_max: 30,
            requests_max: 512,
            event_streams_max: 128,
            blind_after_seconds: 60,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("body_bytes_max", self.body_bytes_max as u64, 1 << 10, 64 << 20);
        within("request_seconds_max", self.request_seconds_max, 1, 300);
        within("requests_max", self.requests_max as u64, 1, 100_000);
        within("event_streams_max", self.event_streams_max as u64, 1, 10_000);
        within("blind_after_seconds", self.blind_after_seconds, 5, 86_400);
        if let Some(tls) = &self.tls {
            tls.check(&format!("{path}.tls"), mistakes);
        }
        for (i, origin) in self.allowed_origins.iter().enumerate() {
            if !(origin.starts_with("http://") || origin.starts_with("https://")) {
                mistakes.push(format!(
                    "{path}.allowed_origins[{i}] = {origin:?}: must begin with http:// or https://"
                ));
            }
        }
    }

    pub(crate) fn request_max(&self) -> Duration {
        Duration::from_secs(self.request_seconds_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are right, and what is out of range is named with its path.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("dashboard", &mut mistakes);
        assert_eq!(mistakes, Vec::<String>::new());
        let config = Config {
            requests_max: 0,
            ..Config::default()
        };
        config.check("dashboard", &mut mistakes);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].starts_with("dashboard.requests_max = 0"),
            "{mistakes:?}"
        );
    }
}
