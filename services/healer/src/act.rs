//! Asks the levers for a healing action.

use crate::error::Error;
use crate::job::Job;
use immune_domain::case::{Case, Step};
use immune_levers::{Answer, Ask, Lever, Order, Outcome};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest wait between two asks with the same key.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(30);

/// How acting ended, with the levers' words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Acted {
    Done(String),
    Failed(String),
    Unsupported(String),
    /// No answer, as often as it was asked; the effect is unknown.
    Unknown(String),
}

impl Job<'_> {
    /// Asks the agent's levers, in policy's order, until one can do it. The healing's id is the idempotency key, so
    /// that asking again, after a crash too, has no second effect.
    ///
    /// # Errors
    /// When the case may be in other hands.
    pub(crate) async fn act(&self, case: &Case, step: &Step) -> Result<Acted, Error> {
        let ask = Ask {
            key: case.key.clone(),
            case: case.id.clone(),
            idempotency_key: step.healing.to_string(),
            order: Order::Heal(step.action),
            reason: format!("{} of severity {:.1}", case.diagnosis(), case.infection.severity),
            parameters: BTreeMap::from([
                ("severity".to_owned(), json!(case.infection.severity)),
                ("diagnosis_type".to_owned(), json!(case.diagnosis())),
                ("attempt".to_owned(), json!(case.attempts.len() + 1)),
            ]),
            workload: case.infection.workload.clone(),
        };
        let mut cannot = Vec::new();
        for name in &self.healer.policy(case).levers {
            let Some(lever) = self.healer.levers.get(name) else {
                cannot.push(format!("{name}: this process has no such lever"));
                continue;
            };
            let answer = self.ask(lever.as_ref(), &ask).await?;
            let detail = answer.detail;
            match answer.outcome {
                Outcome::Done => return Ok(Acted::Done(detail)),
                Outcome::Failed => return Ok(Acted::Failed(detail)),
                Outcome::Unknown => return Ok(Acted::Unknown(format!("no answer: {detail}"))),
                Outcome::Unsupported => cannot.push(format!("{name}: {detail}")),
            }
        }
        Ok(Acted::Unsupported(cannot.join("; ")))
    }

    /// Asks one lever, again with the same key as long as the effect is unknown.
    async fn ask(&self, lever: &dyn Lever, ask: &Ask) -> Result<Answer, Error> {
        let mut wait = Duration::from_millis(self.healer.config.ask_again_ms);
        let mut asked = 0;
        loop {
            self.still_held().await?;
            let deadline = Duration::from_secs(self.healer.config.ask_seconds_max);
            let answer = match tokio::time::timeout(deadline, lever.ask(ask)).await {
                Ok(answer) => answer,
                Err(_) => Answer {
                    outcome: Outcome::Unknown,
                    detail: format!("lever {} was silent for {} s", lever.name(), deadline.as_secs()),
                    evidence: Value::Null,
                },
            };
            self.healer.metrics.asked(answer.outcome);
            asked += 1;
            match answer.outcome {
                Outcome::Done | Outcome::Failed | Outcome::Unsupported => return Ok(answer),
                Outcome::Unknown if asked >= self.healer.config.asks_max => return Ok(answer),
                Outcome::Unknown => {
                    tracing::info!(case = %ask.case, lever = lever.name(), asked, detail = answer.detail, "no answer");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(ASK_AGAIN_MAX);
                }
            }
        }
    }
}
