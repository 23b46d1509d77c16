//! What people do to a baseline: reset it, stop it from learning, give it numbers. Each is stored together with the row
//! of the action log that says who did it and why.

use crate::agent::Agent;
use crate::partition::Held;
use immune_domain::baseline::{Learned, Origin, Profile};
use immune_domain::case::Person;
use immune_domain::{AgentKey, Timestamp};
use immune_store::action_log::LogRow;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// Acts of one partition that may wait for the store.
const ACTS_MAX: usize = 64;

/// What a person wants done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// Forget what is normal and learn it anew.
    Reset,
    /// Learn nothing from now on, or again.
    Freeze(bool),
    /// Take these numbers.
    Set(Box<Learned>, Origin),
}

/// A wish with who has it and why.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) key: AgentKey,
    pub(crate) act: Act,
    pub(crate) by: Person,
    pub(crate) reason: String,
    /// Told when it is stored: the profile, or `None` where there was nothing to reset.
    pub(crate) answer: oneshot::Sender<Result<Option<Arc<Profile>>, Refusal>>,
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the agent's partition is held elsewhere")]
    NotHeld,
    #[error("nothing is known of the agent: there is no baseline to freeze")]
    Unknown,
    #[error(
        "the agent has taught {has} executions of {needed}: a baseline that cannot judge yet is not frozen"
    )]
    Learning { has: u64, needed: u32 },
    #[error("{has} executions teach, and {needed} are needed to judge by")]
    TooFew { has: u64, needed: u32 },
    #[error("{count} agents have a baseline, the most that this replica holds")]
    Full { count: usize },
    #[error("{ACTS_MAX} changes wait for the store; try again")]
    Busy,
}

/// An act that waits until it is stored.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) key: AgentKey,
    pub(crate) row: LogRow,
    answer: oneshot::Sender<Result<Option<Arc<Profile>>, Refusal>>,
}

impl Pending {
    /// It is stored.
    pub(crate) fn done(self, profile: Arc<Profile>) {
        // The asker may be gone; what was asked is done all the same.
        let _ = self.answer.send(Ok(Some(profile)));
    }
}

impl Held {
    /// Does what a person wants; it is answered when it is stored, or refused at once.
    pub(crate) fn act(&mut self, asked: Asked, now: Timestamp) {
        let Asked {
            key,
            act,
            by,
            reason,
            answer,
        } = asked;
        match self.acted(&key, act, now) {
            // The asker may be gone.
            Err(refusal) => drop(answer.send(Err(refusal))),
            Ok(None) => drop(answer.send(Ok(None))),
            Ok(Some((kind, mut payload))) => {
                payload["reason"] = json!(reason);
                payload["via"] = json!(by.via);
                let row = LogRow {
                    run: key.run.clone(),
                    at: now,
                    kind: kind.to_owned(),
                    agent: Some(key.agent.clone()),
                    actor: by.subject,
                    outcome: "done".to_owned(),
                    payload,
                };
                self.changes.mark(&key);
                self.pending.push(Pending { key, row, answer });
            }
        }
    }

    /// Changes the agent; the row's kind and details, or `None` where there is nothing to change.
    fn acted(
        &mut self,
        key: &AgentKey,
        act: Act,
        now: Timestamp,
    ) -> Result<Option<(&'static str, Value)>, Refusal> {
        if self.pending.len() >= ACTS_MAX {
            return Err(Refusal::Busy);
        }
        let policies = self.rules.policies.clone();
        let samples_min = |agent: Option<&Agent>| match agent {
            Some(agent) if agent.samples_min > 0 => agent.samples_min,
            Some(_) | None => {
                policies
                    .resolve(&key.run, &key.agent, None, None)
                    .baseline_samples_min
            }
        };
        let needed = samples_min(self.agents.get(key));
        match act {
            Act::Reset => {
                let life = self.next_life();
                let Some(agent) = self.agents.get_mut(key) else {
                    return Ok(None);
                };
                let forgotten = agent.learner.samples();
                agent.set(Learned::default(), Origin::Reset, life, now);
                Ok(Some(("baseline_reset", json!({ "forgotten": forgotten }))))
            }
            Act::Freeze(is_frozen) => {
                let agent = self.agents.get_mut(key).ok_or(Refusal::Unknown)?;
                if is_frozen && !agent.is_judged() {
                    let has = agent.learner.samples();
                    return Err(Refusal::Learning { has, needed });
                }
                agent.is_frozen = is_frozen;
                let kind = if is_frozen {
                    "baseline_frozen"
                } else {
                    "baseline_unfrozen"
                };
                Ok(Some((kind, json!({ "samples": agent.learner.samples() }))))
            }
            Act::Set(learned, origin) => {
                let has = learned.learner.samples();
                if has < u64::from(needed) {
                    return Err(Refusal::TooFew { has, needed });
                }
                let life = self.next_life();
                let agent = self.agent_or_new(key, now)?;
                let replaced = agent.learner.samples();
                agent.set(*learned, origin, life, now);
                agent.samples_min = needed;
                let kind = match origin {
                    Origin::Pinned => "baseline_pinned",
                    Origin::Accepted => "baseline_accepted",
                    Origin::Imported | Origin::Reset | Origin::Seen => "baseline_imported",
                };
                Ok(Some((kind, json!({ "samples": has, "replaced": replaced }))))
            }
        }
    }

    fn next_life(&mut self) -> u64 {
        self.lives += 1;
        self.lives - 1
    }

    fn agent_or_new(&mut self, key: &AgentKey, now: Timestamp) -> Result<&mut Agent, Refusal> {
        if !self.agents.contains_key(key) {
            let count = self.rules.agents.load(Ordering::Relaxed);
            if count >= self.rules.config.agents_max {
                return Err(Refusal::Full { count });
            }
            self.rules.agents.fetch_add(1, Ordering::Relaxed);
        }
        let life = self.lives;
        self.lives += 1;
        Ok(self
            .agents
            .entry(key.clone())
            .or_insert_with(|| Agent::new(now, life)))
    }
}
