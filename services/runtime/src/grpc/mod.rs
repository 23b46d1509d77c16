//! gRPC between roles: error statuses, ways to other roles, and the server that a role listens on.
//!
//! - [`peers`]: the replicas of a role. [`target`], [`options`]: where they are, how they are called.
//! - [`channel`]: what a generated client calls through. [`inproc`]: to a role of this process.
//! - [`server`]: who is let in to what. [`methods`]: what the contracts say of each method.
//!
//! A method may be repeated after a failure when its contract says `option idempotency_level`; say so only where a
//! second arrival changes nothing and answers the same.

pub mod channel;
mod deadline;
mod follow;
pub mod inproc;
pub mod methods;
pub mod not_owner;
pub mod options;
mod owner;
pub mod peers;
mod resolve;
pub mod server;
pub mod target;
mod trace;

pub use channel::RoleChannel;
pub use channel::pool::ClientSecurity;
pub use options::Options;
pub use peers::{Peer, Peers};
pub use resolve::{Names, SystemNames};
pub use target::{Target, TargetError};

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
