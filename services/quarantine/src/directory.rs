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

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::case::{self, Command, Context, Person};
    use immune_domain::detection::{Deviations, Infection, WindowSummary};
    use immune_domain::policy::Policy;

    const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn opened(id: &str, agent: &str, at: Timestamp) -> Case {
        let infection = Infection {
            id: id.into(),
            key: AgentKey::new("default", agent),
            detected_at: at,
            severity: 8.0,
            anomalies: vec![],
            deviations: Deviations::default(),
            hypotheses: vec![],
            window: WindowSummary::default(),
            evidence: vec![],
            baseline_version: 1,
            evidence_score: None,
        };
        case::open(id.into(), infection, &Policy::default(), Context::default(), at).0
    }

    fn released(case: &Case) -> Case {
        let by = Person {
            subject: "dora".into(),
            via: "api_key".into(),
        };
        let release = Command::Release {
            by,
            reason: "known experiment".into(),
        };
        case::decide(case.clone(), release, &Policy::default(), case.updated_at)
            .expect("open")
            .0
    }

    /// Scenario: the save that closed a case is heard of before the one that went before it.
    /// Guarantees: the case stays closed, for the admission check and for the blast radius.
    #[test]
    fn older_versions_change_nothing() {
        let directory = Directory::default();
        let case = opened("c-1", "a", START);
        directory.put(&released(&case));
        directory.put(&case);
        assert!(!directory.get(&case.key).expect("known").denies);
        assert_eq!(directory.take_place(&case.key.run).others, 0);
    }

    /// Scenario: late news of a closed case arrives when the agent has a new one.
    /// Guarantees: the new one stays.
    #[test]
    fn the_open_case_wins_over_the_closed_one() {
        let directory = Directory::default();
        let first = opened("c-1", "a", START);
        let second = opened("c-2", "a", START);
        directory.put(&second);
        directory.put(&released(&first));
        assert_eq!(directory.get(&first.key).expect("known").case, second.id);
    }

    /// Scenario: places are taken, kept by cases, given back by failed openings and by releases.
    /// Guarantees: each counts once; closed cases are forgotten after a minute.
    #[test]
    fn places_are_counted_once() {
        let directory = Directory::default();
        let cases = ["a", "b", "c"].map(|agent| opened(agent, agent, START));
        let run = &cases[0].key.run;
        for (i, case) in cases.iter().enumerate() {
            let place = directory.take_place(run);
            assert_eq!(place.others, i as u32);
            directory.put(case);
            directory.put(case);
        }
        drop(directory.take_place(run));
        assert_eq!(directory.take_place(run).others, 3);
        assert_eq!(directory.sweep(START), (3, 3));
        directory.put(&released(&cases[0]));
        assert_eq!(directory.take_place(run).others, 2);
        assert_eq!(directory.sweep(START.plus(CLOSED_KEPT)), (2, 2));
        assert_eq!(directory.get(&cases[0].key), None);
    }
}
