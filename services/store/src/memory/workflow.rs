//! What cases, events and the action log share: one state behind one lock, so that a change is whole or absent.

use super::Limits;
use crate::action_log::{Chain, Link, LogRow, StoredRow, checkpoint};
use crate::cases::{Alongside, CaseTotals, Event, closed_at, wants_containment};
use immune_domain::case::{Case, State};
use immune_domain::{AgentKey, CaseId, InfectionId, RunId, Timestamp};
use std::collections::{HashMap, HashSet, VecDeque};
use tokio::sync::watch;

pub(super) struct Workflow {
    limits: Limits,
    pub(super) cases: HashMap<CaseId, Case>,
    pub(super) open: HashMap<AgentKey, CaseId>,
    pub(super) infections: HashMap<InfectionId, CaseId>,
    /// Cases that were quarantined at some time, so that each counts once.
    contained: HashSet<CaseId>,
    /// Closed cases in the order of closing, so that the oldest can make room.
    closed: VecDeque<CaseId>,
    totals: HashMap<RunId, CaseTotals>,
    events: VecDeque<Event>,
    last_event: u64,
    rows: VecDeque<StoredRow>,
    /// The last link that was forgotten, and the last that was made.
    chain: (Link, Link),
    /// Who drives the levers of which unsettled case.
    pub(super) claims: HashMap<CaseId, Claim>,
    /// Told of every new event.
    pub(super) changes: watch::Sender<u64>,
}

pub(super) struct Claim {
    pub(super) worker: String,
    pub(super) until: Timestamp,
}

impl Workflow {
    pub(super) fn new(limits: Limits) -> Self {
        Workflow {
            limits,
            cases: HashMap::new(),
            open: HashMap::new(),
            infections: HashMap::new(),
            contained: HashSet::new(),
            closed: VecDeque::new(),
            totals: HashMap::new(),
            events: VecDeque::new(),
            last_event: 0,
            rows: VecDeque::new(),
            chain: (Link::ZERO, Link::ZERO),
            claims: HashMap::new(),
            changes: watch::Sender::new(0),
        }
    }

    /// Stores a case, new or changed, with its indexes and totals. The caller has checked that it may.
    pub(super) fn store(&mut self, case: &Case) {
        let before = self.cases.insert(case.id.clone(), case.clone());
        self.infections
            .entry(case.infection.id.clone())
            .or_insert_with(|| case.id.clone());
        let was_open = before.as_ref().is_some_and(|before| !before.state.is_closed());
        let was_healed = before
            .as_ref()
            .is_some_and(|before| matches!(before.state, State::Healed { .. }));
        let is_open = !case.state.is_closed();

        let totals = self.totals.entry(case.key.run.clone()).or_default();
        totals.opened += u64::from(before.is_none());
        totals.open += u64::from(is_open);
        totals.open -= u64::from(was_open);
        totals.healed += u64::from(matches!(case.state, State::Healed { .. }) && !was_healed);
        if wants_containment(case) && self.contained.insert(case.id.clone()) {
            totals.quarantined += 1;
        }
        if is_open {
            self.open.insert(case.key.clone(), case.id.clone());
        } else if self.open.get(&case.key) == Some(&case.id) {
            self.open.remove(&case.key);
        }
        if !is_open && (was_open || before.is_none()) {
            self.closed.push_back(case.id.clone());
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        if self.closed.len() > self.limits.closed_cases
            && let Some(oldest) = self.closed.pop_front()
            // A case that was opened again is not closed, whatever the queue says.
            && self.cases.get(&oldest).is_some_and(|case| case.state.is_closed())
        {
            self.forget(&oldest);
        }
    }

    /// Open cases of a run whose agents are to be contained.
    pub(super) fn contained_now(&self, run: &RunId) -> u32 {
        let open = self.open.iter().filter(|(key, _)| key.run == *run);
        let contained = open.filter(|(_, id)| self.cases.get(id).is_some_and(wants_containment));
        u32::try_from(contained.count()).unwrap_or(u32::MAX)
    }

    fn forget(&mut self, id: &CaseId) {
        self.cases.remove(id);
        self.contained.remove(id);
        self.infections.retain(|_, case| case != id);
    }

    /// Removes settled cases that closed before a time.
    pub(super) fn purge_cases(&mut self, before: Timestamp) -> u64 {
        let is_old =
            |case: &Case| closed_at(case).is_some_and(|at| at < before) && !crate::cases::is_unsettled(case);
        let old: Vec<CaseId> = self
            .cases
            .values()
            .filter(|case| is_old(case))
            .map(|case| case.id.clone())
            .collect();
        for id in &old {
            self.forget(id);
        }
        self.closed.retain(|id| self.cases.contains_key(id));
        old.len() as u64
    }

    pub(super) fn write(&mut self, alongside: &Alongside) {
        self.log(&alongside.log);
        for event in &alongside.events {
            self.last_event += 1;
            self.events.push_back(Event {
                sequence: self.last_event,
                event: event.clone(),
            });
        }
        while self.events.len() > self.limits.events {
            self.events.pop_front();
        }
        if !alongside.events.is_empty() {
            self.changes.send_replace(self.last_event);
        }
    }

    pub(super) fn log(&mut self, rows: &[LogRow]) {
        for row in rows {
            let (_, last) = self.chain;
            let mut stored = StoredRow {
                sequence: last.sequence + 1,
                row: row.clone(),
                hash: None,
            };
            let hash = last.hash.then_row(&stored);
            stored.hash = Some(hash);
            self.chain.1 = Link {
                sequence: stored.sequence,
                hash,
            };
            self.rows.push_back(stored);
        }
        while self.rows.len() > self.limits.log_rows {
            self.forget_oldest_row();
        }
    }

    fn forget_oldest_row(&mut self) {
        let gone = self.rows.pop_front();
        let link = gone.and_then(|gone| {
            Some(Link {
                sequence: gone.sequence,
                hash: gone.hash?,
            })
        });
        self.chain.0 = link.unwrap_or(self.chain.0);
    }

    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &StoredRow> {
        self.rows.iter()
    }

    pub(super) fn rows_after(&self, sequence: u64) -> impl Iterator<Item = &StoredRow> {
        let start = self.rows.partition_point(|stored| stored.sequence <= sequence);
        self.rows.range(start..)
    }

    pub(super) fn chain(&self) -> Chain {
        let (start, head) = self.chain;
        Chain {
            start,
            head,
            unchained: 0,
            strays: 0,
        }
    }

    pub(super) fn purge_log(&mut self, before: Timestamp, now: Timestamp) -> u64 {
        let had = self.rows.len();
        while self.rows.front().is_some_and(|oldest| oldest.row.at < before) {
            self.forget_oldest_row();
        }
        let gone = had - self.rows.len();
        if gone > 0 {
            self.log(&[checkpoint(self.chain.0, before, now)]);
        }
        gone as u64
    }

    pub(super) fn events_after(&self, sequence: u64) -> impl Iterator<Item = &Event> {
        let start = self.events.partition_point(|event| event.sequence <= sequence);
        self.events.range(start..)
    }

    pub(super) fn last_event(&self) -> u64 {
        self.last_event
    }

    pub(super) fn purge_events(&mut self, before: Timestamp) -> u64 {
        let had = self.events.len();
        self.events.retain(|event| event.event.at >= before);
        (had - self.events.len()) as u64
    }

    pub(super) fn totals(&self, run: &RunId) -> CaseTotals {
        self.totals.get(run).copied().unwrap_or_default()
    }
}
