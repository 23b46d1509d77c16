//! Why a store could not answer.

use immune_domain::ErrorKind;

/// A store that could not answer. "Not found" and "someone else was first" are answers, not errors.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The backend is away, busy or read-only; the same call may succeed later.
    #[error("store is unavailable while {doing}")]
    Unavailable {
        /// What was attempted.
        doing: &'static str,
        /// The backend's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A stored row cannot be read back.
    #[error("stored {what} is damaged")]
    Damaged {
        /// Which kind of row.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend refused the call in a way that repeating cannot mend.
    #[error("store failed while {doing}")]
    Failed {
        /// What was attempted.
        doing: &'static str,
        /// The backend's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StorageError {
    /// A call that breaks a rule of the contract; repeating it cannot mend it.
    pub fn refused(doing: &'static str, why: impl Into<String>) -> Self {
        StorageError::Failed {
            doing,
            source: why.into().into(),
        }
    }

    /// A row that cannot be read back, named by its id.
    pub fn damaged(what: &'static str, id: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        StorageError::Damaged {
            what,
            source: format!("{what} {id}: {why}").into(),
        }
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            StorageError::Unavailable { .. } => ErrorKind::Unavailable,
            StorageError::Damaged { .. } | StorageError::Failed { .. } => ErrorKind::Internal,
        }
    }
}

/// What every contract returns.
pub type Result<T> = std::result::Result<T, StorageError>;
