//! Which file answers which command.

use super::draft::Draft;
use super::levers::{self, Answered};
use super::step::Ended;
use super::{Case, Command, Decision, Effect, Refusal, explained, lease, people, report, step, tick, verify};
use crate::Timestamp;
use crate::policy::Policy;

/// The next case with its effects, or why the command does not apply. A command that had been applied before (a
/// message delivered twice) returns the case as it is, at the same version and without effects; any other answer is
/// exactly one version on.
pub type Decided = Result<(Case, Vec<Effect>), Refusal>;

/// Applies a command to a case under the policy that holds for its agent.
///
/// # Errors
/// A [`Refusal`] when the command does not apply to the case as it is.
pub fn decide(case: Case, command: Command, policy: &Policy, now: Timestamp) -> Decided {
    let draft = Draft::new(case, policy, now);
    match command {
        Command::Approve { by, reason } => people::decide(draft, Decision::Approve, by, reason),
        Command::Reject { by, reason } => people::decide(draft, Decision::Reject, by, reason),
        Command::HealNow { by, reason } => people::decide(draft, Decision::HealNow, by, reason),
        Command::Release { by, reason } => people::decide(draft, Decision::Release, by, reason),
        Command::ReportAgain { infection } => report::again(draft, *infection),
        Command::Claim { worker, lease } => lease::claim(draft, worker, lease),
        Command::RenewLease { fence, lease } => lease::renew(draft, fence, lease),
        Command::BeginStep {
            fence,
            healing,
            action,
        } => step::begin(draft, fence, healing, action),
        Command::StepDone {
            fence,
            healing,
            detail,
        } => step::done(draft, fence, &healing, detail),
        Command::StepFailed {
            fence,
            healing,
            detail,
        } => step::ended(draft, fence, &healing, Ended::Failed, detail),
        Command::StepUnsupported {
            fence,
            healing,
            detail,
        } => step::ended(draft, fence, &healing, Ended::Unsupported, detail),
        Command::LadderExhausted { fence, detail } => step::exhausted(draft, fence, detail),
        Command::Verified {
            fence,
            healing,
            verdict,
            detail,
        } => verify::verified(draft, fence, &healing, verdict, detail),
        Command::LeverAnswered {
            lever,
            wanted,
            generation,
            status,
            detail,
        } => levers::answered(
            draft,
            Answered {
                lever,
                wanted,
                generation,
                status,
                detail,
            },
        ),
        Command::LeverLost {
            lever,
            generation,
            detail,
        } => levers::lost(draft, &lever, generation, detail),
        Command::ExecutionSeen {
            execution,
            started_at,
        } => levers::seen(draft, &execution, started_at),
        Command::Explained { incident, because } => explained::release(draft, &incident, &because),
        Command::Tick => tick::tick(draft),
    }
}
