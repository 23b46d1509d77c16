//! From one ask to one truthful answer: repeat, poll, verify, within the deadline. The same for both forms.

use crate::backoff::Backoff;
use crate::reply::{Order, Reply, Seen, Wire, Word};
use immune_domain::AgentKey;
use immune_levers::{Answer, Observed, Outcome};
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::Instant;
use tracing::debug;

/// How long we wait, and how often we ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) deadline: Duration,
    pub(crate) request: Duration,
    pub(crate) settle: Duration,
    pub(crate) backoff: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) retries_max: u32,
}

/// One ask under way.
struct Conversation<'a> {
    wire: &'a dyn Wire,
    order: &'a Order,
    pace: &'a Pace,
    deadline: Instant,
    evidence: Map<String, Value>,
    requests: u32,
    polls: u32,
}

/// Asks until the platform's word is final and, for containment, seen; or says that it is unknown.
pub(crate) async fn hold(wire: &dyn Wire, order: &Order, pace: &Pace) -> Answer {
    let deadline = Instant::now() + pace.deadline;
    let mut conversation = Conversation {
        wire,
        order,
        pace,
        deadline,
        evidence: Map::new(),
        requests: 0,
        polls: 0,
    };
    let (outcome, detail) = match conversation.settle().await {
        Ok((word, detail)) => conversation.verified(word, detail).await,
        Err(why) => (Outcome::Unknown, why),
    };
    let Conversation {
        mut evidence,
        requests,
        polls,
        ..
    } = conversation;
    evidence.insert("requests".to_owned(), json!(requests));
    if polls > 0 {
        evidence.insert("polls".to_owned(), json!(polls));
    }
    Answer {
        outcome,
        detail,
        evidence: Value::Object(evidence),
    }
}

/// What the platform shows of an agent; one repetition, since whoever looks will look again.
pub(crate) async fn look(wire: &dyn Wire, key: &AgentKey, pace: &Pace) -> Option<Observed> {
    for _ in 0..2 {
        match wire.agent(key, pace.request.min(pace.deadline / 2)).await {
            Seen::Agent {
                contained,
                state,
                details: _,
            } => return Some(Observed { contained, state }),
            Seen::Nothing { .. } => return None,
            Seen::Again { why, .. } => debug!(agent = %key, why, "agent not seen"),
        }
    }
    None
}

impl Conversation<'_> {
    /// The platform's final word, or why there is none.
    async fn settle(&mut self) -> Result<(Word, String), String> {
        let mut last = String::new();
        for n in 0..=self.pace.retries_max {
            let Some(timeout) = self.time_left() else { break };
            self.requests += 1;
            match self.wire.act(self.order, timeout).await {
                Reply::Settled {
                    word,
                    detail,
                    evidence,
                } => return Ok(self.keep(word, detail, evidence)),
                Reply::Pending { place, wait } => return self.poll(place, wait).await,
                Reply::Unclear { why } => return Err(why),
                Reply::Again { why, wait } => {
                    debug!(agent = %self.order.key, key = self.order.idempotency_key, n, why, "asking again");
                    last = why;
                    if n < self.pace.retries_max && !self.pause(n, wait).await {
                        break;
                    }
                }
            }
        }
        Err(format!(
            "no answer after {} requests, the last: {last}",
            self.requests
        ))
    }

    /// Asks for an operation that is under way until it ends or the deadline passes.
    async fn poll(
        &mut self,
        mut place: String,
        mut wait: Option<Duration>,
    ) -> Result<(Word, String), String> {
        let mut last = "it is under way".to_owned();
        loop {
            // From the second poll on, waits grow again and again up to the largest; the deadline bounds their number.
            if !self.pause(self.polls, wait).await {
                break;
            }
            let Some(timeout) = self.time_left() else { break };
            self.polls += 1;
            match self.wire.operation(&self.order.key, &place, timeout).await {
                Reply::Settled {
                    word,
                    detail,
                    evidence,
                } => return Ok(self.keep(word, detail, evidence)),
                Reply::Pending {
                    place: next,
                    wait: wish,
                } => (place, wait) = (next, wish),
                Reply::Again { why, wait: wish } => (last, wait) = (why, wish),
                Reply::Unclear { why } => return Err(why),
            }
        }
        Err(format!(
            "not finished within {:.1} s, the last word: {last}",
            self.pace.deadline.as_secs_f64()
        ))
    }

    /// Compares a receipt for containment or release with the platform's own view.
    async fn verified(&mut self, word: Word, detail: String) -> (Outcome, String) {
        let wanted = match (word, self.order.verb.wants_contained()) {
            (Word::Failed, _) => return (Outcome::Failed, detail),
            (Word::Unsupported, _) => return (Outcome::Unsupported, detail),
            (Word::Done, None) => return (Outcome::Done, detail),
            (Word::Done, Some(wanted)) => wanted,
        };
        let settled_by = Instant::now() + self.pace.settle;
        let mut n = 0;
        loop {
            let Some(timeout) = self.time_left() else {
                return (
                    Outcome::Unknown,
                    format!("the platform says done, but had no time to show it: {detail}"),
                );
            };
            let (why, wait) = match self.wire.agent(&self.order.key, timeout).await {
                Seen::Agent {
                    contained,
                    state,
                    details,
                } => {
                    self.evidence.insert(
                        "observed".to_owned(),
                        json!({ "contained": contained, "state": state }),
                    );
                    if contained == wanted {
                        self.evidence.insert("verified".to_owned(), json!(true));
                        return (Outcome::Done, detail);
                    }
                    if Instant::now() >= settled_by {
                        self.evidence.insert("verified".to_owned(), json!(false));
                        self.evidence.insert("details".to_owned(), details);
                        let how = if contained { "contained" } else { "not contained" };
                        return (
                            Outcome::Failed,
                            format!("the platform says done but shows the agent {how} ({state})"),
                        );
                    }
                    ("the platform says done but does not show it yet".to_owned(), None)
                }
                Seen::Nothing { why } => {
                    // Its receipt is all there is; the case sees from telemetry whether it holds.
                    self.evidence.insert("verified".to_owned(), Value::Null);
                    self.evidence.insert("unverified_because".to_owned(), json!(why));
                    return (Outcome::Done, detail);
                }
                Seen::Again { why, wait } if n < self.pace.retries_max => (why, wait),
                Seen::Again { why, .. } => {
                    return (
                        Outcome::Unknown,
                        format!("the platform says done, but cannot be looked at: {why}"),
                    );
                }
            };
            if !self.pause(n, wait).await {
                return (
                    Outcome::Unknown,
                    format!("the platform says done, but could not be looked at in time: {why}"),
                );
            }
            n += 1;
        }
    }

    fn keep(&mut self, word: Word, detail: String, evidence: Value) -> (Word, String) {
        self.evidence.insert("receipt".to_owned(), evidence);
        (word, detail)
    }

    /// Time for one more request; `None` when the deadline has passed.
    fn time_left(&self) -> Option<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| left.min(self.pace.request))
    }

    /// Waits before the next request; `false` when the deadline comes first.
    async fn pause(&self, n: u32, asked_for: Option<Duration>) -> bool {
        let (first, max) = (self.pace.backoff, self.pace.backoff_max);
        let wait = Backoff {
            first,
            max,
            key: &self.order.idempotency_key,
        }
        .wait(n, asked_for);
        let until = Instant::now() + wait;
        if until >= self.deadline {
            return false;
        }
        tokio::time::sleep_until(until).await;
        true
    }
}
