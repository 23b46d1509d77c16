//! Orders by idempotency key: each is done once, and its answer kept for repetitions.

use super::{Order, Refusal, Settled, Verb};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

/// The most orders that are remembered; the oldest are forgotten first.
const REMEMBERED_MAX: usize = 4_096;

#[derive(Default)]
pub(super) struct Slots {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_key: HashMap<String, Slot>,
    /// Keys in the order in which they came; the first has number `forgotten`.
    keys: VecDeque<String>,
    forgotten: u64,
}

/// One order.
#[derive(Clone)]
pub(super) struct Slot {
    number: u64,
    agent: String,
    verb: Verb,
    settled: watch::Receiver<Option<Settled>>,
}

impl Slots {
    /// The slot of an order; for the first with its key also the means to settle it.
    #[allow(clippy::type_complexity, reason = "named once, here")]
    pub(super) fn open(
        &self,
        order: &Order,
    ) -> Result<(Slot, Option<watch::Sender<Option<Settled>>>), Refusal> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = known.by_key.get(&order.idempotency_key) {
            if slot.agent != order.agent || slot.verb != order.verb {
                return Err(Refusal::KeyReused(order.idempotency_key.clone()));
            }
            return Ok((slot.clone(), None));
        }
        if known.keys.len() == REMEMBERED_MAX
            && let Some(oldest) = known.keys.pop_front()
        {
            known.by_key.remove(&oldest);
            known.forgotten += 1;
        }
        let (settle, settled) = watch::channel(None);
        let number = known.forgotten + known.keys.len() as u64;
        let slot = Slot {
            number,
            agent: order.agent.clone(),
            verb: order.verb,
            settled,
        };
        known.keys.push_back(order.idempotency_key.clone());
        known.by_key.insert(order.idempotency_key.clone(), slot.clone());
        Ok((slot, Some(settle)))
    }

    /// The slot of an operation.
    pub(super) fn find(&self, operation: &str) -> Option<Slot> {
        let number: u64 = operation.strip_prefix("op-")?.parse().ok()?;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(number.checked_sub(known.forgotten)?).ok()?;
        known.by_key.get(known.keys.get(at)?).cloned()
    }
}

impl Slot {
    pub(super) fn operation(&self) -> String {
        format!("op-{}", self.number)
    }

    pub(super) fn settled(&self) -> Option<Settled> {
        self.settled.borrow().clone()
    }

    /// The answer once there is one; `None` when whoever works on it is gone.
    pub(super) async fn wait(mut self) -> Option<Settled> {
        self.settled.wait_for(Option::is_some).await.ok()?.clone()
    }
}
