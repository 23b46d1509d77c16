//! The guarded detector of one agent: which executions it sees, each once and in the order in which they came, and
//! how it begins from the executions on record when its partition is gained.
//!
//! While the records are being read, live executions wait and are observed after them. What was on record before the
//! time from which the bus delivers again gives the reference, not the accusation: it was judged when it came. What
//! came since counts as live, whether the record or the bus has it first; each execution once. Where the baseline has
//! told what it knows, the reference is that, and the records are only shown: an illness on record is not learned.
//!
//! An execution that is retracted was observed all the same; its parent is observed as one of its own.

use crate::agent::Agent;
use immune_domain::Timestamp;
use immune_domain::baseline::Profile;
use immune_domain::detection::guarded::{Evidence, Guard, Known, RUNNING_ALARM, SEED};
use immune_domain::detection::window::{fingerprint, is_late};
use immune_domain::policy::Detector;
use immune_domain::vitals::{Completeness, Vitals};
use std::sync::Arc;

/// Executions on record that are observed when a partition is gained.
pub const HISTORY: usize = 60;

/// Executions that are remembered as observed: all on record, and some live ones. A correction of one that is older
/// than these would be observed again.
const REMEMBERED: usize = 64;

/// The detector of one agent. Boxed where it is used: about 1.5 KiB.
#[derive(Debug)]
pub struct Guarding {
    guard: Guard,
    /// Fingerprints of the latest executions observed; 0 where there is none yet.
    observed: [u64; REMEMBERED],
    next: usize,
    /// When the newest execution on record was received: an older one was on record too, or before what was read.
    on_record_until: Timestamp,
    /// Live executions that wait for those on record; `None` while nothing is awaited.
    waiting: Option<Vec<Vitals>>,
    /// An execution that still runs and is far beyond the usual, and how far.
    running: Option<Box<(u64, Evidence)>>,
}

impl Default for Guarding {
    fn default() -> Self {
        Guarding {
            guard: Guard::default(),
            observed: [0; REMEMBERED],
            next: 0,
            on_record_until: Timestamp::EPOCH,
            waiting: None,
            running: None,
        }
    }
}

impl Guarding {
    /// A detector that begins from what the baseline knows.
    pub fn of(profile: &Profile) -> Self {
        let mut guarding = Guarding::default();
        guarding.begin(profile.known.as_deref());
        guarding.freeze(profile.is_frozen);
        guarding
    }

    /// Begins from what is known, or from nothing; what was observed is not observed again.
    pub fn begin(&mut self, known: Option<&Known>) {
        self.guard = known.map(Guard::begin).unwrap_or_default();
        self.running = None;
    }

    /// Another version of the agent has begun.
    pub fn begin_version(&mut self) {
        self.guard.begin_version();
    }

    /// From now on nothing is learned, or again.
    pub fn freeze(&mut self, is_frozen: bool) {
        self.guard.freeze(is_frozen);
    }

