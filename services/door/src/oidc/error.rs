//! Why a login, or a message of the provider, was not taken.

use immune_domain::ErrorKind;
use immune_store::StorageError;

/// Why a login, or a message of the provider, was not taken. The log gets the whole message, people get
/// [`OidcError::word`].
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider does not answer, or not as it should.
    #[error("the provider's {what} could not be read: {problem}")]
    Away {
        /// Which of its answers.
        what: &'static str,
        /// What happened.
        problem: String,
    },
    /// The provider's description of itself cannot be used.
    #[error("the provider's description is wrong: {0}")]
    Described(String),
    /// A callback that belongs to no login that this browser has begun within the last minutes.
    #[error("the callback belongs to no login that this browser has begun of late")]
    State,
    /// The provider, or the person there, refused the login.
    #[error("the provider refused: {code:?} ({description:?})")]
    Refused {
        /// Its code (RFC 6749, section 4.1.2.1).
        code: String,
        /// Its words.
        description: String,
    },
    /// A token that does not hold what it must.
    #[error("the provider's {what} is not valid: {problem}")]
    Token {
        /// Which token.
        what: &'static str,
        /// What is wrong; no part of the token.
        problem: String,
    },
    /// Somebody whom the configuration gives no role.
    #[error("none of the {groups} groups of {subject:?} has a role here")]
    NoRole {
        /// Who.
        subject: String,
        /// In how many groups.
        groups: usize,
    },
    /// Our own store does not answer.
    #[error("the login could not be kept")]
    Store(#[from] StorageError),
}

impl OidcError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            OidcError::Away { .. } | OidcError::Described(_) => ErrorKind::Unavailable,
            OidcError::State => ErrorKind::Invalid,
            OidcError::Refused { .. } | OidcError::Token { .. } => ErrorKind::Unauthenticated,
            OidcError::NoRole { .. } => ErrorKind::Forbidden,
            OidcError::Store(error) => error.kind(),
        }
    }

    /// Name in `/login?error=...`, in problems and in metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            OidcError::Away { .. } | OidcError::Described(_) => "provider_away",
            OidcError::State => "login_expired",
            OidcError::Refused { .. } => "provider_refused",
            OidcError::Token { .. } => "login_failed",
            OidcError::NoRole { .. } => "no_role",
            OidcError::Store(_) => "not_ready",
        }
    }

    /// What people are told.
    pub const fn sentence(&self) -> &'static str {
        match self {
            OidcError::Away { .. } | OidcError::Described(_) => {
                "the OpenID provider does not answer; try again, or log in with an API key"
            }
            OidcError::State => "this login took too long or was begun elsewhere; log in again",
            OidcError::Refused { .. } => "the OpenID provider refused the login",
            OidcError::Token { .. } => {
                "what the OpenID provider answered could not be verified; log in again"
            }
            OidcError::NoRole { .. } => "none of your groups has a role here; ask whoever runs this server",
            OidcError::Store(_) => "the login could not be kept; try again",
        }
    }
}
