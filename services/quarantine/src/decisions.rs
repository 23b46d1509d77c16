//! People's decisions. Every one is in the action log, the refused ones too.

use crate::desk::{Desk, Tried};
use crate::error::Error;
use immune_domain::case::{self, Case, Command, Decision, Person};
use immune_domain::{AgentKey, CaseId, RunId};
use immune_store::action_log::LogRow;
use serde_json::json;
use std::time::Duration;

/// How long after a decision the same one counts as its repetition although more has happened to the case.
const REPEATED_MAX: Duration = Duration::from_secs(30);

/// What a person asks for.
struct Order<'a> {
    decision: Decision,
    by: &'a Person,
    reason: &'a str,
}

impl Desk {
    /// Applies a person's decision; refused ones are recorded, too. Where `only_runs` names any, a case of another run
    /// does not exist.
    pub(crate) async fn decide(
        &self,
        id: &CaseId,
        decision: Decision,
        by: Person,
        reason: String,
        expected_version: Option<u64>,
        only_runs: &[RunId],
    ) -> Result<Case, Error> {
        let command = {
            let (by, reason) = (by.clone(), reason.clone());
            match decision {
                Decision::Approve => Command::Approve { by, reason },
                Decision::Reject => Command::Reject { by, reason },
                Decision::HealNow => Command::HealNow { by, reason },
                Decision::Release => Command::Release { by, reason },
            }
        };
        let case = self.store.get(id).await?;
        let case = case.ok_or_else(|| Error::CaseNotFound(id.clone()))?;
        let key = case.key.clone();
        if !only_runs.is_empty() && !only_runs.contains(&key.run) {
            // On record where the case is; whoever asked learns nothing of it.
            let error = Error::CaseNotFound(id.clone());
            self.record_refusal(&key, id, decision, &by, &reason, &error)
                .await;
            return Err(error);
        }
        let result = match expected_version {
            Some(expected) => {
                let order = Order {
                    decision,
                    by: &by,
                    reason: &reason,
                };
                self.decide_at(case, command, expected, order).await
            }
            None => self.apply_to(case, command).await.map(|applied| applied.case),
        };
        let outcome = match &result {
            Ok(case) if case.first_approval.as_ref().is_some_and(|first| first.by == by) => "first_of_two",
            Ok(_) => "done",
            Err(_) => "refused",
        };
        self.metrics.decided(decision, outcome);
        if let Err(error) = &result {
            self.record_refusal(&key, id, decision, &by, &reason, error).await;
        }
        result
    }

    /// Applies a decision to the version that the person saw, and to no other. The same decision of the same person
    /// once more is answered with the case: whoever lost the first answer asks again.
    async fn decide_at(
        &self,
        mut case: Case,
        command: Command,
        expected: u64,
        order: Order<'_>,
    ) -> Result<Case, Error> {
        if case.version == expected {
            match self.try_apply(case, command.clone()).await? {
                Tried::Applied(applied) => return Ok(applied.case),
                Tried::Conflict(newer) => case = *newer,
            }
        }
        if self.is_repeated(&case, expected, &order) {
            return Ok(case);
        }
        Err(self.changed_meanwhile(case, command, expected))
    }

    /// Whether a decision is the one that the case took last, or the first of two that it holds: either nothing has
    /// happened since, or it is so recent that a caller may still be asking again (a healer may have taken the case by
    /// then).
    fn is_repeated(&self, case: &Case, expected: u64, order: &Order<'_>) -> bool {
        let is_same = |decision: Decision, by: &Person, reason: &str| {
            decision == order.decision && by == order.by && is_same_reason(reason, order.reason)
        };
        let last = case.last_decision.as_ref();
        let last = last.filter(|last| is_same(last.decision, &last.by, &last.reason));
        let first = case.first_approval.as_ref();
        let first = first.filter(|first| is_same(first.decision, &first.by, &first.reason));
        let Some(at) = first.map(|first| first.at).or(last.map(|last| last.at)) else {
            return false;
        };
        let is_next = expected.checked_add(1) == Some(case.version);
        let is_recent = case.version > expected && self.clock.now().since(at) < REPEATED_MAX;
        is_next || is_recent
    }

    /// Why a decision on an older version is refused: because of what happened meanwhile, if that refuses it.
    fn changed_meanwhile(&self, case: Case, command: Command, expected: u64) -> Error {
        let (id, current) = (case.id.clone(), case.version);
        let policy = self.policy(&case).clone();
        match case::decide(case, command, &policy, self.clock.now()) {
            Err(refusal) => Error::Refused { case: id, refusal },
            Ok(_) => Error::VersionChanged {
                case: id,
                expected,
                current,
            },
        }
    }

    async fn record_refusal(
        &self,
        key: &AgentKey,
        id: &CaseId,
        decision: Decision,
        by: &Person,
        reason: &str,
        error: &Error,
    ) {
        let kind = match decision {
            Decision::Approve => "user_approved",
            Decision::Reject => "user_rejected",
            Decision::HealNow => "explicit_heal_requested",
            Decision::Release => "user_released",
        };
        let reason: String = reason.chars().take(1_000).collect();
        let row = LogRow {
            run: key.run.clone(),
            at: self.clock.now(),
            kind: kind.to_owned(),
            agent: Some(key.agent.clone()),
            actor: by.subject.clone(),
            outcome: "refused".to_owned(),
            payload: json!({
                "case_id": id, "decision": decision, "reason": reason, "via": by.via, "refused_because": error.code(),
                "message": error.to_string(),
            }),
        };
        if let Err(error) = self.action_log.append(&[row]).await {
            tracing::error!(%error, case = %id, by = %by.subject, "a refused decision could not be recorded");
        }
    }
}

/// Whether a reason is the one on record, which is trimmed, and cut where it was too long.
fn is_same_reason(stored: &str, given: &str) -> bool {
    let given = given.trim();
    let is_cut = |kept: &str| given.len() > stored.len() && given.starts_with(kept);
    given == stored || stored.strip_suffix('…').is_some_and(is_cut)
}
