//! Creating, listing and revoking keys.

use super::{Keys, VIA, secret};
use immune_domain::{ErrorKind, RunId, Timestamp, is_well_formed};
use immune_runtime::access::{Caller, Role};
use immune_runtime::config::Secret;
use immune_store::access::{Added, Ending, KEYS_MAX, StoredKey};
use immune_store::{AccessStore, StorageError};
use std::sync::Arc;

/// The longest name, characters.
pub const NAME_CHARS_MAX: usize = 64;
/// The most runs that a key can be bound to.
pub const RUNS_MAX: usize = 100;

/// A key to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Name in the action log: 1 to 64 letters, digits and `.-_@`.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// Runs that it is bound to; empty: those of who creates it.
    pub runs: Vec<RunId>,
    /// From when on it opens nothing; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// A key that was created. The secret is here and nowhere else.
#[derive(Debug)]
pub struct Created {
    /// What is kept.
    pub key: StoredKey,
    /// What its holder must know.
    pub secret: Secret,
}

/// Why a key was not created or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// This process cannot keep keys.
    #[error("this process has no store of keys; configure access.api_keys instead")]
    NoStore,
    /// The name is none.
    #[error(
        "name must be 1 to {NAME_CHARS_MAX} letters, digits and any of . - _ @, and not that of a configured key"
    )]
    Name,
    /// A run is none, or there are too many.
    #[error(
        "runs must be at most {RUNS_MAX}, each 1 to 512 bytes without control characters, and neither . nor .."
    )]
    Runs,
    /// It would have expired already.
    #[error("expires_at must be in the future")]
    Expired,
    /// The door would close on who creates it.
    #[error(
        "the first key must be of role admin, for all runs and without an end: from it on the door asks for a key"
    )]
    FirstMustBeAdmin,
    /// Nobody could create keys any more.
    #[error("this is the last key of role admin without an end; create another one first")]
    LastAdmin,
    /// Nobody gives away more than they have.
    #[error("a key of role {0} is above your own")]
    RoleAbove(Role),
    /// Nobody gives away more than they have.
    #[error("run {0} is not one of yours")]
    RunOutside(RunId),
    /// Another key has the name.
    #[error("there is a key named {0} already; revoke it first, or choose another name")]
    NameTaken(String),
    /// There are too many.
    #[error("there are {KEYS_MAX} keys already; revoked ones make room after a while")]
    Full,
    /// No such key that may be used, or not one of the caller's runs.
    #[error("no such key that may be used")]
    NotFound,
    /// The store could not answer.
    #[error("the store of keys could not answer")]
    Store(#[from] StorageError),
}

impl KeyError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            KeyError::Name | KeyError::Runs | KeyError::Expired => ErrorKind::Invalid,
            KeyError::RoleAbove(_) | KeyError::RunOutside(_) => ErrorKind::Forbidden,
            KeyError::NoStore
            | KeyError::FirstMustBeAdmin
            | KeyError::LastAdmin
            | KeyError::NameTaken(_)
            | KeyError::Full => ErrorKind::Conflict,
            KeyError::NotFound => ErrorKind::NotFound,
            KeyError::Store(error) => error.kind(),
        }
    }

    /// The end of a problem's type.
    pub const fn word(&self) -> &'static str {
        match self {
            KeyError::NoStore => "no_store",
            KeyError::Name => "name",
            KeyError::Runs => "runs",
            KeyError::Expired => "expired",
            KeyError::FirstMustBeAdmin => "first_must_be_admin",
            KeyError::LastAdmin => "last_admin",
            KeyError::RoleAbove(_) => "role_above",
            KeyError::RunOutside(_) => "run_outside",
            KeyError::NameTaken(_) => "name_taken",
            KeyError::Full => "full",
            KeyError::NotFound => "not_found",
            KeyError::Store(_) => "store",
        }
    }
}

impl Keys {
    pub(super) fn store(&self) -> Result<&Arc<dyn AccessStore>, KeyError> {
        self.inner.store.as_ref().ok_or(KeyError::NoStore)
    }

