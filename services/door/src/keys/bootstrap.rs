//! The first admin key, where nobody could come in otherwise.

use super::{KeyError, Keys, secret};
use immune_domain::Timestamp;
use immune_runtime::access::Role;
use immune_runtime::config::Secret;
use immune_store::access::{Added, StoredKey};

/// The first key, just made.
#[derive(Debug)]
pub struct Bootstrapped {
    /// Its name.
    pub name: String,
    /// What to tell the operator, once, and nobody else.
    pub secret: Secret,
}

impl Keys {
    /// A first admin key, to be made with [`Bootstrap::attempt`].
    pub fn bootstrap(&self, now: Timestamp) -> Bootstrap {
        let secret = secret::of(rand::random());
        Bootstrap {
            key: StoredKey {
                id: format!("key-{}", uuid::Uuid::now_v7().simple()),
                name: "bootstrap".to_owned(),
                hash: secret::hash(secret.expose()),
                role: Role::Admin.to_string(),
                runs: Vec::new(),
                created_at: now,
                created_by: "bootstrap".to_owned(),
                expires_at: None,
                revoked: None,
                last_used_at: None,
            },
            secret,
            keys: self.clone(),
        }
    }
}

/// A first key that is being made.
pub struct Bootstrap {
    key: StoredKey,
    secret: Secret,
    keys: Keys,
}

impl Bootstrap {
    /// Makes it; `None` when there has been a key before, also one that is gone. Of several processes that start at
    /// once, one makes it. The same attempt again finds its own key, so that one whose answer was lost is not one
    /// whose secret nobody knows.
    ///
    /// # Errors
    /// When the store cannot answer; try again.
    pub async fn attempt(&self) -> Result<Option<Bootstrapped>, KeyError> {
        let added = self.keys.store()?.add_key(&self.key, true).await?;
        self.keys.refresh().await?;
        match added {
            Added::Yes => Ok(Some(Bootstrapped {
                name: self.key.name.clone(),
                secret: self.secret.clone(),
            })),
            Added::NotFirst | Added::Full | Added::NameTaken => Ok(None),
        }
    }
}
