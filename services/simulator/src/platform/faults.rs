//! How a platform misbehaves, for tests and for the curious.

use std::collections::BTreeSet;
use std::time::Duration;

/// How the platform behaves. The default behaves well.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Faults {
    /// Whether it tells the truth.
    pub honesty: Honesty,
    /// It fails whatever it is asked, with these words.
    pub refuses: Option<String>,
    /// Actions that it does not support, by their names; `*` for all.
    pub unsupported: BTreeSet<String>,
    /// How long an action takes.
    pub takes: Duration,
    /// It answers 202 (pending) and wants to be asked again.
    pub answers_later: bool,
    /// It does what it is asked and does not answer until it stops hanging.
    pub hangs: bool,
    /// That many requests are answered with an error of its own (500, UNAVAILABLE).
    pub breaks_next: u32,
}

/// Whether a platform tells the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Honesty {
    /// It does.
    #[default]
    Honest,
    /// It says done and does nothing; asked for the agent it shows the truth.
    LiesAboutActions,
    /// It says done, does nothing, and shows the agent as if it had: only its executions give it away.
    LiesThroughout,
}
