//! Whether a session still opens the door: it also depends on what opened it.

use super::Found;
use crate::keys::{VIA, Verdict};
use crate::oidc::Provider;
use crate::{Door, Identity, Refusal};
use axum::http::HeaderMap;
use immune_domain::Timestamp;
use immune_runtime::access::Caller;

/// A way to log in, for a page to offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// With an OpenID provider, by going to `/auth/login`.
    Oidc {
        /// What to call it.
        name: String,
    },
    /// With an API key, by posting it to `/auth/key`.
    ApiKey,
}

impl Door {
    /// Who is logged in; `None` when no cookie is sent.
    ///
    /// # Errors
    /// When the session has ended, and when the store does not answer.
    pub(crate) async fn stays(
        &self,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Option<Identity>, Refusal> {
        let Some(logins) = &self.logins else {
            return Ok(None);
        };
        let Some(found) = logins.sessions.find(headers, now).await? else {
            return Ok(None);
        };
        let caller = self.caller_now(&found, now)?;
        Ok(Some(Identity {
            caller,
            session: Some(found.current),
        }))
    }

    /// The caller of a session, as long as the key that opened it is good, or the provider that opened it is ours.
    fn caller_now(&self, found: &Found, now: Timestamp) -> Result<Caller, Refusal> {
        let via = &found.caller.person.via;
        if !via.starts_with(VIA) {
            let provider = self.logins.as_ref().and_then(|logins| logins.provider.as_ref());
            let is_ours = provider.is_some_and(|provider| provider.via() == *via);
            return is_ours.then(|| found.caller.clone()).ok_or(Refusal::SessionEnded);
        }
        match self.keys().caller_via(via, now) {
            // A key of the same name with another secret is another key.
            Some(_) if self.keys().fingerprint(via) != found.session.provider_session => {
                Err(Refusal::SessionEnded)
            }
            Some(caller) => Ok(caller),
            None if self.keys().look("", now) == Verdict::NotRead => Err(Refusal::NotReady),
            None => Err(Refusal::SessionEnded),
        }
    }

    /// Whether somebody who came in before still may: for answers that take long, such as live events. `true` also
    /// when it cannot be looked up just now.
    pub async fn may_stay(&self, identity: &Identity, now: Timestamp) -> bool {
        let Some(session) = &identity.session else {
            let via = &identity.caller.person.via;
            return match via.starts_with(VIA) {
                true => self.keys().caller_via(via, now).is_some(),
                // Whoever is on this machine, until the first key.
                false => self.is_open(),
            };
        };
        let Some(logins) = &self.logins else {
            return false;
        };
        match logins.sessions.again(session, now).await {
            Ok(Some(found)) => self.caller_now(&found, now) != Err(Refusal::SessionEnded),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// The ways to log in.
    pub fn ways(&self) -> Vec<Way> {
        let provider = self.logins.as_ref().and_then(|logins| logins.provider.as_ref());
        let oidc = provider.map(|provider: &Provider| Way::Oidc {
            name: provider.name().to_owned(),
        });
        oidc.into_iter().chain([Way::ApiKey]).collect()
    }

    /// The origin of our pages as browsers name it, where configuration says so: behind a proxy the `Host` may be
    /// another one.
    pub fn external_origin(&self) -> Option<&str> {
        let provider = self.logins.as_ref()?.provider.as_ref()?;
        Some(provider.origin())
    }
}
