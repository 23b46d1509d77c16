//! Open cases in memory: the admission check and the blast radius are answered from here. Filled from the store at
//! start, from every save of this process, and from the events of every other one (`follow`).

use immune_domain::case::{Case, QuarantinePhase, State, WaitReason};
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the last word about a closed case is kept, so that a slower save of an older version cannot bring the
/// case back to life.
const CLOSED_KEPT: Duration = Duration::from_secs(60);

/// What is known of an agent's latest case.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Which case.
    pub case: CaseId,
    /// Its version.
    pub version: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether it has ended.
    pub is_closed: bool,
    /// How far containment is.
    pub phase: QuarantinePhase,
    /// Since when containment has been asked for and not confirmed, a breach included.
    pub unconfirmed_since: Option<Timestamp>,
    /// Since when it waits for a person.
    pub waiting_since: Option<Timestamp>,
    /// Whether the agent must not act.
    pub denies: bool,
    /// How it counts for the blast radius.
    pub place: Place,
    /// One sentence for whoever is denied.
    pub reason: String,
    /// When time alone changes it.
    pub ticks_at: Option<Timestamp>,
}

/// How a case counts for the blast radius of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The agent is to be contained.
    Contained,
    /// The agent runs under watch and may be contained again.
    Watched,
    /// The agent was not contained: too many were.
    Beyond,
    /// Not at all.
    Outside,
}

impl Place {
    fn of(case: &Case) -> Self {
        if case.occupies_blast_radius() {
            return match case.denies_admission() {
                true => Place::Contained,
                false => Place::Watched,
            };
        }
        match &case.state {
            State::AwaitingApproval {
                reason: WaitReason::BlastRadius { .. },
                ..
            } => Place::Beyond,
            State::AwaitingApproval { .. }
            | State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. } => Place::Outside,
        }
    }
}

/// How many open cases of a run are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Crowd {
    /// Agents to be contained.
    pub contained: u32,
    /// Agents under watch.
    pub watched: u32,
    /// Agents not contained because too many are.
    pub beyond: u32,
}

impl Crowd {
    fn seats(&mut self, place: Place) -> Option<&mut u32> {
        match place {
            Place::Contained => Some(&mut self.contained),
            Place::Watched => Some(&mut self.watched),
            Place::Beyond => Some(&mut self.beyond),
            Place::Outside => None,
        }
    }
}

impl Entry {
    pub(crate) fn of(case: &Case) -> Self {
        let (ticks_at, waiting_since) = match &case.state {
            State::AwaitingApproval {
                since, escalates_at, ..
            } => (Some(*escalates_at), Some(*since)),
            State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. } => (None, None),
        };
        let unconfirmed_since = match case.quarantine.phase {
            QuarantinePhase::Requested | QuarantinePhase::Partial | QuarantinePhase::Breached => {
                Some(case.quarantine.since)
            }
            QuarantinePhase::NotWanted
            | QuarantinePhase::Confirmed
            | QuarantinePhase::Probation
            | QuarantinePhase::Releasing
            | QuarantinePhase::Released => None,
        };
        // The first of two words lapses, whatever the state.
        let lapses_at = case.first_approval.as_ref().map(|first| first.expires_at);
        let ticks_at = ticks_at.into_iter().chain(lapses_at).min();
        Entry {
            case: case.id.clone(),
            version: case.version,
            opened_at: case.opened_at,
            updated_at: case.updated_at,
            is_closed: case.state.is_closed(),
            phase: case.quarantine.phase,
            unconfirmed_since,
            waiting_since,
            denies: case.denies_admission(),
            place: Place::of(case),
            reason: format!(
                "quarantined: {} of severity {:.1}, case {}",
                case.diagnosis(),
                case.infection.severity,
                case.id
            ),
            ticks_at,
        }
    }
}

/// How open cases stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sweep {
    /// Open cases.
    pub open: usize,
    /// Of them, those whose agent is to be contained or runs under watch.
    pub contained: usize,
    /// Those that wait for a person.
    pub waiting: usize,
    /// The longest of these waits.
    pub waiting_longest: Duration,
    /// Those whose containment was asked for and is not confirmed.
    pub unconfirmed: usize,
    /// The longest time that one has been so.
    pub unconfirmed_longest: Duration,
    /// Those whose confirmed containment did not hold.
    pub breached: usize,
}