    /// The stored keys that a caller may see: those of its runs.
    ///
    /// # Errors
    /// When the store cannot answer.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<StoredKey>, KeyError> {
        let mut keys = self.store()?.keys().await?;
        keys.retain(|key| may_touch(caller, key));
        Ok(keys)
    }

    /// Creates a key. It works in this process at once, in others when they have read it. `has_other_way`: an
    /// administrator can come in without any stored key (OpenID Connect).
    ///
    /// # Errors
    /// When it may not be, and when the store cannot answer: then it may exist, and nobody knows its secret.
    pub async fn create(
        &self,
        new: NewKey,
        by: &Caller,
        has_other_way: bool,
        now: Timestamp,
    ) -> Result<Created, KeyError> {
        let store = self.store()?;
        let new = self.checked(new, by, now)?;
        let is_master = new.role == Role::Admin && new.runs.is_empty() && new.expires_at.is_none();
        if !is_master && !has_other_way && self.inner.configured.is_empty() && store.keys().await?.is_empty()
        {
            return Err(KeyError::FirstMustBeAdmin);
        }
        let secret = secret::of(rand::random());
        let key = StoredKey {
            id: format!("key-{}", uuid::Uuid::now_v7().simple()),
            name: new.name,
            hash: secret::hash(secret.expose()),
            role: new.role.to_string(),
            runs: new.runs,
            created_at: now,
            created_by: by.person.subject.clone(),
            expires_at: new.expires_at,
            revoked: None,
            last_used_at: None,
        };
        match store.add_key(&key, false).await? {
            Added::Yes => {}
            Added::NameTaken => return Err(KeyError::NameTaken(key.name)),
            // Only a first key is told that it is not.
            Added::Full | Added::NotFirst => return Err(KeyError::Full),
        }
        self.refreshed().await;
        Ok(Created { key, secret })
    }

    /// Revokes a key and ends the sessions that were opened with it. It stops working in this process at once.
    /// `has_other_way`: as for [`Keys::create`].
    ///
    /// # Errors
    /// When there is none that may be used, when it is the last that can create others, and when the store cannot
    /// answer.
    pub async fn revoke(
        &self,
        id: &str,
        by: &Caller,
        has_other_way: bool,
        now: Timestamp,
    ) -> Result<StoredKey, KeyError> {
        let store = self.store()?;
        let keys = store.keys().await?;
        let found = keys
            .iter()
            .find(|key| key.id == id && may_touch(by, key) && key.may_be_used(now));
        let key = found.ok_or(KeyError::NotFound)?;
        let is_master = |key: &StoredKey| {
            key.role == Role::Admin.as_str()
                && key.runs.is_empty()
                && key.expires_at.is_none()
                && key.revoked.is_none()
        };
        let others = keys.iter().filter(|other| other.id != id && is_master(other));
        let can_configure = self.inner.configured.callers().any(|c| c.role == Role::Admin);
        if is_master(key) && !has_other_way && !can_configure && others.count() == 0 {
            return Err(KeyError::LastAdmin);
        }
        if !store.revoke_key(id, now, &by.person.subject).await? {
            return Err(KeyError::NotFound);
        }
        self.refreshed().await;
        store.end_sessions(&Ending::Via(format!("{VIA}{id}"))).await?;
        Ok(StoredKey {
            revoked: Some((now, by.person.subject.clone())),
            ..key.clone()
        })
    }

    /// The change is made; if it cannot be read back now, it will be in a few seconds.
    async fn refreshed(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "a change to the keys could not be read back yet");
        }
    }

    fn checked(&self, mut new: NewKey, by: &Caller, now: Timestamp) -> Result<NewKey, KeyError> {
        let is_name = (1..=NAME_CHARS_MAX).contains(&new.name.len())
            && new
                .name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-_@".contains(&b));
        let mut configured = self.inner.configured.callers();
        if !is_name || configured.any(|caller| caller.person.subject == new.name) {
            return Err(KeyError::Name);
        }
        if new.runs.len() > RUNS_MAX || !new.runs.iter().all(|run| is_well_formed(run.as_str())) {
            return Err(KeyError::Runs);
        }
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(KeyError::Expired);
        }
        if !by.role.covers(new.role) {
            return Err(KeyError::RoleAbove(new.role));
        }
        if let Some(outside) = new.runs.iter().find(|run| !by.may_use(run)) {
            return Err(KeyError::RunOutside(outside.clone()));
        }
        if new.runs.is_empty() {
            new.runs = by.runs.clone();
        }
        Ok(new)
    }
}

/// Whether a caller may see and revoke a key: one that is bound to runs touches keys within them only.
fn may_touch(caller: &Caller, key: &StoredKey) -> bool {
    caller.runs.is_empty() || (!key.runs.is_empty() && key.runs.iter().all(|run| caller.may_use(run)))
}
