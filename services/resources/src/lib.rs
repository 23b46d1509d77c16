//! The cluster's own way of doing things: policies and cases as custom resources.
//!
//! - [`policies`]: `ImmunePolicy`, watched by every role, so that a change holds without a restart.
//! - [`cases`]: `AgentCase`, a mirror of each open case, and decisions made on it.
//! - [`admission`]: the webhook that says who decided.
//!
//! To add a resource: a folder with its type, named in `immune crds`.

pub mod admission;
pub mod cases;
pub mod config;
pub mod policies;
mod schema;

pub use config::Config;

/// API group of all our resources.
pub const GROUP: &str = "immune.io";
/// Version of all our resources.
pub const VERSION: &str = "v1alpha1";
/// Who owns the fields that we write.
pub const FIELD_MANAGER: &str = "immune";
