//! From SQLite's words to ours.

use immune_domain::ErrorKind;
use immune_store::StorageError;
use std::path::PathBuf;

/// Why a database could not be opened. For the person who starts the process, hence with the file's name.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves from this file.
    #[error("database {path} is in use by another process")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is of an older version and migrations are not to run by themselves.
    #[error("database {path} has schema {found}, this program needs {needed}; run `immune migrate`")]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The program's schema.
        needed: u32,
    },
    /// The file is of a newer version.
    #[error("database {path} has schema {found}, this program knows up to {known}; use a newer program")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The file is something else.
    #[error("{path} is not a database of this program")]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be made or opened.
    #[error("database {path} cannot be opened")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
    /// SQLite failed.
    #[error("database {path} failed while {doing}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// SQLite's words.
        #[source]
        source: sqlx::Error,
    },
    /// Rows of the action log could not be chained.
    #[error("the action log of database {path} cannot be chained")]
    Store {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: StorageError,
    },
}

impl OpenError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            OpenError::InUse { .. } => ErrorKind::Conflict,
            OpenError::Older { .. } | OpenError::Newer { .. } | OpenError::NotOurs { .. } => {
                ErrorKind::Invalid
            }
            OpenError::File { .. } | OpenError::Database { .. } => ErrorKind::Unavailable,
            OpenError::Store { source, .. } => source.kind(),
        }
    }
}

/// SQLite's primary result codes that this store tells apart: <https://www.sqlite.org/rescode.html>.
mod code {
    pub const BUSY: u32 = 5;
    pub const LOCKED: u32 = 6;
    pub const NOMEM: u32 = 7;
    pub const READONLY: u32 = 8;
    pub const IOERR: u32 = 10;
    pub const CORRUPT: u32 = 11;
    pub const FULL: u32 = 13;
    pub const CANTOPEN: u32 = 14;
    pub const NOTADB: u32 = 26;
}

/// The primary result code of a database error.
fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Whether SQLite says that the file is no database, or not a whole one.
pub(crate) fn is_not_a_database(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(code::NOTADB)
}

/// Turns SQLite's error into the contract's.
pub(crate) fn storage(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StorageError {
    move |source| match primary_code(&source) {
        Some(
            code::BUSY
            | code::LOCKED
            | code::NOMEM
            | code::READONLY
            | code::IOERR
            | code::FULL
            | code::CANTOPEN,
        ) => StorageError::Unavailable {
            doing,
            source: source.into(),
        },
        Some(code::CORRUPT | code::NOTADB) => StorageError::Damaged {
            what: "database file",
            source: source.into(),
        },
        Some(_) => StorageError::Failed {
            doing,
            source: source.into(),
        },
        None => match source {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_) => StorageError::Unavailable {
                doing,
                source: source.into(),
            },
            other => StorageError::Failed {
                doing,
                source: other.into(),
            },
        },
    }
}
