//! Logouts: told by the provider (OpenID Connect Back-Channel Logout 1.0), and of the provider's own session
//! (OpenID Connect RP-Initiated Logout 1.0).

use super::error::OidcError;
use super::{Provider, id_token};
use immune_domain::Timestamp;
use immune_store::access::{Ending, Session};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The most logout tokens that are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Logout tokens that were used, until they end by themselves. A token that is shown again could only end sessions
/// that were opened since; each replica remembers its own.
#[derive(Default)]
pub(crate) struct Replays(Mutex<HashMap<String, Timestamp>>);

impl Replays {
    /// Whether this is the first time; `false` also when there is no room to remember.
    fn is_new(&self, id: &str, ends_at: Timestamp, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED_MAX {
            seen.retain(|_, ends_at| *ends_at > now);
        }
        if seen.contains_key(id) || seen.len() >= REMEMBERED_MAX {
            return false;
        }
        seen.insert(id.to_owned(), ends_at);
        true
    }

    /// What was said with this token could not be done; it may be said again.
    fn forget(&self, id: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.remove(id);
    }
}

/// A logout that the provider has told us.
#[derive(Debug)]
pub(crate) struct ToldLogout {
    id: String,
    /// Which sessions end.
    pub ending: Ending,
}

impl Provider {
    /// Which sessions a logout token ends.
    pub async fn told_logout(&self, token: &str, now: Timestamp) -> Result<ToldLogout, OidcError> {
        let what = "logout token";
        let invalid = |problem: &str| OidcError::Token {
            what,
            problem: problem.to_owned(),
        };
        let (claims, typ) = self.verified(what, token, now).await?;
        let out = id_token::check_logout(&claims, typ.as_deref(), self.parties(), now).map_err(invalid)?;
        if !self.replays.is_new(&out.id, out.ends_at, now) {
            return Err(invalid("was used before"));
        }
        // With both, only that session is meant (section 2.7); the subject alone means all of them.
        let ending = match (out.session, out.subject) {
            (Some(sid), _) => Ending::ProviderSession(self.theirs(&sid)),
            (None, Some(sub)) => Ending::ProviderSubject(self.theirs(&sub)),
            (None, None) => return Err(invalid("names nobody")),
        };
        Ok(ToldLogout { id: out.id, ending })
    }

    /// The store did not end the sessions; the provider may say it again.
    pub fn not_done(&self, told: &ToldLogout) {
        self.replays.forget(&told.id);
    }

    /// Where to send a browser whose session has ended here, so that it ends at the provider, too; `None` when the
    /// provider offers no such place, or does not answer.
    pub async fn end_session_url(&self, session: &Session, now: Timestamp) -> Option<String> {
        if session.via != self.via() {
            return None;
        }
        let mut url = self.description(now).await.ok()?.end_session.clone()?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("client_id", &self.config.client_id);
            query.append_pair("post_logout_redirect_uri", &self.ours("/login"));
            if let Some(token) = &session.id_token {
                query.append_pair("id_token_hint", token);
            }
        }
        Some(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Guarantees: a token counts once, unless it could not be carried out; memory is bounded and frees itself.
    #[test]
    fn a_token_counts_once() {
        let (replays, now) = (Replays::default(), Timestamp::from_micros(1_000_000_000));
        let ends_at = now.plus(Duration::from_secs(120));
        assert!(replays.is_new("a", ends_at, now));
        assert!(!replays.is_new("a", ends_at, now));
        replays.forget("a");
        assert!(replays.is_new("a", ends_at, now));
        for n in 1..REMEMBERED_MAX {
            assert!(replays.is_new(&n.to_string(), ends_at, now));
        }
        assert!(!replays.is_new("b", ends_at, now));
        assert!(replays.is_new("b", ends_at, ends_at));
    }
}
