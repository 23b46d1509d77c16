//! Keys and sessions: who may come in. Owner: the door.
//!
//! Secrets never come here: a key and a session are known by the SHA-256 of their secret.

use crate::error::Result;
use async_trait::async_trait;
use immune_domain::{RunId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// SHA-256 of a secret with at least 128 bits of randomness; no salt is needed for those.
pub type SecretHash = [u8; 32];

/// The most keys that exist at once, revoked and expired ones included until they are purged.
pub const KEYS_MAX: usize = 10_000;

/// The most sessions that one subject has at once.
pub const SESSIONS_PER_SUBJECT: usize = 100;

/// An API key that a person created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// Identity; public.
    pub id: String,
    /// Name in the action log; unique among keys that may be used.
    pub name: String,
    /// What a caller must know.
    pub hash: SecretHash,
    /// `viewer`, `operator`, `admin`, `ingest`.
    pub role: String,
    /// Runs that it is bound to; empty means all.
    pub runs: Vec<RunId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Verified subject who created it; `bootstrap` for the first.
    pub created_by: String,
    /// From when on it opens nothing; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// Since when it opens nothing, and who said so.
    pub revoked: Option<(Timestamp, String)>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
}

/// What came of adding a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is there.
    Yes,
    /// A key of this name may still be used.
    NameTaken,
    /// There are [`KEYS_MAX`] keys.
    Full,
    /// A first key was wanted, and there is a key already.
    NotFirst,
}

/// A person's stay, from login to logout.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// SHA-256 of the token in the cookie.
    pub hash: SecretHash,
    /// Verified subject.
    pub subject: String,
    /// How the subject was verified: `oidc:ISSUER`, `api_key:ID`.
    pub via: String,
    /// Name to show.
    pub name: String,
    /// `viewer`, `operator`, `admin`.
    pub role: String,
    /// Runs that it is bound to; empty means all.
    pub runs: Vec<RunId>,
    /// The provider's session (`sid`), for back-channel logout.
    pub provider_session: Option<String>,
    /// The provider's subject (`sub`) with the issuer, for back-channel logout of every session.
    pub provider_subject: Option<String>,
    /// The raw ID token, for the hint of a logout at the provider. Never logged.
    pub id_token: Option<String>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to about a minute; idle expiry counts from here.
    pub seen_at: Timestamp,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

impl fmt::Debug for Session {
    /// Without the hash and the ID token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("subject", &self.subject)
            .field("via", &self.via)
            .field("role", &self.role)
            .field("runs", &self.runs)
            .field("created_at", &self.created_at)
            .field("seen_at", &self.seen_at)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

/// Which sessions to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// This one.
    Session(SecretHash),
    /// Those of a session at the provider.
    ProviderSession(String),
    /// Those of a subject at the provider.
    ProviderSubject(String),
    /// Those that were opened this way (`api_key:ID`), when a key is revoked.
    Via(String),
}

impl StoredKey {
    /// Whether it opens anything at this time.
    pub fn may_be_used(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Keys and sessions.
///
/// Every method may be called again after its answer was lost: what a repeated call finds done is answered as done.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// Adds a key; with `first`, only if there has never been one, purged ones included (two processes that start at
    /// once make one). A name is taken while another key has it that may be used at this one's `created_at`. Asked in
    /// this order: is the very key (same id and hash) there already, first, full, name.
    async fn add_key(&self, key: &StoredKey, first: bool) -> Result<Added>;

    /// Every key, oldest first; never more than [`KEYS_MAX`].
    async fn keys(&self) -> Result<Vec<StoredKey>>;

    /// Revokes a key; `false` when there is none that may still be used at this time. Of several who revoke at once,
    /// one is answered `true`.
    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool>;

    /// Notes when keys were last used; never moves back. Keys that are gone are passed over.
    async fn keys_used(&self, uses: &[(String, Timestamp)]) -> Result<()>;

    /// Keeps a new session; one with the same hash that is there already stays as it is. Of one subject (by `via` and
    /// `subject`) the [`SESSIONS_PER_SUBJECT`] seen last are kept.
    async fn put_session(&self, session: &Session) -> Result<()>;

    /// The session of a token, whether or not it has expired.
    async fn session(&self, hash: &SecretHash) -> Result<Option<Session>>;

    /// Notes that a session was used; never moves back. One that has ended stays ended.
    async fn session_seen(&self, hash: &SecretHash, at: Timestamp) -> Result<()>;

    /// Ends sessions: they are gone. Returns how many there were; a call that was repeated counts what the first left.
    async fn end_sessions(&self, ending: &Ending) -> Result<u64>;

    /// A named secret that every replica shares (`session_signing`, ...): the one given becomes it if there is none
    /// yet; what all of them use is returned.
    async fn shared_secret(&self, name: &str, proposed: &[u8; 32]) -> Result<[u8; 32]>;

    /// Removes keys that have been revoked or expired, and sessions that ended or were not seen, before `before`;
    /// returns how many went.
    async fn purge_access(&self, before: Timestamp) -> Result<u64>;
}
