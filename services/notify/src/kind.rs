//! Kinds of news.

use immune_domain::case::EventKind;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a target can be told of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A case was opened.
    Opened,
    /// A later report of the same agent is worse.
    Worsened,
    /// A person must decide; also when that escalates.
    Waiting,
    /// Every lever has confirmed the quarantine.
    Contained,
    /// A person decided.
    Decided,
    /// A healing step began, or the agent went on probation.
    Healing,
    /// Recovery was proven.
    Healed,
    /// A step failed.
    Failed,
    /// A quarantined agent executed.
    Breached,
    /// Every lever has confirmed the release.
    Released,
    /// Nothing happened: somebody tries whether the target can be reached.
    #[serde(skip_deserializing)]
    Test,
}

/// Kind of the event that a test makes.
pub const TEST: &str = "test";

impl Kind {
    /// What is told where configuration does not say.
    pub const USUAL: [Kind; 7] = [
        Kind::Opened,
        Kind::Waiting,
        Kind::Decided,
        Kind::Healed,
        Kind::Failed,
        Kind::Breached,
        Kind::Released,
    ];

    /// Every kind.
    pub const ALL: [Kind; 11] = [
        Kind::Opened,
        Kind::Worsened,
        Kind::Waiting,
        Kind::Contained,
        Kind::Decided,
        Kind::Healing,
        Kind::Healed,
        Kind::Failed,
        Kind::Breached,
        Kind::Released,
        Kind::Test,
    ];

    /// The kind of a stored event; `None` for one that this program does not know.
    pub fn of(event: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.event() == event)
    }

    /// The word of the event.
    pub const fn event(self) -> &'static str {
        match self {
            Kind::Opened => EventKind::Opened.as_str(),
            Kind::Worsened => EventKind::Worsened.as_str(),
            Kind::Waiting => EventKind::Waiting.as_str(),
            Kind::Contained => EventKind::Contained.as_str(),
            Kind::Decided => EventKind::Decided.as_str(),
            Kind::Healing => EventKind::Healing.as_str(),
            Kind::Healed => EventKind::Healed.as_str(),
            Kind::Failed => EventKind::Failed.as_str(),
            Kind::Breached => EventKind::Breached.as_str(),
            Kind::Released => EventKind::Released.as_str(),
            Kind::Test => TEST,
        }
    }

    /// Name in configuration and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Opened => "opened",
            Kind::Worsened => "worsened",
            Kind::Waiting => "waiting",
            Kind::Contained => "contained",
            Kind::Decided => "decided",
            Kind::Healing => "healing",
            Kind::Healed => "healed",
            Kind::Failed => "failed",
            Kind::Breached => "breached",
            Kind::Released => "released",
            Kind::Test => TEST,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
