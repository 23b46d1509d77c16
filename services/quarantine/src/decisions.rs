//! People's decisions. Every one is in the action log, the refused ones too.

use crate::desk::Desk;
use crate::error::Error;
use immune_domain::case::{self, Case, Command, Decision, Person};
use immune_domain::{AgentKey, CaseId};
use immune_store::action_log::LogRow;
use serde_json::json;

impl Desk {
    /// Applies a person's decision; refused ones are recorded, too.
    pub(crate) async fn decide(
        &self,
        id: &CaseId,
        decision: Decision,
        by: Person,
        reason: String,
        expected_version: Option<u64>,
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
        let case = self
            .store
            .get(id)
            .await?
            .ok_or_else(|| Error::CaseNotFound(id.clone()))?;
        let key = case.key.clone();
        let result = match expected_version {
            Some(expected) if expected != case.version => {
                Err(self.changed_meanwhile(case, command, expected))
            }
            Some(_) | None => self.apply_to(case, command).await.map(|applied| applied.case),
        };
        self.metrics.decided(decision, result.is_ok());
        if let Err(error) = &result {
            self.record_refusal(&key, id, decision, &by, &reason, error).await;
        }
        result
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
