//! Doing what was asked.

use super::{Honesty, Order, Platform, Settled, details};
use crate::agent::{Agent, Permit};
use crate::event::SimEvent;
use immune_domain::healing::Action;
use immune_proto::v1::{LifecycleAction, LifecycleOutcome};
use serde_json::{Map, Value};
use std::sync::PoisonError;

/// Under probation an agent may execute this many times as often as its watch wants to see: some executions are cut
/// short or arrive late, and a watch that never gets its number could not end.
const PROBATION_FACTOR: u32 = 2;

/// What the API can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Heal(Action),
    Quarantine,
    Release,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Done,
    Failed,
    Unsupported,
}

impl Verb {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "quarantine" => Some(Verb::Quarantine),
            "release" => Some(Verb::Release),
            other => other.parse().ok().map(Verb::Heal),
        }
    }

    pub(crate) const fn of(action: LifecycleAction) -> Option<Self> {
        Some(match action {
            LifecycleAction::Unspecified => return None,
            LifecycleAction::ResetMemory => Verb::Heal(Action::ResetMemory),
            LifecycleAction::RollbackPrompt => Verb::Heal(Action::RollbackPrompt),
            LifecycleAction::ReduceAutonomy => Verb::Heal(Action::ReduceAutonomy),
            LifecycleAction::CloneAgent => Verb::Heal(Action::CloneAgent),
            LifecycleAction::RevokeTools => Verb::Heal(Action::RevokeTools),
            LifecycleAction::ResetAgent => Verb::Heal(Action::ResetAgent),
            LifecycleAction::Quarantine => Verb::Quarantine,
            LifecycleAction::Release => Verb::Release,
        })
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Verb::Heal(action) => action.as_str(),
            Verb::Quarantine => "quarantine",
            Verb::Release => "release",
        }
    }
}

impl Word {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Word::Done => "done",
            Word::Failed => "failed",
            Word::Unsupported => "unsupported",
        }
    }

    pub(crate) const fn outcome(self) -> LifecycleOutcome {
        match self {
            Word::Done => LifecycleOutcome::Done,
            Word::Failed => LifecycleOutcome::Failed,
            Word::Unsupported => LifecycleOutcome::Unsupported,
        }
    }
}

impl Platform {
    /// Does what was asked, or what the faults make of it.
    pub(super) async fn perform(&self, agent: &Agent, order: &Order) -> Settled {
        let faults = self.faults();
        tokio::time::sleep(faults.takes).await;
        let name = order.verb.as_str();
        let settled = if faults.unsupported.contains(name) || faults.unsupported.contains("*") {
            (Word::Unsupported, format!("this platform cannot {name}"))
        } else if let Some(words) = faults.refuses {
            (Word::Failed, words)
        } else {
            match faults.honesty {
                Honesty::Honest => self.honestly(agent, order).await,
                Honesty::LiesAboutActions => (Word::Done, format!("{name} done")),
                Honesty::LiesThroughout => {
                    if let Some(permit) = permit_of(order) {
                        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
                        claims.insert(agent.id.clone(), permit);
                    }
                    (Word::Done, format!("{name} done"))
                }
            }
        };
        let (word, detail) = settled;
        match order.verb {
            Verb::Heal(_) => self.tell(SimEvent::Acted {
                agent: agent.id.clone(),
                action: name.to_owned(),
                outcome: word.as_str(),
                detail: detail.clone(),
            }),
            Verb::Quarantine | Verb::Release => {}
        }
        let evidence = self
            .agent(&agent.id)
            .map(|seen| details(&seen))
            .unwrap_or_default();
        Settled {
            word,
            detail,
            evidence,
        }
    }

    async fn honestly(&self, agent: &Agent, order: &Order) -> (Word, String) {
        let id = || agent.id.clone();
        match order.verb {
            Verb::Quarantine => {
                if !agent.contain().await {
                    return (
                        Word::Failed,
                        "the agent was told to stop and has not yet".to_owned(),
                    );
                }
                self.tell(SimEvent::Contained { agent: id() });
                (
                    Word::Done,
                    "the agent has stopped and will not execute".to_owned(),
                )
            }
            Verb::Release => {
                let permit = permit_of(order).unwrap_or(Permit::Free);
                agent.release(permit);
                match permit {
                    Permit::Probation { left } => {
                        self.tell(SimEvent::Probation {
                            agent: id(),
                            executions: left,
                        });
                        (Word::Done, "the agent may execute under watch".to_owned())
                    }
                    Permit::Free | Permit::Contained => {
                        self.tell(SimEvent::Released { agent: id() });
                        (Word::Done, "the agent may execute".to_owned())
                    }
                }
            }
            Verb::Heal(action) => match agent.heal(action) {
                Ok((detail, cured)) => {
                    for infection in cured {
                        self.tell(SimEvent::Cured {
                            agent: id(),
                            infection,
                            by: action.as_str().to_owned(),
                        });
                    }
                    (Word::Done, detail)
                }
                Err(words) => (Word::Failed, words),
            },
        }
    }
}

/// What the agent may do after the order; `None` for an order that does not touch that.
fn permit_of(order: &Order) -> Option<Permit> {
    match order.verb {
        Verb::Heal(_) => None,
        Verb::Quarantine => Some(Permit::Contained),
        Verb::Release => Some(probation(&order.parameters)),
    }
}

fn probation(parameters: &Map<String, Value>) -> Permit {
    if parameters.get("probation").and_then(Value::as_bool) != Some(true) {
        return Permit::Free;
    }
    let wanted = parameters
        .get("executions")
        .and_then(Value::as_u64)
        .and_then(|n| u32::try_from(n).ok());
    Permit::Probation {
        left: wanted.map(|n| n.saturating_mul(PROBATION_FACTOR)),
    }
}
