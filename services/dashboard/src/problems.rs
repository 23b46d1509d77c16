//! Problems of this role's own making.

use immune_domain::{AgentId, ErrorKind};
use immune_proto::convert::WireError;
use immune_runtime::http::problem::{FieldError, Problem};
use immune_store::StorageError;

/// What every fallible part of REST returns.
pub type Answer<T> = Result<T, Problem>;

/// A store that could not answer. The log has the cause, the client does not.
pub fn stored(error: StorageError) -> Problem {
    tracing::warn!(%error, cause = ?std::error::Error::source(&error), "a store could not answer");
    match error.kind() {
        ErrorKind::Unavailable => Problem::new(
            ErrorKind::Unavailable,
            "dashboard.store",
            "the store does not answer; try again",
        ),
        kind => Problem::new(
            kind,
            "dashboard.store",
            "the store failed; the server's log has the details",
        ),
    }
}

/// An answer of another role that makes no sense.
pub fn garbled(error: WireError) -> Problem {
    tracing::error!(%error, "a role's answer cannot be read");
    Problem::new(
        ErrorKind::Internal,
        "dashboard.garbled",
        "something went wrong; the server's log has the details",
    )
}

/// One wrong field.
pub fn field(name: impl Into<String>, problem: impl Into<String>) -> Problem {
    Problem::fields(vec![FieldError {
        field: name.into(),
        problem: problem.into(),
    }])
}

/// An agent that nobody has seen.
pub fn no_agent(agent: &AgentId) -> Problem {
    Problem::new(
        ErrorKind::NotFound,
        "dashboard.agent_not_found",
        format!("there is no agent {:?} in this run", agent.as_str()),
    )
}

/// A case that does not exist, or that this caller may not know of.
pub fn no_case(id: &str) -> Problem {
    Problem::new(
        ErrorKind::NotFound,
        "quarantine.case_not_found",
        format!("there is no case {id:?}"),
    )
}
