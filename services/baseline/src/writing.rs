//! What a partition gives to a write, and what becomes of it afterwards.

use crate::acting::Pending;
use crate::agent::Agent;
use crate::changes::Numbered;
use crate::partition::Held;
use immune_bus::Delivery;
use immune_domain::baseline::State;
use immune_domain::{AgentKey, Timestamp};
use immune_store::action_log::LogRow;
use immune_store::baselines::{StoredProfile, Tenure};

/// Profiles per write; entries beyond take effect with the next one.
pub(crate) const BATCH_MAX: usize = 500;

/// One call of the store.
#[derive(Default)]
pub(crate) struct Write {
    pub(crate) profiles: Vec<StoredProfile>,
    pub(crate) tenures: Vec<Tenure>,
    pub(crate) rows: Vec<LogRow>,
    pub(crate) parts: Vec<Part>,
}

/// A partition's share of a write.
pub(crate) struct Part {
    pub(crate) partition: u16,
    pub(crate) fence: u64,
    agents: Vec<(Numbered, State)>,
    /// What people have done to agents of this write.
    acts: Vec<Pending>,
    /// Where the bus names places, the last entry whose effects are all in this write.
    done: Option<Delivery>,
}

impl Held {
    /// Adds to a write what has taken effect by now. Where the bus names places it is everything, together with the
    /// place: profiles without their place, or a place without its profiles, would teach twice or not at all after
    /// a crash. Elsewhere as much as there is room.
    pub(crate) fn fill(&mut self, write: &mut Write, now: Timestamp) {
        self.advance(now);
        if !self.is_placed {
            if self.acknowledging.is_none() {
                let below = self.changes.next();
                self.acknowledging = self.done.take().map(|delivery| (below, delivery));
            }
            // It may be that nothing of it is left to be stored.
            self.acknowledge();
        }
        let room = if self.is_placed {
            usize::MAX
        } else {
            BATCH_MAX.saturating_sub(write.profiles.len())
        };
        let taken = self.changes.take(room);
        self.is_cut |= !self.changes.is_empty();
        if taken.is_empty() && !self.has_moved {
            return;
        }
        let mut agents = Vec::with_capacity(taken.len());
        let stale_after = self.rules.stale_after();
        let (acts, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|act: &Pending| taken.iter().any(|(_, key)| *key == act.key));
        self.pending = later;
        write
            .rows
            .extend(acts.iter().map(|act: &Pending| act.row.clone()));
        for (number, key) in taken {
            if let Some(agent) = self.agents.get_mut(&key) {
                let stored = agent.next_version(&key, now, stale_after);
                agents.push(((number, key), stored.profile.state));
                write.profiles.push(stored);
            }
        }
        self.has_moved = false;
        write.tenures.push(self.tenure.clone());
        write.parts.push(Part {
            partition: self.tenure.partition,
            fence: self.tenure.fence,
            agents,
            acts,
            done: self.done.take_if(|_| self.is_placed),
        });
    }

    /// Its part of a write is stored. Returns what people have done with it, to be answered.
    pub(crate) fn stored(&mut self, part: Part) -> Vec<Pending> {
        self.changes.stored();
        for ((_, key), state) in part.agents {
            if let Some(agent) = self.agents.get_mut(&key) {
                agent.state = state;
            }
        }
        if let Some(done) = part.done {
            done.ack();
        }
        self.acknowledge();
        part.acts
    }

    /// Its part of a write is not stored, as far as is known: it has its turn again.
    pub(crate) fn put_back(&mut self, part: Part) {
        // The acknowledgement of a later entry is that of this one too.
        self.done = self.done.take().or(part.done);
        self.pending.splice(0..0, part.acts);
        self.changes
            .put_back(part.agents.into_iter().map(|(numbered, _)| numbered).collect());
        self.has_moved |= self.is_placed;
    }

    /// Where the bus names no places: acknowledges the entries whose effects are all stored.
    fn acknowledge(&mut self) {
        let below = self.changes.stored_below();
        if let Some((_, delivery)) = self.acknowledging.take_if(|(number, _)| *number <= below) {
            delivery.ack();
        }
    }

    /// Notes the agents whose stored state is no longer true, because time has passed. Returns how many are suspect.
    pub(crate) fn look_at_all(&mut self, now: Timestamp) -> usize {
        let stale_after = self.rules.stale_after();
        let is_outdated = |(_, agent): &(&AgentKey, &Agent)| agent.is_outdated(now, stale_after);
        let outdated = self.agents.iter().filter(is_outdated);
        self.stale = outdated.map(|(key, _)| key.clone()).collect();
        let agents = self.agents.values();
        agents.filter(|agent| agent.lasting.is_suspect()).count()
    }
}
