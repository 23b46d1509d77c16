//! Cases with their outgoing events.

use crate::action_log::LogRow;
use crate::error::Result;
use async_trait::async_trait;
use immune_domain::case::{Case, LeverStatus, QuarantinePhase, State};
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a saved change brings along, written in the same transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alongside {
    /// Rows for the action log.
    pub log: Vec<LogRow>,
    /// Events for those who listen.
    pub events: Vec<NewEvent>,
}

/// An event to announce.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// Machine word: `case_opened`, `case_worsened`, `case_waiting`, `case_decided`, `case_healing`, `case_healed`, `case_failed`,
    /// `case_breached`, `case_released`, `case_contained`.
    pub kind: String,
    /// Which case.
    pub case: CaseId,
    /// Whose.
    pub key: AgentKey,
    /// When.
    pub at: Timestamp,
    /// One sentence for people.
    pub text: String,
    /// Details for programs.
    pub payload: serde_json::Value,
}

/// An announced event with its place in the order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Place in the order of all events; resuming after it misses nothing.
    pub sequence: u64,
    /// What happened.
    pub event: NewEvent,
}

/// The answer to opening a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Opened {
    /// The case is open now.
    New,
    /// The agent has an open case already; here it is.
    AlreadyOpen(Box<Case>),
    /// This infection has been reported before; here is its case, open or closed.
    AlreadyReported(Box<Case>),
    /// More agents of the run are to be contained than the caller thought; nothing was stored. The number is how
    /// many, for a decision anew.
    Crowded(u32),
}

/// The answer to saving a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Saved {
    /// Stored; its version is the expected one plus one.
    Done,
    /// Someone else saved first; here is the case as it is now.
    Conflict(Box<Case>),
    /// There is no such case.
    Missing,
}

/// Which cases to list. Newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaseFilter {
    /// Only of this run.
    pub run: Option<RunId>,
    /// Only of this agent (with `run`).
    pub agent: Option<AgentKey>,
    /// Only open (`true`) or closed (`false`) ones.
    pub open: Option<bool>,
    /// Only in these states, by wire name.
    pub states: Vec<String>,
    /// Only cases older than this one, for paging.
    pub before: Option<(Timestamp, CaseId)>,
    /// At most this many; 0 means 100.
    pub limit: u32,
}

/// Counts of a run's cases over its whole life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CaseTotals {
    /// Ever opened.
    pub opened: u64,
    /// Open now.
    pub open: u64,
    /// Ever quarantined (cases whose agent was to be contained).
    pub quarantined: u64,
    /// Closed as healed.
    pub healed: u64,
}

/// The store of cases.
#[async_trait]
pub trait CaseStore: Send + Sync {
    /// Opens a case, unless its agent has an open one or its infection was reported before. The case's version
    /// must be 1. All or nothing with what comes alongside. A case that wants containment
    /// ([`wants_containment`]) is refused as [`Opened::Crowded`] when more than `contained_max` open cases of its
    /// run want it already, whoever opened them: two processes that decide at once cannot both take the last place
    /// of a blast radius.
    async fn open_case(&self, case: &Case, contained_max: u32, alongside: &Alongside) -> Result<Opened>;

    /// Stores a changed case whose version is `expected_version + 1`, if the stored one still has
    /// `expected_version`. All or nothing with what comes alongside. A closing save frees the agent for a new case.
    async fn save_case(&self, case: &Case, expected_version: u64, alongside: &Alongside) -> Result<Saved>;

    /// One case.
    async fn get(&self, id: &CaseId) -> Result<Option<Case>>;

    /// Those of several cases that exist, in any order, each once.
    async fn cases(&self, ids: &[CaseId]) -> Result<Vec<Case>>;

    /// The open case of an agent.
    async fn open_case_of(&self, key: &AgentKey) -> Result<Option<Case>>;

    /// The case that an infection opened, or whose worst report it was when the case was saved first.
    async fn case_of_infection(&self, infection: &InfectionId) -> Result<Option<Case>>;

    /// Cases that match, newest first.
    async fn list(&self, filter: &CaseFilter) -> Result<Vec<Case>>;

    /// Open cases in states that a healer may claim at `now` (queued and due, or healing and probation with an
    /// expired lease), oldest first.
    async fn claimable(&self, now: Timestamp, limit: u32) -> Result<Vec<Case>>;

    /// Cases, closed ones included, whose containment is not what it should be: phases `requested`, `partial`,
    /// `breached`, `releasing`, and `probation` with an unconfirmed lever ([`is_unsettled`]). The one changed
    /// longest ago comes first, so that none waits behind others that fail again and again. They are claimed for
    /// `worker` until `until`; what another worker has claimed beyond `now` is left out, what this one has claimed
    /// is not. A claim that holds for half of that time yet may be left as it is.
    async fn claim_unsettled(
        &self,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<Case>>;

    /// Gives back what a worker has claimed, because it stops.
    async fn unclaim(&self, worker: &str) -> Result<()>;

    /// Grows whenever there may be new events, whichever process wrote them; a hint that may come late, come once
    /// for many, or be missed while a connection is down, so that whoever waits also looks from time to time.
    fn changes(&self) -> tokio::sync::watch::Receiver<u64>;

    /// Totals of a run.
    async fn totals(&self, run: &RunId) -> Result<CaseTotals>;

    /// Events after a place in the order, oldest first, at most `limit`.
    async fn events_after(&self, sequence: u64, limit: u32) -> Result<Vec<Event>>;

    /// Place of the newest event; 0 when there is none.
    async fn last_event(&self) -> Result<u64>;

    /// Removes cases closed before `before`; returns how many. A case whose containment is not settled stays, or
    /// nobody would lift it. Totals stay.
    async fn purge(&self, before: Timestamp) -> Result<u64>;

    /// Removes events from before `before`; returns how many. Places in the order are never used again.
    async fn purge_events(&self, before: Timestamp) -> Result<u64>;
}

/// From when on a healer may claim the case; `None` when it may not. A lease holds before its `until`.
pub fn due_at(case: &Case) -> Option<Timestamp> {
    match &case.state {
        State::HealQueued { not_before, .. } => Some(*not_before),
        State::Healing { lease, .. } | State::Probation { lease, .. } => Some(lease.until),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::Healed { .. }
        | State::Released { .. } => None,
    }
}

/// Whether the containment is not what it should be, so that a lever has to be asked.
pub fn is_unsettled(case: &Case) -> bool {
    match case.quarantine.phase {
        QuarantinePhase::Requested
        | QuarantinePhase::Partial
        | QuarantinePhase::Breached
        | QuarantinePhase::Releasing => true,
        QuarantinePhase::Probation => case.quarantine.levers.iter().any(|lever| match lever.status {
            LeverStatus::Requested | LeverStatus::Failed => true,
            LeverStatus::Confirmed | LeverStatus::Unsupported => false,
        }),
        QuarantinePhase::NotWanted | QuarantinePhase::Confirmed | QuarantinePhase::Released => false,
    }
}

/// Whether the agent is to be contained; a case for which this was ever true counts as quarantined.
pub fn wants_containment(case: &Case) -> bool {
    case.denies_admission()
}

/// When the case was closed; `None` while it is open.
pub fn closed_at(case: &Case) -> Option<Timestamp> {
    match &case.state {
        State::Healed { at, .. } | State::Released { at, .. } => Some(*at),
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. } => None,
    }
}
