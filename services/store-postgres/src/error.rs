//! From PostgreSQL's words to ours, and what may be tried again.

use immune_domain::ErrorKind;
use immune_store::StorageError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::time::Duration;

/// Why a database cannot be used. For the person who starts the process; never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be used.
    #[error("the database URL cannot be used: {why}")]
    Url {
        /// What is wrong with it, without its text.
        why: String,
    },
    /// The schema is of an older version; 0 when there is none.
    #[error("the database has schema {found}, this program needs {needed}; run `immune migrate`")]
    Older {
        /// Its schema.
        found: u32,
        /// The program's schema.
        needed: u32,
    },
    /// The schema is of a newer version that this program cannot work with.
    #[error("the database has schema {found}, this program knows up to {known}; use a newer program")]
    Newer {
        /// Its schema.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The schema was not made by the migrations that this program has.
    #[error(
        "the schema is not one of this program: {why}; restore a backup or an unchanged program, then run `immune \
         migrate`"
    )]
    Dirty {
        /// What does not fit.
        why: String,
    },
    /// The server cannot hold our data.
    #[error("the server cannot be used: {why}")]
    Server {
        /// Why.
        why: String,
    },
    /// Another migration has been running for too long.
    #[error("another migration has been running for {waited:?}")]
    Migrating {
        /// How long this one has waited.
        waited: Duration,
    },
    /// The database is away, or takes no writes now.
    #[error("the database cannot be reached")]
    Away {
        /// The system's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database failed.
    #[error("the database failed while {doing}")]
    Database {
        /// What was attempted.
        doing: String,
        /// PostgreSQL's words.
        #[source]
        source: sqlx::Error,
    },
}

impl OpenError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            OpenError::Url { .. }
            | OpenError::Older { .. }
            | OpenError::Newer { .. }
            | OpenError::Dirty { .. }
            | OpenError::Server { .. } => ErrorKind::Invalid,
            OpenError::Migrating { .. } => ErrorKind::Conflict,
            OpenError::Away { .. } => ErrorKind::Unavailable,
            OpenError::Database { .. } => ErrorKind::Internal,
        }
    }
}

/// Why one try of a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("the store is closed")]
    Closed,
    #[error("no connection became free within {0:?}")]
    Busy(Duration),
    #[error("connecting took longer than {0:?}")]
    ConnectTimeout(Duration),
    #[error("connecting failed")]
    Connect(#[source] sqlx::Error),
    #[error("the server takes no writes")]
    ReadOnly,
    #[error(transparent)]
    Unfit(OpenError),
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    #[error("the statement failed")]
    Statement(#[source] sqlx::Error),
}

/// What a failed try means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing was done; a later try may succeed. Whether the other connections are suspect too.
    Undone { others_suspect: bool },
    /// The connection was lost: it may have been done.
    InDoubt,
    /// Nothing was done, and trying again soon does not help.
    Unavailable,
    /// A stored value cannot be read.
    Damaged,
    /// A rule is broken; trying again never helps.
    Failed,
}

const UNDONE: Meaning = Meaning::Undone {
    others_suspect: false,
};
const UNDONE_ELSEWHERE: Meaning = Meaning::Undone { others_suspect: true };

impl Trouble {
    pub(crate) fn meaning(&self) -> Meaning {
        match self {
            Trouble::Closed | Trouble::Busy(_) | Trouble::Unfit(_) => Meaning::Unavailable,
            Trouble::ConnectTimeout(_) => UNDONE,
            // A wrong password or a database that is not there stays so for longer than a call lasts.
            Trouble::Connect(error) => match postgres(error).and_then(|error| error.code().get(..2)) {
                Some("28" | "3D" | "42") => Meaning::Unavailable,
                _other => UNDONE,
            },
            Trouble::ReadOnly => UNDONE_ELSEWHERE,
            Trouble::NoAnswer(_) => Meaning::InDoubt,
            Trouble::Statement(error) => match postgres(error) {
                Some(error) => said(error),
                None => match error {
                    sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => Meaning::InDoubt,
                    // What the driver could not encode was not sent.
                    _other => Meaning::Failed,
                },
            },
        }
    }

    /// What the caller of the store is told.
    pub(crate) fn told(self, doing: &'static str) -> StorageError {
        match self.meaning() {
            Meaning::Undone { .. } | Meaning::InDoubt | Meaning::Unavailable => StorageError::Unavailable {
                doing,
                source: self.into(),
            },
            Meaning::Damaged => StorageError::Damaged {
                what: "database",
                source: self.into(),
            },
            Meaning::Failed => StorageError::Failed {
                doing,
                source: self.into(),
            },
        }
    }

    /// Whether this is the violation of a unique index.
    pub(crate) fn violates(&self, index: &str) -> bool {
        match self {
            Trouble::Statement(error) => postgres(error)
                .is_some_and(|error| error.code() == "23505" && error.constraint() == Some(index)),
            Trouble::Closed
            | Trouble::Busy(_)
            | Trouble::ConnectTimeout(_)
            | Trouble::Connect(_)
            | Trouble::ReadOnly
            | Trouble::Unfit(_)
            | Trouble::NoAnswer(_) => false,
        }
    }
}

/// PostgreSQL's own error, when it is one.
pub(crate) fn postgres(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// What an error of a statement means: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn said(error: &PgDatabaseError) -> Meaning {
    // A session that ends may end after its commit and before its answer. An error of lesser severity undoes the
    // statement.
    if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) {
        return Meaning::InDoubt;
    }
    match error.code() {
        // Serialization failure, deadlock, lock timeout: someone else was in the way for a moment.
        "40001" | "40P01" | "55P03" => UNDONE,
        // The server has become a standby: the primary is elsewhere, for all connections.
        "25006" => UNDONE_ELSEWHERE,
        // A function or table was replaced under a prepared statement, or a pooler lost the statement: a new
        // connection knows better.
        "0A000" | "26000" => UNDONE_ELSEWHERE,
        // The statement timeout, or an operator's cancel.
        "57014" => Meaning::Unavailable,
        "XX001" | "XX002" => Meaning::Damaged,
        code => match code.get(..2) {
            // Connections, resources, operator, system.
            Some("08" | "53" | "57" | "58") => Meaning::Unavailable,
            _other => Meaning::Failed,
        },
    }
}
