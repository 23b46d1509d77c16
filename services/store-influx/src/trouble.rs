//! Why InfluxDB could not do it.

use immune_domain::ErrorKind;
use immune_store::StorageError;
use std::time::Duration;

/// The most characters of an answer that are repeated in an error.
const WORDS_MAX: usize = 400;

/// What went wrong with a request. Messages never hold the login or the url's query.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Trouble {
    /// No answer, or one that says "later".
    #[error("InfluxDB is away: {why}")]
    Away {
        /// What was seen.
        why: String,
        /// How long the server asks to be left alone.
        wait: Option<Duration>,
    },
    /// The server knows us not, or not what we ask for; a person can mend it without changing the request.
    #[error("InfluxDB is not ready for this: {why}")]
    Unready {
        /// What was said, and what to do about it.
        why: String,
    },
    /// Points of the request were refused. `lines` names them where the server does.
    #[error("InfluxDB refuses points: {why}")]
    Refused {
        /// What was said.
        why: String,
        /// Index of the line within the request, and what is wrong with it.
        lines: Vec<(usize, String)>,
    },
    /// The request has too many bytes for the server.
    #[error("InfluxDB finds the request too large")]
    TooLarge,
    /// The answer is none that we understand.
    #[error("InfluxDB answers with something else: {why}")]
    Odd {
        /// What was seen.
        why: String,
    },
}

impl Trouble {
    pub(crate) fn away(why: impl Into<String>) -> Self {
        Trouble::Away {
            why: why.into(),
            wait: None,
        }
    }

    pub(crate) fn odd(why: impl Into<String>) -> Self {
        Trouble::Odd { why: why.into() }
    }

    /// What a caller may do about it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Trouble::Away { .. } | Trouble::Unready { .. } => ErrorKind::Unavailable,
            Trouble::Refused { .. } | Trouble::TooLarge => ErrorKind::Invalid,
            Trouble::Odd { .. } => ErrorKind::Internal,
        }
    }

    /// As an error of the contract.
    pub(crate) fn while_doing(self, doing: &'static str) -> StorageError {
        if self.kind().is_retryable() {
            StorageError::Unavailable {
                doing,
                source: self.into(),
            }
        } else {
            StorageError::Failed {
                doing,
                source: self.into(),
            }
        }
    }
}

/// The beginning of a text, for an error.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(WORDS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what may succeed later is unavailable, what cannot is not, and long words are cut.
    #[test]
    fn kinds_say_what_to_do() {
        assert_eq!(
            Trouble::away("gone").while_doing("x").kind(),
            ErrorKind::Unavailable
        );
        assert_eq!(Trouble::TooLarge.while_doing("x").kind(), ErrorKind::Internal);
        assert_eq!(Trouble::odd("").kind(), ErrorKind::Internal);
        assert_eq!(short("ä".repeat(1_000).as_str()).chars().count(), WORDS_MAX + 3);
    }
}
