//! Options of the door: the section `access` of the configuration.

use crate::address::Network;
use crate::{limits, oidc, sessions};
use immune_runtime::access::ApiKey;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who may call REST and OTLP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Keys that are configured; default none. Others are created in the product (`immune keys create`). Without any
    /// key a loopback listener is open; on any other, an admin key is made at the first start.
    pub api_keys: Vec<ApiKey>,
    /// Whether a first admin key is made, once per store, and printed on stderr: default only where somebody could not
    /// come in otherwise (REST or OTLP listens on more than loopback, no key is configured, no OpenID Connect).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<bool>,
    /// Time between two readings of the stored keys, seconds, default 5, at most 60: how long a key that was revoked
    /// elsewhere goes on working here. While the store is away, the keys read last go on.
    pub refresh_seconds: u64,
    /// Proxies whose `X-Forwarded-For` is believed, addresses or ranges (`10.0.0.0/8`); default none.
    pub trusted_proxies: Vec<Network>,
    /// How often callers may ask, and when guessing is locked out.
    pub limits: limits::Config,
    /// Login of people with an OpenID provider; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc: Option<oidc::Config>,
    /// How long people stay logged in.
    pub sessions: sessions::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            api_keys: Vec::new(),
            bootstrap: None,
            refresh_seconds: 5,
            trusted_proxies: Vec::new(),
            limits: limits::Config::default(),
            oidc: None,
            sessions: sessions::Config::default(),
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !(1..=60).contains(&self.refresh_seconds) {
            mistakes.push(format!(
                "{path}.refresh_seconds = {}: must be between 1 and 60",
                self.refresh_seconds
            ));
        }
        self.limits.check(&format!("{path}.limits"), mistakes);
        self.sessions.check(&format!("{path}.sessions"), mistakes);
        if let Some(oidc) = &self.oidc {
            oidc.check(&format!("{path}.oidc"), mistakes);
        }
    }

    /// Whether people log in by OpenID Connect.
    pub fn has_login(&self) -> bool {
        self.oidc.is_some()
    }

    /// Time between two readings of the stored keys.
    pub fn refresh(&self) -> Duration {
        Duration::from_secs(self.refresh_seconds)
    }
}