impl Sweep {
    fn count(&mut self, entry: &Entry, now: Timestamp) {
        self.open += 1;
        self.contained += usize::from(match entry.place {
            Place::Contained | Place::Watched => true,
            Place::Beyond | Place::Outside => false,
        });
        if let Some(since) = entry.waiting_since {
            self.waiting += 1;
            self.waiting_longest = self.waiting_longest.max(now.since(since));
        }
        if let Some(since) = entry.unconfirmed_since {
            self.unconfirmed += 1;
            self.unconfirmed_longest = self.unconfirmed_longest.max(now.since(since));
        }
        self.breached += usize::from(entry.phase == QuarantinePhase::Breached);
    }
}

/// Open cases by agent.
#[derive(Debug, Default)]
pub struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// When the store's events had been followed to their end; `None` before every open case was read once.
    followed_at: Option<Instant>,
    agents: HashMap<AgentKey, Entry>,
    runs: HashMap<RunId, Crowd>,
}

impl Inner {
    fn take(&mut self, run: &RunId, place: Place) {
        if place == Place::Outside {
            return;
        }
        if let Some(seats) = self.runs.entry(run.clone()).or_default().seats(place) {
            *seats += 1;
        }
    }

    fn leave(&mut self, run: &RunId, place: Place) {
        let Some(crowd) = self.runs.get_mut(run) else {
            return;
        };
        if let Some(seats) = crowd.seats(place) {
            *seats = seats.saturating_sub(1);
        }
        if *crowd == Crowd::default() {
            self.runs.remove(run);
        }
    }
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that everything that had been saved by anyone at a moment is known.
    pub fn followed(&self, at: Instant) {
        self.lock().followed_at = Some(at);
    }

    /// Whether every open case of the store has been read once.
    pub fn is_loaded(&self) -> bool {
        self.lock().followed_at.is_some()
    }

    /// How old the last news may be: the time since the store's events had been followed to their end. `None`
    /// before every open case was read once.
    pub fn age(&self) -> Option<Duration> {
        self.lock().followed_at.map(|at| at.elapsed())
    }

    /// Takes in a saved case, unless something newer is known.
    pub fn put(&self, case: &Case) {
        let mut inner = self.lock();
        let known = inner.agents.get(&case.key);
        let is_older = known.is_some_and(|known| match known.case == case.id {
            true => known.version >= case.version,
            // An agent has one open case at a time, so that the later case is the one that matters.
            false => known.opened_at > case.opened_at || (case.state.is_closed() && !known.is_closed),
        });
        if is_older {
            return;
        }
        let entry = Entry::of(case);
        inner.take(&case.key.run, entry.place);
        if let Some(before) = inner.agents.insert(case.key.clone(), entry) {
            inner.leave(&case.key.run, before.place);
        }
    }

    /// Forgets a case that the store no longer has.
    pub fn forget(&self, key: &AgentKey, case: &CaseId) {
        let mut inner = self.lock();
        if inner.agents.get(key).is_some_and(|known| known.case == *case)
            && let Some(gone) = inner.agents.remove(key)
        {
            inner.leave(&key.run, gone.place);
        }
    }

    /// What is known of an agent's latest case.
    pub fn get(&self, key: &AgentKey) -> Option<Entry> {
        self.lock().agents.get(key).cloned()
    }

    /// How many open cases of a run are where.
    pub fn crowd(&self, run: &RunId) -> Crowd {
        self.lock().runs.get(run).copied().unwrap_or_default()
    }

    /// Every case that is open as far as is known.
    pub fn open_cases(&self) -> HashMap<CaseId, AgentKey> {
        let inner = self.lock();
        let open = inner.agents.iter().filter(|(_, entry)| !entry.is_closed);
        open.map(|(key, entry)| (entry.case.clone(), key.clone()))
            .collect()
    }

    /// Cases that time alone changes now, at most `limit`.
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<(CaseId, AgentKey)> {
        let inner = self.lock();
        let due = inner
            .agents
            .iter()
            .filter(|(_, entry)| entry.ticks_at.is_some_and(|at| at <= now));
        due.map(|(key, entry)| (entry.case.clone(), key.clone()))
            .take(limit)
            .collect()
    }

    /// Forgets cases that closed a while ago; tells how the open ones stand.
    pub fn sweep(&self, now: Timestamp) -> Sweep {
        let mut inner = self.lock();
        inner
            .agents
            .retain(|_, entry| !entry.is_closed || now.since(entry.updated_at) < CLOSED_KEPT);
        let mut sweep = Sweep::default();
        for entry in inner.agents.values().filter(|entry| !entry.is_closed) {
            sweep.count(entry, now);
        }
        sweep
    }
}

#[cfg(test)]
mod tests;
