//! The door: who is calling. API keys, sessions, OpenID Connect, and the limits on guessing.
//!
//! Here: [`keys`] (configured ones and those created in the product), [`limits`] (rates, lock-out), and [`Door`],
//! which puts them together and answers one question: who sends this request. Not here: what a caller may do; that
//! is one table in the dashboard, and the role `ingest` at the OTLP listeners.
//!
//! **Open.** A loopback listener asks nobody while nothing is set up: no configured key, no stored one, no OpenID
//! Connect. From the first key on it asks everybody. OTLP on a loopback listener goes on without a key until somebody
//! makes a key of role `ingest` (or configures any key): closing REST must not stop the telemetry of agents that have
//! none yet. Where it is not known whether there are keys, because the store has not answered yet, the door is shut.
//!
//! To add a way in: a module that makes an [`Identity`] from headers, and its place in [`Door::identify`].

mod address;
mod config;
mod identity;
pub mod keys;
pub mod limits;
mod logins;
mod metrics;
pub mod oidc;
mod peer;
pub mod routes;
pub mod sessions;

pub use address::{Address, Network};
pub use config::Config;
pub use identity::{CurrentSession, Identity, Refusal};
pub use keys::Keys;
pub use limits::Limits;
pub use logins::Logins;
pub use metrics::{Metrics, RefusalLabels};
pub use oidc::OidcError;
pub use peer::Peer;

use axum::http::{HeaderMap, header};
use immune_domain::Timestamp;
use immune_runtime::access::{Caller, KeyRing};
use keys::Verdict;
use std::net::IpAddr;
use std::sync::Arc;

/// What the door must know of the process that it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// REST listens on a loopback address.
    pub rest_is_loopback: bool,
    /// OTLP listens on loopback addresses only.
    pub otlp_is_loopback: bool,
    /// People log in by OpenID Connect, so that there is a way in without any key.
    pub has_login: bool,
}

/// The door of a process. Clones share everything.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
    logins: Option<Arc<Logins>>,
}

struct Inner {
    keys: Keys,
    limits: Limits,
    trusted_proxies: Vec<Network>,
    setup: Setup,
    metrics: Metrics,
}

impl Door {
    /// A door with these keys.
    pub fn new(config: &Config, keys: Keys, setup: Setup, metrics: Metrics) -> Self {
        Door {
            inner: Arc::new(Inner {
                keys,
                limits: Limits::new(config.limits.clone()),
                trusted_proxies: config.trusted_proxies.clone(),
                setup,
                metrics,
            }),
            logins: None,
        }
    }

    /// A door with configured keys and nothing else; without any it stands open.
    pub fn of_keys(ring: KeyRing) -> Self {
        let setup = Setup {
            rest_is_loopback: true,
            otlp_is_loopback: true,
            has_login: false,
        };
        Door::new(
            &Config::default(),
            Keys::configured(ring),
            setup,
            Metrics::default(),
        )
    }

    /// This door with sessions, and with a provider where one is configured.
    pub fn with_logins(mut self, logins: Logins) -> Self {
        self.logins = Some(Arc::new(logins));
        self
    }

