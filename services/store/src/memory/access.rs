//! Keys and sessions in memory. A restart forgets them: who keeps nothing makes keys anew.

use super::locked;
use crate::access::{
    AccessStore, Added, Ending, KEYS_MAX, SESSIONS_PER_SUBJECT, SecretHash, Session, StoredKey,
};
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::Timestamp;
use std::collections::HashMap;
use std::sync::Mutex;

/// The in-memory [`AccessStore`].
#[derive(Default)]
pub struct MemoryAccess {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order of adding.
    keys: Vec<StoredKey>,
    had_a_key: bool,
    sessions: HashMap<SecretHash, Session>,
    secrets: HashMap<String, [u8; 32]>,
}

impl State {
    fn add_key(&mut self, key: &StoredKey, first: bool) -> Added {
        if self.keys.iter().any(|k| k.id == key.id && k.hash == key.hash) {
            return Added::Yes;
        }
        if first && self.had_a_key {
            return Added::NotFirst;
        }
        if self.keys.len() >= KEYS_MAX {
            return Added::Full;
        }
        let is_same = |k: &&StoredKey| k.name == key.name && k.may_be_used(key.created_at);
        if self.keys.iter().find(is_same).is_some() {
            return Added::NameTaken;
        }
        self.keys.push(key.clone());
        self.had_a_key = true;
        Added::Yes
    }

    fn put_session(&mut self, session: &Session) {
        self.sessions
            .entry(session.hash)
            .or_insert_with(|| session.clone());
        let mut of_subject: Vec<(Timestamp, SecretHash)> = self
            .sessions
            .values()
            .filter(|s| s.subject == session.subject && s.via == session.via)
            .map(|s| (s.seen_at, s.hash))
            .collect();
        if of_subject.len() > SESSIONS_PER_SUBJECT {
            of_subject.sort_unstable_by(|a, b| b.cmp(a));
            for (_, hash) in of_subject.drain(SESSIONS_PER_SUBJECT..) {
                self.sessions.remove(&hash);
            }
        }
    }
}

fn is_meant(session: &Session, ending: &Ending) -> bool {
    match ending {
        Ending::Session(hash) => session.hash == *hash,
        Ending::ProviderSession(sid) => session.provider_session.as_ref() == Some(sid),
        Ending::ProviderSubject(sub) => session.provider_subject.as_ref() == Some(sub),
        Ending::Via(via) => session.via == *via,
    }
}

#[async_trait]
impl AccessStore for MemoryAccess {
    async fn add_key(&self, key: &StoredKey, first: bool) -> Result<Added> {
        Ok(locked(&self.state).add_key(key, first))
    }

    async fn keys(&self) -> Result<Vec<StoredKey>> {
        let mut keys = locked(&self.state).keys.clone();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    async fn revoke_key(&self, id: &str, at: Timestamp, by: &str) -> Result<bool> {
        let mut state = locked(&self.state);
        let Some(key) = state.keys.iter_mut().find(|key| key.id == id) else {
            return Ok(false);
        };
        let revocation = (at, by.to_owned());
        if key.revoked.as_ref() == Some(&revocation) {
            return Ok(true);
        }
        let may = key.may_be_used(at);
        if may {
            key.revoked = Some(revocation);
        }
        Ok(may)
    }

    async fn keys_used(&self, uses: &[(String, Timestamp)]) -> Result<()> {
        let mut state = locked(&self.state);
        for (id, at) in uses {
            if let Some(key) = state.keys.iter_mut().find(|key| key.id == *id) {
                key.last_used_at = key.last_used_at.max(Some(*at));
            }
        }
        Ok(())
    }

    async fn put_session(&self, session: &Session) -> Result<()> {
        locked(&self.state).put_session(session);
        Ok(())
    }

    async fn session(&self, hash: &SecretHash) -> Result<Option<Session>> {
        Ok(locked(&self.state).sessions.get(hash).cloned())
    }

    async fn session_seen(&self, hash: &SecretHash, at: Timestamp) -> Result<()> {
        if let Some(session) = locked(&self.state).sessions.get_mut(hash) {
            session.seen_at = session.seen_at.max(at);
        }
        Ok(())
    }

    async fn end_sessions(&self, ending: &Ending) -> Result<u64> {
        let mut state = locked(&self.state);
        let had = state.sessions.len();
        state.sessions.retain(|_, session| !is_meant(session, ending));
        Ok((had - state.sessions.len()) as u64)
    }

    async fn shared_secret(&self, name: &str, proposed: &[u8; 32]) -> Result<[u8; 32]> {
        let mut state = locked(&self.state);
        Ok(*state.secrets.entry(name.to_owned()).or_insert(*proposed))
    }

    async fn purge_access(&self, before: Timestamp) -> Result<u64> {
        let mut state = locked(&self.state);
        let had = state.keys.len() + state.sessions.len();
        state.keys.retain(|key| {
            let is_revoked = key.revoked.as_ref().is_some_and(|(at, _)| *at < before);
            !is_revoked && key.expires_at.is_none_or(|end| end >= before)
        });
        state
            .sessions
            .retain(|_, session| session.ends_at >= before && session.seen_at >= before);
        Ok((had - state.keys.len() - state.sessions.len()) as u64)
    }
}
