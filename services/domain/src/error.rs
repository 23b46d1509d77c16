//! The closed list of error kinds. Each library error names its kind; only `runtime` turns kinds into statuses.

use std::fmt;

/// What went wrong, as far as a caller must act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed or breaks a rule; sending it again cannot succeed.
    Invalid,
    /// The caller is not known.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// The thing named does not exist.
    NotFound,
    /// The thing is in a state, or at a version, that does not allow this.
    Conflict,
    /// A limit is reached; the same request may succeed later.
    Overloaded,
    /// Something this depends on is away; the same request may succeed later.
    Unavailable,
    /// The deadline passed before the work was done.
    Timeout,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed when sent again unchanged.
    pub fn is_retryable(self) -> bool {
        match self {
            ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::Timeout => true,
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Internal => false,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::Invalid => "invalid",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::NotFound => "not_found",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Internal => "internal",
        })
    }
}