    /// The keys, to create, list and revoke.
    pub fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    /// The limits, for those who spend from them.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// What this door counts.
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// How callers are told apart, in a word: `open_loopback`, `keys`, `oidc`.
    pub fn access(&self) -> &'static str {
        match (self.is_open(), self.has_login()) {
            (true, _) => "open_loopback",
            (false, false) => "keys",
            (false, true) => "oidc",
        }
    }

    /// Whether people log in by OpenID Connect.
    pub fn has_login(&self) -> bool {
        self.inner.setup.has_login
    }

    /// Whether REST would let in whoever reaches its listener if there were no stored key, now or later.
    pub fn could_open(&self) -> bool {
        let Setup {
            rest_is_loopback,
            has_login,
            ..
        } = self.inner.setup;
        rest_is_loopback && !has_login && !self.inner.keys.has_configured()
    }

    /// Whether REST lets in whoever is on this machine.
    pub fn is_open(&self) -> bool {
        self.could_open() && self.inner.keys.is_known_empty()
    }

    /// Whether OTLP takes telemetry from whoever is on this machine.
    pub fn is_open_for_telemetry(&self) -> bool {
        self.inner.setup.otlp_is_loopback && self.inner.keys.nobody_must_send_one()
    }

    /// Where a request comes from: the peer, or, when the peer is a proxy that is trusted, whoever the proxy says.
    pub fn address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Address {
        address::of(peer, headers, &self.inner.trusted_proxies)
    }

    /// Who sends a request to REST.
    ///
    /// # Errors
    /// Why nobody is let in; counted.
    pub async fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Identity, Refusal> {
        let address = self.address(peer, headers);
        let found = self.identify_at(headers, address, now).await;
        if let Err(refusal) = &found {
            self.inner.metrics.refuse(refusal);
        }
        found
    }

    async fn identify_at(
        &self,
        headers: &HeaderMap,
        address: Address,
        now: Timestamp,
    ) -> Result<Identity, Refusal> {
        if self.is_open() {
            return Ok(Identity {
                caller: Caller::loopback(),
                session: None,
            });
        }
        // A key that is presented counts, whatever else comes with it.
        if let Some(key) = presented(headers) {
            let caller = self.present(key.unwrap_or_default(), address, now)?;
            return Ok(Identity {
                caller,
                session: None,
            });
        }
        let refusal = match self.stays(headers, now).await {
            Ok(Some(identity)) => return Ok(identity),
            Ok(None) => Refusal::NoCredential,
            Err(refusal) => refusal,
        };
        self.inner.limits.admit_stranger(address, now)?;
        Err(refusal)
    }

    /// Who sends telemetry; `None`: whoever is on this machine.
    ///
    /// # Errors
    /// Why nobody is let in; counted. What the caller's role allows is not asked here.
    pub fn identify_sender(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Option<Caller>, Refusal> {
        if self.is_open_for_telemetry() {
            return Ok(None);
        }
        let address = self.address(peer, headers);
        let found = match presented(headers) {
            Some(key) => self.present(key.unwrap_or_default(), address, now).map(Some),
            None => Err(self
                .inner
                .limits
                .admit_stranger(address, now)
                .err()
                .unwrap_or(Refusal::NoCredential)),
        };
        if let Err(refusal) = &found {
            self.inner.metrics.refuse(refusal);
        }
        found
    }

    /// The caller that presents this key here. While an address is locked out, only those get in who did before.
    ///
    /// # Errors
    /// When the key is not known, or the address has guessed too often.
    pub fn present(&self, key: &str, address: Address, now: Timestamp) -> Result<Caller, Refusal> {
        let limits = &self.inner.limits;
        match self.inner.keys.look(key, now) {
            Verdict::Known(caller) => {
                limits.welcome(address, &caller.person.via, now)?;
                Ok(caller)
            }
            Verdict::Unknown => {
                limits.guessed(address, key, now)?;
                Err(Refusal::UnknownKey)
            }
            Verdict::NotRead => Err(Refusal::NotReady),
        }
    }

    /// Lets a verified caller do one more thing, or says when. Whoever is on this machine with an open door is never
    /// slowed.
    ///
    /// # Errors
    /// When the caller has done too much of late; counted.
    pub fn admit(&self, caller: &Caller, is_write: bool, now: Timestamp) -> Result<(), Refusal> {
        if self.is_open() {
            return Ok(());
        }
        let admitted = self.inner.limits.admit(&caller.person, is_write, now);
        if let Err(refusal) = &admitted {
            self.inner.metrics.refuse(refusal);
        }
        admitted
    }
}

/// The key that a request presents, as `X-API-Key` or `Authorization: Bearer`; `Some(None)` when it is no text, which
/// must not pass for absence.
fn presented(headers: &HeaderMap) -> Option<Option<&str>> {
    if let Some(key) = headers.get("x-api-key") {
        return Some(key.to_str().ok());
    }
    let authorization = headers.get(header::AUTHORIZATION)?.to_str();
    let Ok(authorization) = authorization else {
        return Some(None);
    };
    let (scheme, key) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Some(key.trim()))
}
