//! Sends the agents of a run that have changed, a few times a second.

use crate::Service;
use crate::changes::Watch;
use crate::listing;
use immune_domain::{AgentId, ErrorKind};
use immune_proto::v1;
use immune_runtime::grpc::status;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tonic::Status;

/// Time between the changes of one round and those of the next.
const PAUSE: Duration = Duration::from_millis(250);
/// Agents in a message at most.
const AGENTS_MAX: usize = 1_000;
/// Looks for the first record of an agent: it is judged as soon as it is on its way to the store.
const LOOKS_MAX: u8 = 20;

/// What a watch sends.
pub(crate) type Sent = Result<v1::WatchAgentsResponse, Status>;

impl Service {
    /// Tells that the watch has begun, and then of changes; ends when the reader is gone or the watch must begin anew.
    pub(crate) async fn tell_changes(&self, watch: &Watch, sender: &mpsc::Sender<Sent>) {
        if sender.send(Ok(v1::WatchAgentsResponse::default())).await.is_err() {
            return;
        }
        tokio::select! {
            () = self.tell(watch, sender) => {}
            () = watch.ended() => {
                let message = "a partition has come here; watch again";
                let moved = status(ErrorKind::Unavailable, "sentinel.watch_moved", message);
                let _ = sender.send(Err(moved)).await;
            }
        }
    }

    async fn tell(&self, watch: &Watch, sender: &mpsc::Sender<Sent>) {
        let mut waiting: VecDeque<AgentId> = VecDeque::new();
        let mut looks: HashMap<AgentId, u8> = HashMap::new();
        let mut pause = Duration::ZERO;
        loop {
            if waiting.is_empty() {
                // The first change goes out at once, those after it together.
                sleep(std::mem::replace(&mut pause, PAUSE)).await;
                watch.changed().await;
                // All of them before any again: none waits behind others that change all the time.
                waiting.extend(watch.take());
            }
            let some: Vec<AgentId> = waiting.drain(..waiting.len().min(AGENTS_MAX)).collect();
            let now = self.clock.now();
            let found = listing::these(&self.directory, &*self.store, watch.run(), &some, true, now).await;
            let mut agents = match found {
                Ok(agents) => agents,
                Err(error) => {
                    tracing::debug!(%error, "changed agents wait for the store");
                    watch.put_back(some);
                    continue;
                }
            };
            let mut missing: std::collections::HashSet<AgentId> = some.into_iter().collect();
            for agent in &agents {
                let id = agent.key.as_ref().map(|key| key.agent_id.as_str());
                if let Some(id) = id.map(AgentId::from) {
                    missing.remove(&id);
                    looks.remove(&id);
                }
            }
            missing.retain(|id| {
                let looked = looks.entry(id.clone()).or_default();
                *looked += 1;
                let goes_on = *looked < LOOKS_MAX;
                if !goes_on {
                    looks.remove(id);
                }
                goes_on
            });
            watch.put_back(missing);
            // Of others somebody else speaks.
            agents.retain(|agent| agent.live);
            if agents.is_empty() {
                continue;
            }
            if sender.send(Ok(v1::WatchAgentsResponse { agents })).await.is_err() {
                return;
            }
        }
    }
}
