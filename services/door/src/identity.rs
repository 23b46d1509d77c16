//! Who was found at the door, and why somebody was not let in.

use axum::http::HeaderValue;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use immune_domain::{ErrorKind, Timestamp};
use immune_runtime::access::Caller;
use immune_runtime::http::problem::Problem;
use immune_store::access::SecretHash;
use std::time::Duration;

/// A verified caller and how it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who, and what it may do.
    pub caller: Caller,
    /// The session, when a cookie was presented. Its writes must carry `x-csrf-token`; other ways need none, since no
    /// browser adds a key on its own.
    pub session: Option<CurrentSession>,
}

/// The session of a request.
#[derive(Clone, PartialEq, Eq)]
pub struct CurrentSession {
    /// Which one.
    pub hash: SecretHash,
    /// Name to show.
    pub name: String,
    /// What a write must carry in `x-csrf-token`.
    pub csrf: String,
    /// When it ends whatever happens.
    pub ends_at: Timestamp,
}

impl std::fmt::Debug for CurrentSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CurrentSession")
            .field("name", &self.name)
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

/// Why nobody was let in. Messages never say whether a key once was good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was presented.
    #[error("this needs an API key, as X-API-Key or Authorization: Bearer, or a login")]
    NoCredential,
    /// A key that opens nothing: unknown, expired or revoked.
    #[error("the API key is not known here")]
    UnknownKey,
    /// A cookie whose session has ended, by logout, time or the provider.
    #[error("the session has ended; log in again")]
    SessionEnded,
    /// A write of a session without the token that only our page knows.
    #[error("a write with a session needs the header x-csrf-token, as /api/me gives it")]
    Csrf,
    /// This address has presented too many wrong keys.
    #[error("too many wrong keys came from this address; try again in {} s", seconds(*.retry_after))]
    LockedOut {
        /// When it may try again.
        retry_after: Duration,
    },
    /// This caller, or this address without a caller, asks too often.
    #[error("too many requests; try again in {} s", seconds(*.retry_after))]
    TooMany {
        /// When there is room for the next one.
        retry_after: Duration,
    },
    /// The keys, or the session, could not be looked up.
    #[error("who may come in could not be looked up; try again")]
    NotReady,
}

/// Whole seconds, at least one: what `Retry-After` counts in.
fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

impl Refusal {
    /// What a caller may do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Refusal::NoCredential | Refusal::UnknownKey | Refusal::SessionEnded => ErrorKind::Unauthenticated,
            Refusal::Csrf => ErrorKind::Forbidden,
            Refusal::LockedOut { .. } | Refusal::TooMany { .. } => ErrorKind::Overloaded,
            Refusal::NotReady => ErrorKind::Unavailable,
        }
    }

    /// Name in metrics, in the action log, and at the end of a problem's type.
    pub const fn word(&self) -> &'static str {
        match self {
            Refusal::NoCredential => "no_credential",
            Refusal::UnknownKey => "unknown_key",
            Refusal::SessionEnded => "session_ended",
            Refusal::Csrf => "csrf",
            Refusal::LockedOut { .. } => "locked_out",
            Refusal::TooMany { .. } => "too_many",
            Refusal::NotReady => "not_ready",
        }
    }

    /// When to come back, for refusals that pass.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::LockedOut { retry_after } | Refusal::TooMany { retry_after } => Some(*retry_after),
            Refusal::NotReady => Some(Duration::from_secs(1)),
            Refusal::NoCredential | Refusal::UnknownKey | Refusal::SessionEnded | Refusal::Csrf => None,
        }
    }

    /// The problem that a client sees: 401, 403, 429 or 503.
    pub fn problem(&self) -> Problem {
        let word = match self {
            // The word that clients have known since there were keys.
            Refusal::NoCredential | Refusal::UnknownKey => "access.unauthenticated".to_owned(),
            Refusal::SessionEnded
            | Refusal::Csrf
            | Refusal::LockedOut { .. }
            | Refusal::TooMany { .. }
            | Refusal::NotReady => format!("access.{}", self.word()),
        };
        let mut problem = Problem::new(self.kind(), &word, self.to_string());
        problem.retry_after_seconds = self
            .retry_after()
            .map(|after| u32::try_from(seconds(after)).unwrap_or(u32::MAX));
        problem
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.problem().into_response();
        if self.kind() == ErrorKind::Unauthenticated {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
