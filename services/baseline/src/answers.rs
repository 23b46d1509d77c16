//! What becomes of the store's answers to the learning loop.

use crate::gaining::Taken;
use crate::learning::{Answer, Learning, every};
use crate::partition::Held;
use crate::writing::Part;
use immune_bus::{Begin, Partition};
use immune_domain::AgentKey;
use immune_store::StorageError;
use immune_store::baselines::{Put, StoredProfile};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinError;
use tracing::{info, warn};

impl Learning {
    /// Takes an answer of the store; returns the partitions whose deliveries may begin.
    pub(crate) fn answered(&mut self, answer: Result<Answer, JoinError>) -> Vec<(Partition, Begin)> {
        match answer {
            Ok(Answer::TakenOver(taken)) => return self.taken_over(taken),
            Ok(Answer::Written(profiles, put)) => self.written(profiles, put),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => warn!(%error, "a call of the store was given up"),
            },
        }
        Vec::new()
    }

    fn taken_over(&mut self, taken: Result<Vec<Taken>, StorageError>) -> Vec<(Partition, Begin)> {
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                warn!(error = %with_source(&error), "cannot take partitions over; trying again");
                self.gaining.failed();
                self.store_answered(Some(&error));
                return Vec::new();
            }
        };
        let mut begins = Vec::new();
        for taken in self.gaining.taken(taken) {
            let Taken {
                partition,
                tenure,
                profiles,
            } = taken;
            let profiles_len = profiles.len();
            info!(
                partition = partition.index,
                fence = tenure.fence,
                profiles = profiles_len,
                "partition taken over"
            );
            begins.push((partition, Begin::After(tenure.place.clone())));
            self.held.insert(
                partition.index,
                Held::new(self.parts.rules.clone(), tenure, &profiles),
            );
            let shown = profiles.into_iter().map(|stored| Arc::new(stored.profile));
            self.parts.board.gain(partition, shown.collect());
        }
        self.set_gauges();
        self.store_answered(None);
        begins
    }

    fn written(&mut self, profiles: Vec<StoredProfile>, put: Result<Put, StorageError>) {
        let parts = self.writing.take().unwrap_or_default();
        let metrics = &self.parts.rules.metrics;
        match put {
            Ok(Put::Done) => {
                metrics.stored.inc_by(profiles.len() as u64);
                let mut acts = Vec::new();
                for part in parts {
                    if let Some(held) = holder(&mut self.held, &part) {
                        acts.extend(held.stored(part));
                    }
                }
                let (held, count) = (&self.held, self.count);
                let shown = profiles.into_iter().map(|stored| stored.profile);
                let is_held = |key: &AgentKey| held.contains_key(&Partition::of(key, count).index);
                self.parts
                    .board
                    .show(shown.filter(|profile| is_held(&profile.key)));
                for act in acts {
                    if let Some(profile) = self.parts.board.get(&act.key) {
                        act.done(profile);
                    }
                }
                self.store_answered(None);
                if self.is_cut {
                    self.flush();
                }
            }
            Ok(Put::Overtaken { partition }) => {
                metrics.overtaken.inc();
                warn!(partition, "another replica has taken the partition over");
                for part in parts {
                    match holder(&mut self.held, &part) {
                        Some(_) if part.partition == partition => self.overtaken(partition),
                        Some(held) => held.put_back(part),
                        None => {}
                    }
                }
                self.store_answered(None);
                self.flush();
            }
            Err(error) => {
                metrics.store_failures.inc();
                warn!(error = %with_source(&error), profiles = profiles.len(), "cannot store profiles; trying again");
                for part in parts {
                    if let Some(held) = holder(&mut self.held, &part) {
                        held.put_back(part);
                    }
                }
                self.store_answered(Some(&error));
            }
        }
    }

    /// Another replica holds the partition: ours is lost, unless the bus does not say so in a long while.
    fn overtaken(&mut self, index: u16) {
        let count = self.count;
        let partition = Partition { index, count };
        self.drop_partition(partition);
        self.gaining.overtaken(partition);
        self.tell_state();
    }

    /// Stores what has taken effect; what cannot be stored is tried again for as long as it is waited for.
    pub(crate) async fn finish(&mut self) {
        let mut again = every(Duration::from_millis(
            self.parts.rules.config.flush_interval_ms.min(250),
        ));
        loop {
            self.flush();
            if !self.is_busy() {
                return;
            }
            while self.is_busy() {
                match self.calls.join_next().await {
                    Some(answer) => drop(self.answered(answer)),
                    None => return,
                }
            }
            again.tick().await;
        }
    }

    fn store_answered(&self, error: Option<&StorageError>) {
        let error = error.map(with_source);
        self.parts.state.send_if_modified(|state| {
            let has_changed = state.store_error != error;
            state.store_error = error;
            has_changed
        });
        self.tell_state();
    }
}

/// The partition that a part of a write is of, unless it was given up since.
fn holder<'a>(held: &'a mut BTreeMap<u16, Held>, part: &Part) -> Option<&'a mut Held> {
    held.get_mut(&part.partition)
        .filter(|held| held.fence() == part.fence)
}

/// An error with what caused it, for the log.
fn with_source(error: &StorageError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
