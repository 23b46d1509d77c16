//! Open cases in memory: the admission check and the blast radius are answered from here. Filled from the store at
//! start and from every save.

use immune_domain::case::{Case, QuarantinePhase, State};
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    /// Whether the agent must not act.
    pub denies: bool,
    /// Whether it counts for the blast radius.
    pub occupies: bool,
    /// One sentence for whoever is denied.
    pub reason: String,
    /// When time alone changes it.
    pub ticks_at: Option<Timestamp>,
}

impl Entry {
    fn of(case: &Case) -> Self {
        let ticks_at = match &case.state {
            State::AwaitingApproval { escalates_at, .. } => Some(*escalates_at),
            State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. } => None,
        };
        Entry {
            case: case.id.clone(),
            version: case.version,
            opened_at: case.opened_at,
            updated_at: case.updated_at,
            is_closed: case.state.is_closed(),
            phase: case.quarantine.phase,
            denies: case.denies_admission(),
            occupies: case.occupies_blast_radius(),
            reason: format!(
                "quarantined: {} of severity {:.1}, {}",
                case.diagnosis(),
                case.infection.severity,
                case.state.as_str()
            ),
            ticks_at,
        }
    }
}

/// Open cases by agent.
#[derive(Debug, Default)]
pub struct Directory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    is_loaded: bool,
    agents: HashMap<AgentKey, Entry>,
    /// Agents that count for the blast radius, per run, those about to be contained included.
    occupied: HashMap<RunId, u32>,
}

impl Inner {
    fn occupy(&mut self, run: &RunId) {
        *self.occupied.entry(run.clone()).or_default() += 1;
    }

    fn vacate(&mut self, run: &RunId) {
        if let Some(count) = self.occupied.get_mut(run) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.occupied.remove(run);
            }
        }
    }
}

/// A place within the blast radius, held while a case is being opened: two agents that fall ill at the same moment
/// cannot both take the last place.
#[derive(Debug)]
pub struct Place<'a> {
    directory: &'a Directory,
    run: RunId,
    /// Places taken by others.
    pub others: u32,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.directory.lock().vacate(&self.run);
    }
}

impl Directory {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that every open case of the store is known.
    pub fn loaded(&self) {
        self.lock().is_loaded = true;
    }

    /// Whether every open case of the store is known.
    pub fn is_loaded(&self) -> bool {
        self.lock().is_loaded
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
        let occupied = known.is_some_and(|known| known.occupies);
        let entry = Entry::of(case);
        if entry.occupies && !occupied {
            inner.occupy(&case.key.run);
        }
        if !entry.occupies && occupied {
            inner.vacate(&case.key.run);
        }
        inner.agents.insert(case.key.clone(), entry);
    }

    /// What is known of an agent's latest case.
    pub fn get(&self, key: &AgentKey) -> Option<Entry> {
        self.lock().agents.get(key).cloned()
    }

    /// Takes a place within the blast radius of a run.
    pub fn take_place(&self, run: &RunId) -> Place<'_> {
        let mut inner = self.lock();
        let others = inner.occupied.get(run).copied().unwrap_or_default();
        inner.occupy(run);
        Place {
            directory: self,
            run: run.clone(),
            others,
        }
    }

    /// Cases that time alone changes now.
    pub fn due(&self, now: Timestamp) -> Vec<CaseId> {
        let inner = self.lock();
        let due = inner
            .agents
            .values()
            .filter(|entry| entry.ticks_at.is_some_and(|at| at <= now));
        due.map(|entry| entry.case.clone()).collect()
    }

    /// Forgets cases that closed a while ago; returns how many cases are open and how many agents contained.
    pub fn sweep(&self, now: Timestamp) -> (usize, usize) {
        let mut inner = self.lock();
        inner
            .agents
            .retain(|_, entry| !entry.is_closed || now.since(entry.updated_at) < CLOSED_KEPT);
        let open = inner.agents.values().filter(|entry| !entry.is_closed).count();
        (open, inner.agents.values().filter(|entry| entry.occupies).count())
    }
}
