//! gRPC between roles: error statuses, the in-process channel, and the server that a role listens on.

pub mod inproc;
pub mod server;

use immune_domain::ErrorKind;
use tonic::{Code, Status};

/// Metadata name of the machine-readable code word of an error (`quarantine.case_already_decided`).
pub const CODE_WORD: &str = "x-immune-code";

/// The status of an error: its kind, its code word, and what the client may know.
pub fn status(kind: ErrorKind, code_word: &str, message: impl Into<String>) -> Status {
    let mut status = Status::new(code(kind), message);
    if let Ok(value) = code_word.parse() {
        status.metadata_mut().insert(CODE_WORD, value);
    }
    status
}

/// The kind that a status from another role stands for.
pub fn kind(status: &Status) -> ErrorKind {
    match status.code() {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::PermissionDenied => ErrorKind::Forbidden,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ErrorKind::Conflict,
        Code::ResourceExhausted => ErrorKind::Overloaded,
        Code::Unavailable | Code::Cancelled => ErrorKind::Unavailable,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Ok | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
            ErrorKind::Internal
        }
    }
}

/// The code word of a status, if it carries one.
pub fn code_word(status: &Status) -> Option<&str> {
    status.metadata().get(CODE_WORD)?.to_str().ok()
}

fn code(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::FailedPrecondition,
        ErrorKind::Overloaded => Code::ResourceExhausted,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Timeout => Code::DeadlineExceeded,
        ErrorKind::Internal => Code::Internal,
    }
}
