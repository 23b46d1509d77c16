//! The refusal of a replica that does not hold the partition of the agent that it was asked about.

use immune_domain::ErrorKind;
use tonic::Status;

const WORD: &str = "not_owner";

/// The refusal.
pub fn status() -> Status {
    super::status(
        ErrorKind::Conflict,
        WORD,
        "another replica holds the partition of this agent",
    )
}

/// Whether a status is this refusal.
pub fn is(status: &Status) -> bool {
    super::code_word(status) == Some(WORD)
}
