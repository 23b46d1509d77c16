//! The stored profiles, for readers and watchers. Written by the learning loop only.

use immune_domain::AgentKey;
use immune_domain::baseline::Profile;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

/// Changes that a watcher may be behind before it has to begin anew.
const CHANGES_MAX: usize = 16_384;

/// A change of a stored profile.
#[derive(Debug, Clone)]
pub enum Change {
    /// Stored, new or again.
    Stored(Arc<Profile>),
    /// Forgotten.
    Removed(AgentKey),
}

/// The stored profiles.
#[derive(Debug)]
pub struct Board {
    profiles: RwLock<HashMap<AgentKey, Arc<Profile>>>,
    changes: broadcast::Sender<Change>,
    loaded: watch::Sender<bool>,
    closed: CancellationToken,
}

impl Default for Board {
    fn default() -> Self {
        Board {
            profiles: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES_MAX),
            loaded: watch::Sender::new(false),
            closed: CancellationToken::new(),
        }
    }
}

impl Board {
    /// One profile, as stored.
    pub fn get(&self, key: &AgentKey) -> Option<Arc<Profile>> {
        self.profiles
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
    }

    /// Changes from now on, and every profile that there is now. A change in between is in both.
    pub fn watch(&self) -> (broadcast::Receiver<Change>, Vec<Arc<Profile>>) {
        let changes = self.changes.subscribe();
        let profiles = self.profiles.read().unwrap_or_else(PoisonError::into_inner);
        (changes, profiles.values().cloned().collect())
    }

    /// Shows profiles that are stored now.
    pub(crate) fn show(&self, stored: impl IntoIterator<Item = Arc<Profile>>) {
        for profile in stored {
            let mut profiles = self.profiles.write().unwrap_or_else(PoisonError::into_inner);
            profiles.insert(profile.key.clone(), profile.clone());
            drop(profiles);
            // Nobody watching is no error.
            let _ = self.changes.send(Change::Stored(profile));
        }
    }

    /// Takes away a profile that is forgotten.
    pub(crate) fn take_away(&self, key: &AgentKey) {
        self.profiles
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key);
        let _ = self.changes.send(Change::Removed(key.clone()));
    }

    /// Says that everything the store had is shown.
    pub(crate) fn set_loaded(&self) {
        self.loaded.send_replace(true);
    }

    /// Waits until everything the store had is shown; at once when the role has stopped.
    pub async fn loaded(&self) {
        let mut loaded = self.loaded.subscribe();
        tokio::select! {
            _ = loaded.wait_for(|is_loaded| *is_loaded) => {}
            () = self.closed.cancelled() => {}
        }
    }

    /// Ends every watch, so that the server can drain.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Cancelled when the role has stopped.
    pub fn closed(&self) -> &CancellationToken {
        &self.closed
    }
}
