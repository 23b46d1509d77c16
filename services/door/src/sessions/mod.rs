//! Sessions: a person's stay from login to logout, known by a cookie.
//!
//! The cookie is a random token and its HMAC; the store has the token's hash. So a guessed cookie costs no read, and
//! who reads the store cannot come in. Role and runs are those of the login. Every replica sees a logout within
//! [`HOLDS`]. A session lasts over restarts; it ends by logout, by the provider, by time without use, by time since
//! the login, or with the key that opened it.

mod cache;
mod config;
pub(crate) mod cookies;
pub(crate) mod signing;
mod staying;

pub use cache::HOLDS;
pub use config::Config;
pub use staying::Way;

use crate::identity::{CurrentSession, Refusal};
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cache::{Cache, NOTE_EVERY};
use cookies::{Cookie, Cookies};
use immune_domain::case::Person;
use immune_domain::{RunId, Timestamp};
use immune_runtime::access::{Caller, Role};
use immune_store::access::{AccessStore, Ending, SecretHash, Session};
use immune_store::error::Result as Stored;
use sha2::{Digest, Sha256};
use signing::{Purpose, SharedSigner, Signer};
use std::sync::Arc;

/// Header that a write with a session must carry.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Who is to have a session.
pub(crate) struct Stay {
    pub caller: Caller,
    /// Name to show.
    pub name: String,
    pub provider_session: Option<String>,
    pub provider_subject: Option<String>,
    pub id_token: Option<String>,
    /// When it must end, if before the usual time.
    pub ends_at_most: Option<Timestamp>,
}

/// A session that was found by its cookie.
pub(crate) struct Found {
    pub caller: Caller,
    pub current: CurrentSession,
    pub session: Arc<Session>,
}

/// The sessions of a deployment.
pub(crate) struct Sessions {
    store: Arc<dyn AccessStore>,
    config: Config,
    cookies: Cookies,
    signer: SharedSigner,
    cache: Cache,
}

impl Sessions {
    pub fn new(store: Arc<dyn AccessStore>, config: Config, cookies: Cookies) -> Self {
        Sessions {
            signer: SharedSigner::new(store.clone()),
            store,
            config,
            cookies,
            cache: Cache::default(),
        }
    }

    pub fn cookies(&self) -> Cookies {
        self.cookies
    }

    pub async fn signer(&self) -> Stored<&Signer> {
        self.signer.get().await
    }

    /// Opens a session with a token of its own, and the `Set-Cookie` for it. What the browser sent before is worth
    /// nothing to it: a planted cookie never becomes somebody's session.
    pub async fn open(&self, stay: Stay, now: Timestamp) -> Stored<HeaderValue> {
        let signer = self.signer().await?;
        let token: [u8; 32] = rand::random();
        let usual = now.plus(self.config.absolute());
        let ends_at = stay.ends_at_most.map_or(usual, |at| at.min(usual));
        let session = Session {
            hash: hash_of(&token),
            subject: stay.caller.person.subject,
            via: stay.caller.person.via,
            name: stay.name,
            role: stay.caller.role.to_string(),
            runs: stay.caller.runs,
            provider_session: stay.provider_session,
            provider_subject: stay.provider_subject,
            id_token: stay.id_token,
            created_at: now,
            seen_at: now,
            ends_at,
        };
        self.store.put_session(&session).await?;
        let sealed = signer.seal(Purpose::Session, &token);
        Ok(self.cookies.set(Cookie::Session, &sealed, ends_at.since(now)))
    }

