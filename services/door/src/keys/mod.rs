//! API keys: those of the configuration and those that people create.
//!
//! A stored key's secret is `imk_` and 43 letters, digits, `-` and `_`: 256 bits. Only its SHA-256 is kept, so it is
//! shown once. [`Keys::verify`] asks memory alone: stored keys are read again every few seconds ([`Keys::run`]), so
//! that a key that was revoked elsewhere stops working within that time; here it stops at once. While the store is
//! away the keys read last go on, and their end is still looked at whenever one is used.

mod bootstrap;
mod changes;
mod secret;
mod snapshot;
mod upkeep;

pub use bootstrap::{Bootstrap, Bootstrapped};
pub use changes::{Created, KeyError, NAME_CHARS_MAX, NewKey, RUNS_MAX};

use crate::metrics::Metrics;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use immune_domain::Timestamp;
use immune_runtime::access::{Caller, KeyRing};
use immune_store::AccessStore;
use snapshot::Snapshot;
use std::sync::{Arc, PoisonError, RwLock};

/// How the name of a key begins in [`immune_domain::case::Person::via`]; its id, or a configured key's name, follows.
pub const VIA: &str = "api_key:";

/// The keys of a process. Clones share them.
#[derive(Clone)]
pub struct Keys {
    inner: Arc<Inner>,
}

struct Inner {
    configured: KeyRing,
    /// `None`: this process has no store of keys.
    store: Option<Arc<dyn AccessStore>>,
    /// What was read last; `None`: nothing yet.
    known: RwLock<Option<Arc<Snapshot>>>,
    metrics: Metrics,
}

/// What is known of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Whose it is.
    Known(Caller),
    /// Nobody's, or one that has expired or was revoked.
    Unknown,
    /// No configured key's; the stored ones have not been read yet.
    NotRead,
}

impl Keys {
    /// Configured keys and, with a store, those in it: none until [`Keys::refresh`] has read them.
    pub fn new(configured: KeyRing, store: Option<Arc<dyn AccessStore>>, metrics: Metrics) -> Self {
        Keys {
            inner: Arc::new(Inner {
                configured,
                store,
                known: RwLock::new(None),
                metrics,
            }),
        }
    }

    /// Configured keys alone, for a process without a store of keys.
    pub fn configured(ring: KeyRing) -> Self {
        Keys::new(ring, None, Metrics::default())
    }

    /// The caller that presents this secret.
    pub fn verify(&self, secret: &str, now: Timestamp) -> Option<Caller> {
        match self.look(secret, now) {
            Verdict::Known(caller) => Some(caller),
            Verdict::Unknown | Verdict::NotRead => None,
        }
    }

    /// What is known of a secret; a key that is found counts as used now.
    pub fn look(&self, secret: &str, now: Timestamp) -> Verdict {
        // Both are asked, so that the time taken does not tell configured keys from others.
        let configured = self.inner.configured.verify(secret);
        let hash = secret::hash(secret);
        let known = self.known();
        let stored = known.as_ref().and_then(|known| known.find(&hash));
        if let Some(caller) = configured {
            return Verdict::Known(caller.clone());
        }
        if let Some(entry) = stored.filter(|entry| entry.key.may_be_used(now)) {
            entry.used(now);
            return Verdict::Known(entry.caller.clone());
        }
        match (&self.inner.store, known) {
            (Some(_), None) => Verdict::NotRead,
            (Some(_), Some(_)) | (None, _) => Verdict::Unknown,
        }
    }

    /// The caller whom a key stands for now, by the `via` that the key once gave (`api_key:ID`): for sessions that
    /// were opened with it. `None` when it opens nothing any more, or is not known (yet).
    pub fn caller_via(&self, via: &str, now: Timestamp) -> Option<Caller> {
        let id = via.strip_prefix(VIA)?;
        if let Some(caller) = self.inner.configured.callers().find(|c| c.person.via == via) {
            return Some(caller.clone());
        }
        let known = self.known()?;
        let entry = known.entries().find(|entry| entry.key.id == id)?;
        entry.key.may_be_used(now).then(|| entry.caller.clone())
    }

    /// What tells the secret of a configured key from an earlier one of the same name. `None` for a stored key, whose
    /// id is never given twice.
    pub(crate) fn fingerprint(&self, via: &str) -> Option<String> {
        let fingerprint = self.inner.configured.fingerprint(via)?;
        Some(URL_SAFE_NO_PAD.encode(fingerprint))
    }

    /// Whether there certainly is no key at all, configured or stored, of use or not.
    pub fn is_known_empty(&self) -> bool {
        self.inner.configured.is_empty()
            && match (&self.inner.store, self.known()) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(_), Some(known)) => known.entries().next().is_none(),
            }
    }

    /// Whether telemetry certainly needs no key: none is configured, and none was made for telemetry.
    pub(crate) fn nobody_must_send_one(&self) -> bool {
        self.inner.configured.is_empty()
            && match (&self.inner.store, self.known()) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(_), Some(known)) => !known.has_ingest,
            }
    }

    /// Whether there is a configured key.
    pub fn has_configured(&self) -> bool {
        !self.inner.configured.is_empty()
    }

    fn known(&self) -> Option<Arc<Snapshot>> {
        let known = self.inner.known.read();
        known.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests;
