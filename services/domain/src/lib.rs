//! The words and rules of the immune system.
//!
//! Decisions live here: what an execution's vitals are, when an agent departs from its baseline, what a case may
//! do next, which action a healing tries. Nothing here does I/O, reads a clock or draws a random number: time,
//! ids and chance are arguments, so that every decision can be replayed.
//!
//! To add a rule: find the room it belongs to, write it as a function from values to values, and put the test
//! that names its guarantee beneath it. Acting on the decision is a service's job.

pub mod baseline;
pub mod case;
pub mod detection;
pub mod diagnosis;
pub mod error;
pub mod fleet;
pub mod healing;
pub mod id;
pub mod memory;
pub mod policy;
pub mod time;
pub mod vitals;
pub mod words;

pub use error::ErrorKind;
pub use id::{AgentId, AgentKey, ApprovalId, CaseId, ExecutionId, HealingId, InfectionId, RunId};
pub use id::{ID_BYTES_MAX, is_well_formed};
pub use time::Timestamp;
