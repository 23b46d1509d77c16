//! The sessions that were looked up a moment ago, so that not every request of a page reads the store.

use immune_domain::Timestamp;
use immune_store::access::{SecretHash, Session};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long what was read holds: a logout at one replica is seen by every other one within this time.
pub const HOLDS: Duration = Duration::from_secs(5);
/// The most sessions that are held.
const HELD_MAX: usize = 4_096;

/// Time between two notes in the store that a session was used.
pub const NOTE_EVERY: Duration = Duration::from_secs(60);

struct Held {
    session: Arc<Session>,
    read_at: Timestamp,
}

#[derive(Default)]
struct State {
    held: HashMap<SecretHash, Held>,
    /// Counts removals. What was read from the store before one may be what was removed.
    removals: u64,
}

/// The cache. Only sessions that exist are held: guessed ones do not pass the signature.
#[derive(Default)]
pub(crate) struct Cache(Mutex<State>);

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, hash: &SecretHash, now: Timestamp) -> Option<Arc<Session>> {
        let state = self.state();
        let held = state.held.get(hash)?;
        let is_fresh = now >= held.read_at && now.since(held.read_at) < HOLDS;
        is_fresh.then(|| held.session.clone())
    }

    /// To be taken before reading the store, and given back with what was read.
    pub fn removals(&self) -> u64 {
        self.state().removals
    }

    pub fn put(&self, session: Arc<Session>, now: Timestamp, removals: u64) {
        let mut state = self.state();
        if state.removals != removals {
            return;
        }
        if state.held.len() >= HELD_MAX {
            state.held.retain(|_, held| now.since(held.read_at) < HOLDS);
        }
        if state.held.len() >= HELD_MAX {
            return;
        }
        let held = Held {
            session,
            read_at: now,
        };
        state.held.insert(held.session.hash, held);
    }

    /// Whether it is this caller's turn to note in the store that the session is used.
    pub fn takes_note(&self, hash: &SecretHash, now: Timestamp) -> bool {
        let mut state = self.state();
        let Some(held) = state.held.get_mut(hash) else {
            return true;
        };
        if now.since(held.session.seen_at) < NOTE_EVERY {
            return false;
        }
        let mut session = Session::clone(&held.session);
        session.seen_at = now;
        held.session = Arc::new(session);
        true
    }

    /// Forgets everything: logouts are rare, and what is needed is read again.
    pub fn clear(&self) {
        let mut state = self.state();
        state.held.clear();
        state.removals += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(n: u64, seen_at: Timestamp) -> Arc<Session> {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_le_bytes());
        Arc::new(Session {
            hash,
            subject: "ada".into(),
            via: "oidc:https://id.example".into(),
            name: "Ada".into(),
            role: "viewer".into(),
            runs: Vec::new(),
            provider_session: None,
            provider_subject: None,
            id_token: None,
            created_at: seen_at,
            seen_at,
            ends_at: seen_at,
        })
    }

    /// Scenario: a session is read, a logout happens, and only then the read is put in.
    /// Guarantees: the logged-out session does not come back; what is fresh does, and goes stale in time.
    #[test]
    fn what_was_removed_stays_away() {
        let (cache, now) = (Cache::default(), Timestamp::from_micros(1_000_000_000));
        let one = session(1, now);
        let before = cache.removals();
        cache.clear();
        cache.put(one.clone(), now, before);
        assert!(cache.get(&one.hash, now).is_none());
        cache.put(one.clone(), now, cache.removals());
        assert!(cache.get(&one.hash, now.plus(HOLDS / 2)).is_some());
        assert!(cache.get(&one.hash, now.plus(HOLDS)).is_none());
        assert!(
            cache.get(&one.hash, now.minus(HOLDS)).is_none(),
            "the clock went back"
        );
    }

    /// Guarantees: the cache is bounded, and makes room by what is stale.
    #[test]
    fn it_is_bounded() {
        let (cache, now) = (Cache::default(), Timestamp::from_micros(1_000_000_000));
        for n in 0..=HELD_MAX as u64 {
            cache.put(session(n, now), now, 0);
        }
        assert!(cache.get(&session(HELD_MAX as u64, now).hash, now).is_none());
        let later = now.plus(HOLDS);
        cache.put(session(HELD_MAX as u64, now), later, 0);
        assert!(cache.get(&session(HELD_MAX as u64, now).hash, later).is_some());
    }

    /// Guarantees: use is noted once a minute, by one request.
    #[test]
    fn use_is_noted_once_a_minute() {
        let (cache, now) = (Cache::default(), Timestamp::from_micros(1_000_000_000));
        let one = session(1, now);
        cache.put(one.clone(), now, 0);
        assert!(!cache.takes_note(&one.hash, now.plus(NOTE_EVERY / 2)));
        assert!(cache.takes_note(&one.hash, now.plus(NOTE_EVERY)));
        assert!(!cache.takes_note(&one.hash, now.plus(NOTE_EVERY)));
    }
}
