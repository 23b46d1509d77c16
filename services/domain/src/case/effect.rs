//! What a decision brings along. The quarantine role writes log entries and announcements in the transaction that
//! saves the case, and asks the levers afterwards.

use super::Containment;
use serde_json::Value;

/// One consequence of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A row for the action log.
    Log(LogEntry),
    /// An event for those who listen.
    Announce(Announcement),
    /// A lever has something new to be asked. A hint only: what is wanted stands in the case, and the reconciler
    /// reads it there.
    AskLever {
        /// Name of the lever.
        lever: String,
        /// What is wanted of it.
        wanted: Containment,
    },
}

/// A row for the action log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// `approval_requested`, `user_approved`, `user_rejected`, `explicit_heal_requested`, `user_released`,
    /// `released_for_incident`, `second_person_wanted`, `first_approval_lapsed`, `case_opened`, `healing_attempt`,
    /// `quarantine_confirmed`, `quarantine_breached`, `quarantine_released`, ...
    pub kind: &'static str,
    /// Who: a verified subject, or a role's name.
    pub actor: String,
    /// Details.
    pub payload: Value,
}

/// An event for those who listen.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// Which kind.
    pub kind: EventKind,
    /// One sentence for people.
    pub text: String,
    /// Details for programs.
    pub payload: Value,
}

/// The closed list of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A case was opened.
    Opened,
    /// A later report of the same agent is worse.
    Worsened,
    /// A person must decide; also when that escalates.
    Waiting,
    /// Every lever has confirmed the quarantine.
    Contained,
    /// A person decided, or the fleet check let the agent go.
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
}

impl EventKind {
    /// Name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Opened => "case_opened",
            EventKind::Worsened => "case_worsened",
            EventKind::Waiting => "case_waiting",
            EventKind::Contained => "case_contained",
            EventKind::Decided => "case_decided",
            EventKind::Healing => "case_healing",
            EventKind::Healed => "case_healed",
            EventKind::Failed => "case_failed",
            EventKind::Breached => "case_breached",
            EventKind::Released => "case_released",
        }
    }
}