    /// Observes a live execution, unless it was observed. One that still runs is only weighed: it is observed when it
    /// has ended.
    pub fn observe(&mut self, vitals: &Vitals) {
        let execution = fingerprint(&vitals.execution);
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.0 == execution)
        {
            self.running = None;
        }
        if !has_ended(vitals) {
            let weighed = self
                .guard
                .running(vitals)
                .filter(|evidence| evidence.score > RUNNING_ALARM);
            if let Some(evidence) = weighed {
                self.running = Some(Box::new((execution, evidence)));
            }
            return;
        }
        let Some(waiting) = &mut self.waiting else {
            return self.observe_once(vitals);
        };
        waiting.push(vitals.clone());
        if waiting.len() >= HISTORY {
            // As many as a record would have given: whoever was reading it is not coming back.
            self.end_waiting();
        }
    }

    /// The executions on record are about to be read: live ones wait from now on. `false` where there are enough
    /// already, and nothing needs to be read.
    pub fn begin_history(&mut self) -> bool {
        if self.guard.is_ready() {
            return false;
        }
        self.waiting.get_or_insert_default();
        true
    }

    /// Begins anew from what the baseline knows and the executions on record, oldest first, then goes on with those that
    /// waited.
    ///
    /// Live executions that were observed before the reading began are on record too: a record is stored before it
    /// is judged. An alarm over executions received before `live_from` is ended, so that only later ones can accuse.
    pub fn end_history<'a>(
        &mut self,
        profile: Option<&Profile>,
        history: impl IntoIterator<Item = &'a Vitals>,
        live_from: Timestamp,
    ) {
        // Without waiting the guard went on by itself in the meantime; its word is newer than the record's.
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        let mut history = history.into_iter().filter(|vitals| has_ended(vitals)).peekable();
        let is_enough = |known: &Arc<Known>| known.weight() >= SEED;
        let known = profile.filter(|profile| profile.known.as_ref().is_some_and(is_enough));
        if let Some(profile) = known {
            *self = Guarding::of(profile);
        } else if history.peek().is_some() {
            *self = Guarding::default();
            self.freeze(profile.is_some_and(|profile| profile.is_frozen));
        }
        let mut is_past = true;
        let mut newest = self.on_record_until;
        for vitals in history {
            if is_past && vitals.received_at >= live_from {
                is_past = false;
                self.end_alarm();
            }
            match known {
                Some(_) if is_past => self.observe_with(vitals, Guard::recall),
                Some(_) | None => self.observe_once(vitals),
            }
            newest = newest.max(vitals.received_at);
        }
        if is_past {
            self.end_alarm();
        }
        self.on_record_until = newest;
        self.waiting = Some(waiting);
        self.end_waiting();
    }

    fn end_alarm(&mut self) {
        if self.guard.is_infected() {
            self.guard.restart();
        }
    }

    /// Whether the evidence says that the agent is infected.
    pub fn is_infected(&self) -> bool {
        self.guard.is_infected() || self.is_running_away()
    }

    /// Whether the agent has been at another level for long, see [`Guard::is_elsewhere`].
    pub fn is_elsewhere(&self) -> bool {
        self.guard.is_elsewhere()
    }

    /// Whether it says so of an execution that still runs.
    pub fn is_running_away(&self) -> bool {
        self.running.is_some()
    }

    /// The evidence of an execution that runs away, else after the last one that ended; `None` while there were too few
    /// to judge.
    pub fn evidence(&self) -> Option<Evidence> {
        let running = self.running.as_ref().map(|running| running.1);
        running.or_else(|| self.guard.is_ready().then(|| self.guard.evidence()))
    }

    /// The agent was healed or released: it is judged anew against what was known to be good. Executions that wait
    /// began before that.
    pub fn restart(&mut self) {
        self.guard.restart();
        self.running = None;
        if let Some(waiting) = &mut self.waiting {
            waiting.clear();
        }
    }

    /// What was observed may come once more, and is to be observed again.
    pub fn forget(&mut self) {
        self.observed = [0; REMEMBERED];
        self.on_record_until = Timestamp::EPOCH;
    }

    /// Executions observed, as far as they are remembered.
    #[cfg(test)]
    pub(crate) fn observations(&self) -> usize {
        self.observed.iter().filter(|execution| **execution != 0).count()
    }

    fn end_waiting(&mut self) {
        for vitals in self.waiting.take().into_iter().flatten() {
            self.observe_once(&vitals);
        }
    }

    fn observe_once(&mut self, vitals: &Vitals) {
        self.observe_with(vitals, |guard, vitals| {
            guard.observe(vitals);
        });
    }

    fn observe_with(&mut self, vitals: &Vitals, observe: impl FnOnce(&mut Guard, &Vitals)) {
        let execution = fingerprint(&vitals.execution);
        if vitals.received_at < self.on_record_until || self.observed.contains(&execution) {
            return;
        }
        self.observed[self.next] = execution;
        self.next = (self.next + 1) % REMEMBERED;
        observe(&mut self.guard, vitals);
    }
}

impl Agent {
    /// Whether the agent is infected, by the detector that policy asks.
    pub(crate) fn is_infected(&self) -> bool {
        match self.policy.detector {
            Detector::Specified => self.judgement.is_anomalous(),
            Detector::Guarded => self.is_infected_by_evidence(),
        }
    }

    /// Whether the guarded detector decides, and says that the agent is infected.
    pub fn is_infected_by_evidence(&self) -> bool {
        self.guarding
            .as_ref()
            .is_some_and(|guarding| guarding.is_infected())
    }

    /// The evidence, where the guarded detector decides and has seen enough.
    pub fn evidence(&self) -> Option<Evidence> {
        self.guarding.as_ref().and_then(|guarding| guarding.evidence())
    }

    /// The executions on record are about to be read for the guarded detector; `false` where it needs none.
    ///
    /// Policy may say otherwise once telemetry has told the agent's type: then the detector goes again.
    pub fn begin_history(&mut self) -> bool {
        self.guarding(None).begin_history()
    }

    /// The executions on record, oldest first, see [`Guarding::end_history`].
    pub fn end_history(&mut self, profile: Option<&Profile>, history: &[Vitals], live_from: Timestamp) {
        if self.policy.detector == Detector::Specified {
            self.guarding = None;
            return;
        }
        let Some(mut guarding) = self.guarding.take() else {
            return;
        };
        let judged = |vitals: &&Vitals| {
            let is_answered = vitals.received_at >= live_from && !self.counts(vitals);
            !(is_answered
                || !self.followed.counts(vitals)
                || self.ignores(vitals.source)
                || is_late(vitals.timestamp, vitals.received_at))
        };
        guarding.end_history(profile, history.iter().filter(judged), live_from);
        self.guarding = Some(guarding);
    }

    /// Lets the detector that policy asks see a live execution.
    pub(crate) fn observe(&mut self, vitals: &Vitals, profile: Option<&Profile>) {
        match self.policy.detector {
            Detector::Specified => self.guarding = None,
            Detector::Guarded => self.guarding(profile).observe(vitals),
        }
    }
}

/// One that still runs is observed when it has ended.
fn has_ended(vitals: &Vitals) -> bool {
    match vitals.completeness {
        Completeness::Complete | Completeness::Incomplete => true,
        Completeness::Running => false,
    }
}

#[cfg(test)]
#[path = "guarding_tests.rs"]
mod tests;
