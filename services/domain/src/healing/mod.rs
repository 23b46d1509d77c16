//! Healing: actions, attempts, outcomes, and the choice of the next step.

mod action;
mod plan;
#[cfg(test)]
mod plan_tests;
mod record;

pub use action::{Action, NotAnAction, Trigger};
pub use plan::{Plan, Round, Skipped, plan};
pub use record::{Healing, Outcome};
