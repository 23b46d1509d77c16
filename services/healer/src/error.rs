//! Why the role could not do what was asked.

use immune_domain::{ErrorKind, HealingId};
use immune_proto::convert::WireError;
use immune_store::StorageError;
use tonic::Status;

/// Why the role could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A message cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Another role refused, or is away.
    #[error("{doing}: {}", status.message())]
    Role {
        /// What was asked.
        doing: &'static str,
        /// Its answer.
        status: Box<Status>,
    },
    /// A healing's record is gone.
    #[error("there is no healing {0}")]
    HealingNotFound(HealingId),
    /// The store could not answer.
    #[error("healings could not be read or written")]
    Store(#[from] StorageError),
}

impl Error {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Wire(error) => error.kind(),
            Error::Role { status, .. } => immune_runtime::grpc::kind(status),
            Error::HealingNotFound(_) => ErrorKind::Internal,
            Error::Store(error) => error.kind(),
        }
    }

    /// Whether another role refused with this code word.
    pub(crate) fn is_refusal(&self, code: &str) -> bool {
        match self {
            Error::Role { status, .. } => immune_runtime::grpc::code_word(status) == Some(code),
            Error::Wire(_) | Error::HealingNotFound(_) | Error::Store(_) => false,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Wire(_) => "healer.malformed",
            Error::Role { status, .. } => {
                // The other role's own words and code are what the client can act on.
                let code = immune_runtime::grpc::code_word(status)
                    .unwrap_or("healer.role")
                    .to_owned();
                return immune_runtime::grpc::status(error.kind(), &code, status.message());
            }
            Error::HealingNotFound(_) => "healer.healing_not_found",
            Error::Store(source) => {
                let cause = std::error::Error::source(source);
                tracing::warn!(error = %source, ?cause, "store could not answer");
                "healer.store"
            }
        };
        immune_runtime::grpc::status(error.kind(), code, error.to_string())
    }
}
