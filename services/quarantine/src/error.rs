//! Why the role could not do what was asked.

use immune_domain::case::Refusal;
use immune_domain::{CaseId, ErrorKind};
use immune_proto::convert::WireError;
use immune_store::StorageError;
use tonic::Status;

/// Why the role could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// There is no such case.
    #[error("there is no case {0}")]
    CaseNotFound(CaseId),
    /// The case does not allow it.
    #[error("{refusal}")]
    Refused {
        /// Which case.
        case: CaseId,
        /// Why.
        #[source]
        refusal: Refusal,
    },
    /// The case has changed since the caller looked.
    #[error("case {case} has version {current}, not {expected}: it changed after you looked")]
    VersionChanged {
        /// Which case.
        case: CaseId,
        /// The version that the caller saw.
        expected: u64,
        /// The version that it has.
        current: u64,
    },
    /// Others changed the case each time before this change could be saved.
    #[error("case {0} changes too fast")]
    Contended(CaseId),
    /// The open cases are being loaded.
    #[error("quarantine is starting")]
    Starting,
    /// The store of cases has not been heard of for too long to say how an agent stands.
    #[error("how the agent stands is not known: the store of cases does not answer")]
    Unknown,
    /// A number is out of its range.
    #[error("{field} = {value}: must be between {low} and {high}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The least.
        low: u64,
        /// The most.
        high: u64,
    },
    /// The store could not answer.
    #[error("cases could not be read or written")]
    Store(#[from] StorageError),
}

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Wire(error) => error.kind(),
            Error::CaseNotFound(_) => ErrorKind::NotFound,
            Error::Refused { refusal, .. } => refusal.kind(),
            Error::VersionChanged { .. } => ErrorKind::Conflict,
            Error::Contended(_) | Error::Starting | Error::Unknown => ErrorKind::Unavailable,
            Error::OutOfRange { .. } => ErrorKind::Invalid,
            Error::Store(error) => error.kind(),
        }
    }

    /// The code word that clients see.
    pub fn code(&self) -> String {
        let word = match self {
            Error::Wire(_) => "malformed",
            Error::CaseNotFound(_) => "case_not_found",
            Error::Refused { refusal, .. } => refusal.code(),
            Error::VersionChanged { .. } => "version_changed",
            Error::Contended(_) => "contended",
            Error::Starting => "starting",
            Error::Unknown => "unknown",
            Error::OutOfRange { .. } => "out_of_range",
            Error::Store(_) => "store",
        };
        format!("quarantine.{word}")
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        if let Error::Store(source) = &error {
            tracing::warn!(error = %source, cause = ?std::error::Error::source(source), "store could not answer");
        }
        immune_runtime::grpc::status(error.kind(), &error.code(), error.to_string())
    }
}
