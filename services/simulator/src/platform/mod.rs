//! The platform behind the Agent Lifecycle API: does what is asked, once for each idempotency key, and, if a test
//! wants so, badly.

mod faults;
pub(crate) mod grpc;
pub(crate) mod http;
mod perform;
mod slots;

pub use faults::{Faults, Honesty};
pub(crate) use perform::{Verb, Word};

use crate::agent::{Agent, Permit, Snapshot};
use crate::event::SimEvent;
use crate::handle::Tally;
use serde_json::{Map, Value, json};
use slots::Slots;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, watch};

/// Events that a slow listener may fall behind before it loses the oldest.
const EVENTS_MAX: usize = 1_024;

/// The platform. One per simulation.
pub(crate) struct Platform {
    pub(crate) agents: BTreeMap<String, Arc<Agent>>,
    pub(crate) tally: Tally,
    events: broadcast::Sender<SimEvent>,
    faults: watch::Sender<Faults>,
    /// What a lying platform claims of its agents.
    claims: Mutex<BTreeMap<String, Permit>>,
    slots: Slots,
    token: Option<String>,
}

/// An order as either form of the API brings it.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) agent: String,
    pub(crate) verb: Verb,
    pub(crate) idempotency_key: String,
    pub(crate) parameters: Map<String, Value>,
}

/// The platform's final word.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settled {
    pub(crate) word: Word,
    pub(crate) detail: String,
    pub(crate) evidence: Map<String, Value>,
}

/// The platform's answer to an order, or to the question how it stands.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Settled(Settled),
    Pending { operation: String },
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no agent is called {0:?}")]
    UnknownAgent(String),
    #[error("no operation is called {0:?}, or it is forgotten")]
    UnknownOperation(String),
    #[error("idempotency key {0:?} was used for something else")]
    KeyReused(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the credential is missing or wrong")]
    Unauthenticated,
    #[error("the platform is broken, as it was told to be")]
    Broken,
}

impl Platform {
    pub(crate) fn new(agents: Vec<Agent>, token: Option<String>) -> Self {
        Platform {
            agents: agents
                .into_iter()
                .map(|agent| (agent.id.clone(), Arc::new(agent)))
                .collect(),
            tally: Tally::default(),
            events: broadcast::Sender::new(EVENTS_MAX),
            faults: watch::Sender::new(Faults::default()),
            claims: Mutex::default(),
            slots: Slots::default(),
            token,
        }
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<SimEvent> {
        self.events.subscribe()
    }

    pub(crate) fn tell(&self, event: SimEvent) {
        self.tally.count(&event);
        // Nobody listening is fine.
        let _ = self.events.send(event);
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        if faults.honesty != Honesty::LiesThroughout {
            self.claims.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.faults.send_replace(faults);
    }

    fn faults(&self) -> Faults {
        self.faults.borrow().clone()
    }

    /// Whether the request may be heard at all: its credential, and whether the platform is to break.
    pub(crate) fn admit(&self, authorization: Option<&str>) -> Result<(), Refusal> {
        if let Some(token) = &self.token
            && authorization.and_then(|value| value.strip_prefix("Bearer ")) != Some(token.as_str())
        {
            return Err(Refusal::Unauthenticated);
        }
        let mut is_broken = false;
        self.faults.send_if_modified(|faults| {
            is_broken = faults.breaks_next > 0;
            faults.breaks_next = faults.breaks_next.saturating_sub(1);
            false
        });
        if is_broken { Err(Refusal::Broken) } else { Ok(()) }
    }

    /// Takes an order. The work goes on if the caller hangs up; a repetition joins it.
    pub(crate) async fn act(self: &Arc<Self>, order: Order) -> Result<Reply, Refusal> {
        if order.idempotency_key.is_empty() {
            return Err(Refusal::Invalid("idempotency_key is empty".to_owned()));
        }
        let Some(agent) = self.agents.get(&order.agent).cloned() else {
            return Err(Refusal::UnknownAgent(order.agent));
        };
        let (slot, settle) = self.slots.open(&order)?;
        if let Some(settle) = settle {
            let platform = Arc::clone(self);
            tokio::spawn(async move {
                let settled = platform.perform(&agent, &order).await;
                settle.send_replace(Some(settled));
            });
        }
        let faults = self.faults();
        if faults.hangs {
            // The error is that of a platform that is gone, to which nobody listens any more.
            let _ = self.faults.subscribe().wait_for(|faults| !faults.hangs).await;
        }
        if faults.answers_later && slot.settled().is_none() {
            return Ok(Reply::Pending {
                operation: slot.operation(),
            });
        }
        slot.wait().await.map(Reply::Settled).ok_or(Refusal::Broken)
    }

    /// How an order stands that was taken.
    pub(crate) fn operation(&self, operation: &str) -> Result<Reply, Refusal> {
        let slot = self
            .slots
            .find(operation)
            .ok_or_else(|| Refusal::UnknownOperation(operation.to_owned()))?;
        Ok(match slot.settled() {
            Some(settled) => Reply::Settled(settled),
            None => Reply::Pending {
                operation: operation.to_owned(),
            },
        })
    }

    /// How an agent stands, as far as the platform is honest about it.
    pub(crate) fn agent(&self, id: &str) -> Result<Snapshot, Refusal> {
        let agent = self
            .agents
            .get(id)
            .ok_or_else(|| Refusal::UnknownAgent(id.to_owned()))?;
        let mut snapshot = agent.snapshot();
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.permit = claims.get(id).copied().unwrap_or(snapshot.permit);
        Ok(snapshot)
    }
}

/// What the platform shows of an agent beside the contract's own fields.
pub(crate) fn details(snapshot: &Snapshot) -> Map<String, Value> {
    let left = match snapshot.permit {
        Permit::Probation { left } => json!(left),
        Permit::Free | Permit::Contained => Value::Null,
    };
    Map::from_iter([
        ("agent_type".to_owned(), json!(snapshot.agent_type.as_str())),
        ("prompt_version".to_owned(), json!(snapshot.prompt_version)),
        ("memory_notes".to_owned(), json!(snapshot.memory_notes)),
        ("memory_bytes".to_owned(), json!(snapshot.memory_bytes)),
        ("autonomy".to_owned(), json!(snapshot.autonomy)),
        ("tools".to_owned(), json!(snapshot.tools)),
        ("instance".to_owned(), json!(snapshot.instance)),
        (
            "executions_started".to_owned(),
            json!(snapshot.executions_started),
        ),
        (
            "executions_finished".to_owned(),
            json!(snapshot.executions_finished),
        ),
        ("probation_executions_left".to_owned(), left),
    ])
}
