//! What can be asked of a case.

use super::{Containment, LeverStatus, Person};
use crate::detection::Infection;
use crate::healing::Action;
use crate::{ExecutionId, HealingId, Timestamp};
use std::time::Duration;

/// What can be asked of a case: people decide, the sentinel reports, healers work, levers answer, time passes.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A person lets it be healed.
    Approve {
        /// Who.
        by: Person,
        /// Why; may be empty.
        reason: String,
    },
    /// A person says no; the agent stays quarantined.
    Reject {
        /// Who.
        by: Person,
        /// Why; may be empty.
        reason: String,
    },
    /// A person orders it healed, after a rejection or before a decision.
    HealNow {
        /// Who.
        by: Person,
        /// Why; may be empty.
        reason: String,
    },
    /// A person lets the agent go as it is.
    Release {
        /// Who.
        by: Person,
        /// Why; not empty.
        reason: String,
    },
    /// The sentinel reports the agent again.
    ReportAgain {
        /// The new report; boxed because it is much larger than anything else that is asked.
        infection: Box<Infection>,
    },
    /// A healer takes the case, or takes it over from one whose lease expired.
    Claim {
        /// Name of the worker.
        worker: String,
        /// How long it may hold the case without renewing.
        lease: Duration,
    },
    /// A healer holds on.
    RenewLease {
        /// Its fencing token.
        fence: u64,
        /// How long from now.
        lease: Duration,
    },
    /// A healer is about to act.
    BeginStep {
        /// Its fencing token.
        fence: u64,
        /// Identity of the attempt.
        healing: HealingId,
        /// What it is about to do.
        action: Action,
    },
    /// The lever did it.
    StepDone {
        /// The healer's fencing token.
        fence: u64,
        /// Which attempt.
        healing: HealingId,
        /// The lever's words.
        detail: String,
    },
    /// The lever said no or did not manage.
    StepFailed {
        /// The healer's fencing token.
        fence: u64,
        /// Which attempt.
        healing: HealingId,
        /// The lever's words.
        detail: String,
    },
    /// The lever cannot do this action.
    StepUnsupported {
        /// The healer's fencing token.
        fence: u64,
        /// Which attempt.
        healing: HealingId,
        /// The lever's words.
        detail: String,
    },
    /// No step of the ladder is left.
    LadderExhausted {
        /// The healer's fencing token.
        fence: u64,
        /// What was skipped, and why.
        detail: String,
    },
    /// The probation has ended.
    Verified {
        /// The healer's fencing token.
        fence: u64,
        /// Which attempt.
        healing: HealingId,
        /// How.
        verdict: Verdict,
        /// What it was seen from.
        detail: String,
    },
    /// A lever answered the ask of a containment.
    LeverAnswered {
        /// Name of the lever.
        lever: String,
        /// What it had been asked for.
        wanted: Containment,
        /// Its generation when it was asked; an answer to an older ask changes nothing.
        generation: u32,
        /// Its answer; `Requested` means that the effect is unknown.
        status: LeverStatus,
        /// Its receipt or its error.
        detail: String,
    },
    /// A lever that had confirmed does not see the agent contained any more.
    LeverLost {
        /// Name of the lever.
        lever: String,
        /// Its generation when it was looked at.
        generation: u32,
        /// What it saw instead.
        detail: String,
    },
    /// An execution of the agent was seen.
    ExecutionSeen {
        /// Which one.
        execution: ExecutionId,
        /// When it started, by the agent's clock.
        started_at: Timestamp,
    },
    /// A fleet incident explains the agent's state: it is released, unless a person or its platform has had a word.
    Explained {
        /// Which incident.
        incident: String,
        /// What it says of itself.
        because: String,
    },
    /// Time has passed.
    Tick,
}

/// How a probation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The executions lay within the baseline.
    Passed,
    /// They did not.
    Failed,
    /// The agent never ran.
    Silent,
}

impl Command {
    /// Name in messages and tables.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Command::Approve { .. } => "approve",
            Command::Reject { .. } => "reject",
            Command::HealNow { .. } => "heal_now",
            Command::Release { .. } => "release",
            Command::ReportAgain { .. } => "report_again",
            Command::Claim { .. } => "claim",
            Command::RenewLease { .. } => "renew_lease",
            Command::BeginStep { .. } => "begin_step",
            Command::StepDone { .. } => "step_done",
            Command::StepFailed { .. } => "step_failed",
            Command::StepUnsupported { .. } => "step_unsupported",
            Command::LadderExhausted { .. } => "ladder_exhausted",
            Command::Verified { .. } => "verified",
            Command::LeverAnswered { .. } => "lever_answered",
            Command::LeverLost { .. } => "lever_lost",
            Command::ExecutionSeen { .. } => "execution_seen",
            Command::Explained { .. } => "explained",
            Command::Tick => "tick",
        }
    }
}
