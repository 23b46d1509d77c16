//! Which agents have changed, for those who look at a fleet. While nobody does, it costs one look at a counter.
//!
//! Each watch is of one run and keeps the ids of agents that have changed since it last sent: as many as there are
//! agents, at most, and each once, however slow its reader. What it sends is read when it is sent, so that a reader
//! that falls behind gets fewer and newer messages.

use crate::agent::Agent;
use crate::silence::Telemetry;
use immune_domain::baseline::Profile;
use immune_domain::detection::rounded;
use immune_domain::{AgentId, AgentKey, RunId};
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Watches at the same time: every dashboard has one per run that somebody looks at.
const WATCHES_MAX: usize = 256;

/// What is worth a message when it changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    is_suspect: bool,
    telemetry: Telemetry,
    /// As people see it.
    severity: f64,
}

impl Judged {
    pub(crate) fn of(agent: &Agent) -> Self {
        let is_suspect = agent.judgement.is_anomalous();
        let severity = agent.judgement.severity().filter(|_| is_suspect);
        Judged {
            is_suspect,
            telemetry: agent.telemetry(),
            severity: severity.map_or(0.0, rounded),
        }
    }
}

/// How far a baseline is, as people see it: once it is ready, more samples are no news.
pub(crate) fn progress(profile: Option<&Profile>, samples_min: u32) -> (&'static str, u64) {
    profile.map_or(("", 0), |profile| {
        (
            profile.state.as_str(),
            profile.sample_count.min(u64::from(samples_min)),
        )
    })
}

/// The watches.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    count: AtomicUsize,
    open: RwLock<Vec<Arc<Open>>>,
    watches: Gauge,
}

#[derive(Debug)]
struct Open {
    run: RunId,
    changed: Mutex<HashSet<AgentId>>,
    /// Wakes whoever waits for a change.
    news: Notify,
    ended: CancellationToken,
}

/// One watch; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    changes: Arc<Changes>,
    open: Arc<Open>,
}

impl Changes {
    /// Nobody watches yet; the gauge counts who does.
    pub(crate) fn new(watches: Gauge) -> Self {
        Changes {
            watches,
            ..Changes::default()
        }
    }

    /// Whether anybody looks.
    pub(crate) fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// An agent has changed.
    pub(crate) fn mark(&self, key: &AgentKey) {
        if !self.is_watched() {
            return;
        }
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        for watch in open.iter().filter(|watch| watch.run == key.run) {
            if locked(&watch.changed).insert(key.agent.clone()) {
                watch.news.notify_one();
            }
        }
    }

    /// Begins a watch; `None` when there are too many.
    pub(crate) fn watch(self: &Arc<Self>, run: RunId) -> Option<Watch> {
        let watch = Arc::new(Open {
            run,
            changed: Mutex::default(),
            news: Notify::new(),
            ended: CancellationToken::new(),
        });
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= WATCHES_MAX {
            return None;
        }
        open.push(watch.clone());
        self.count.store(open.len(), Ordering::Relaxed);
        self.watches.set(open.len() as i64);
        Some(Watch {
            changes: self.clone(),
            open: watch,
        })
    }

    /// Agents came here from another replica, with another judgement than their readers know: the watches end, and
    /// whoever watches again asks for the whole fleet.
    pub(crate) fn end_all(&self) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.iter().for_each(|watch| watch.ended.cancel());
    }
}

impl Watch {
    /// The run that is watched.
    pub(crate) fn run(&self) -> &RunId {
        &self.open.run
    }

    /// The agents that have changed since the last call.
    pub(crate) fn take(&self) -> HashSet<AgentId> {
        std::mem::take(&mut *locked(&self.open.changed))
    }

    /// Waits until there is an agent to take.
    pub(crate) async fn changed(&self) {
        while locked(&self.open.changed).is_empty() {
            self.open.news.notified().await;
        }
    }

    /// Keeps an agent for the next call.
    pub(crate) fn put_back(&self, agents: impl IntoIterator<Item = AgentId>) {
        locked(&self.open.changed).extend(agents);
    }

    /// Returns when the watch has to begin anew.
    pub(crate) async fn ended(&self) {
        self.open.ended.cancelled().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut open = self.changes.open.write().unwrap_or_else(PoisonError::into_inner);
        open.retain(|other| !Arc::ptr_eq(other, &self.open));
        self.changes.count.store(open.len(), Ordering::Relaxed);
        self.changes.watches.set(open.len() as i64);
    }
}

fn locked(changed: &Mutex<HashSet<AgentId>>) -> std::sync::MutexGuard<'_, HashSet<AgentId>> {
    changed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: nothing is kept while nobody watches; a watch is told of its run, of each agent once; and its end
    /// is known.
    #[tokio::test]
    async fn watches_are_told_of_their_run() {
        let changes = Arc::new(Changes::default());
        let key = AgentKey::new("default", "a");
        changes.mark(&key);
        assert!(!changes.is_watched());
        let watch = changes.watch(RunId::default()).unwrap();
        for _ in 0..3 {
            changes.mark(&key);
            changes.mark(&AgentKey::new("other", "b"));
        }
        assert_eq!(watch.take(), HashSet::from([AgentId::from("a")]));
        assert_eq!(watch.take(), HashSet::new());
        changes.end_all();
        watch.ended().await;
        drop(watch);
        assert!(!changes.is_watched());
        let all: Vec<_> = (0..WATCHES_MAX)
            .map(|_| changes.watch(RunId::default()).unwrap())
            .collect();
        assert!(changes.watch(RunId::default()).is_none());
        drop(all);
        assert!(changes.watch(RunId::default()).is_some());
    }
}