    /// The session whose cookie a request sends; `None` when it sends none.
    ///
    /// # Errors
    /// When the cookie is not ours or its session has ended; when the store does not answer.
    pub async fn find(&self, headers: &HeaderMap, now: Timestamp) -> Result<Option<Found>, Refusal> {
        let sent = self.cookies.read(Cookie::Session, headers);
        if sent.is_empty() {
            return Ok(None);
        }
        let signer = self.signer().await.map_err(not_ready)?;
        for sealed in sent {
            let Some(token) = signer.open(Purpose::Session, sealed) else {
                continue;
            };
            if let Some(session) = self.look_up(&hash_of(&token), now).await.map_err(not_ready)?
                && let Some(found) = self.found(signer.sign(Purpose::Csrf, &token), session, now)
            {
                self.note_use(&found, now).await;
                return Ok(Some(found));
            }
        }
        Err(Refusal::SessionEnded)
    }

    async fn look_up(&self, hash: &SecretHash, now: Timestamp) -> Stored<Option<Arc<Session>>> {
        if let Some(session) = self.cache.get(hash, now) {
            return Ok(Some(session));
        }
        let removals = self.cache.removals();
        let Some(session) = self.store.session(hash).await?.map(Arc::new) else {
            return Ok(None);
        };
        self.cache.put(session.clone(), now, removals);
        Ok(Some(session))
    }

    /// A session that was found before, as it is now; looking at it is no use of it.
    pub async fn again(&self, current: &CurrentSession, now: Timestamp) -> Stored<Option<Found>> {
        let session = self.look_up(&current.hash, now).await?;
        Ok(session.and_then(|session| self.found(current.csrf.clone(), session, now)))
    }

    fn found(&self, csrf: String, session: Arc<Session>, now: Timestamp) -> Option<Found> {
        let is_over = now >= session.ends_at || now.since(session.seen_at) >= self.config.idle();
        if is_over {
            return None;
        }
        let role = Role::parse(&session.role)?;
        Some(Found {
            caller: Caller {
                person: Person {
                    subject: session.subject.clone(),
                    via: session.via.clone(),
                },
                role,
                runs: session.runs.clone(),
            },
            current: CurrentSession {
                hash: session.hash,
                name: session.name.clone(),
                csrf,
                ends_at: session.ends_at,
            },
            session,
        })
    }

    async fn note_use(&self, found: &Found, now: Timestamp) {
        let session = &found.session;
        if now.since(session.seen_at) < NOTE_EVERY || !self.cache.takes_note(&session.hash, now) {
            return;
        }
        if let Err(error) = self.store.session_seen(&session.hash, now).await {
            tracing::warn!(%error, subject = ?session.subject, "the use of a session could not be noted");
        }
    }

    /// Ends sessions, here at once and elsewhere within [`HOLDS`]; returns how many there were.
    pub async fn end(&self, ending: &Ending) -> Stored<u64> {
        let ended = self.store.end_sessions(ending).await;
        self.cache.clear();
        ended
    }
}

/// Whether a write of a session carries the token that only our page knows. Hashes are compared, so that the time
/// taken tells nothing about the token.
pub fn is_csrf_right(current: &CurrentSession, headers: &HeaderMap) -> bool {
    let mut sent = headers.get_all(CSRF_HEADER).iter();
    match (sent.next(), sent.next()) {
        (Some(token), None) => Sha256::digest(token.as_bytes()) == Sha256::digest(current.csrf.as_bytes()),
        (None, _) | (Some(_), Some(_)) => false,
    }
}

/// A random text that cannot be guessed: 256 bits.
pub(crate) fn unguessable() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn hash_of(token: &[u8]) -> SecretHash {
    Sha256::digest(token).into()
}

/// Runs of several grants together; one without bounds knows none.
pub(crate) fn joined(grants: impl IntoIterator<Item = Vec<RunId>>) -> Vec<RunId> {
    let mut all = Vec::new();
    for runs in grants {
        if runs.is_empty() {
            return Vec::new();
        }
        for run in runs {
            if !all.contains(&run) {
                all.push(run);
            }
        }
    }
    all
}

fn not_ready(error: immune_store::StorageError) -> Refusal {
    tracing::warn!(%error, "a session could not be looked up");
    Refusal::NotReady
}
