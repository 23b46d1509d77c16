//! `ImmunePolicy`: the rules of the policy as custom resources.
//!
//! - [`kind`]: the type and its schema.
//! - [`translate`]: from objects to rules; whose word counts how far.
//! - [`watch`]: follows the objects and lets the rules hold, in every role.
//! - [`status`]: says in the objects what came of them, in one process.

pub mod kind;
mod limits;
mod metrics;
pub mod rules;
mod scope;
pub mod status;
pub mod translate;
pub mod watch;

pub use kind::{ImmunePolicy, ImmunePolicySpec, ImmunePolicyStatus, crd};
pub use metrics::Metrics;
pub use translate::{Order, Verdict};
pub use watch::{State, Watch, build};
