//! The guarded detector: how sure we are that an agent has departed, from few executions with heavy tails.
//!
//! The specified rule compares a mean of a few executions with a spread learned from fifteen, and accuses healthy
//! agents: real vitals have log-normal tails, runs of similar tasks, and metrics that hardly vary. This detector
//! works on logarithms, shrinks every spread towards what is usual, weighs several window lengths against each other
//! with Student's t, allows for executions that resemble the one before, and counts failures and retries. Its score
//! is evidence (certainty); severity stays the specified rule's (size).
//!
//! It judges first and learns late: an execution teaches [`LEARN_LATE`] executions after it was judged, and only if
//! nothing looked wrong in between. A level that stays is remembered apart, as provisional, until the old one comes
//! back; only a person makes it the reference. O(1) per execution, no allocation, one flat value per agent.

mod evidence;
mod known;
mod reference;
mod running;
mod tasks;

pub use evidence::{DIAGNOSED, Evidence, Peak};
pub use known::{Known, Told};
pub use running::RUNNING_ALARM;

use crate::vitals::{Metric, Vitals};
use evidence::score;
use reference::Reference;
use serde::{Deserialize, Serialize};
use tasks::Tasks;

/// The longest window, executions.
const RING: usize = 20;
/// Executions that seed the reference before anything is judged.
pub const SEED: u32 = 15;
/// How many executions late an execution teaches, so that the onset of a fault is seen before it is learned.
const LEARN_LATE: u32 = 10;
/// An execution whose score reaches this keeps its neighbours from teaching. Above [`ALARM`]: between the two an
/// agent is infected, but its executions may be the tail of its own normal, and refusing them would freeze it.
const LEARN_BELOW: f32 = 4.6;
/// Score above which the agent is infected; on the recorded agents it accuses about one healthy execution in 1,000.
pub const ALARM: f32 = 3.5;
/// Quiet executions that end an alarm.
const HOLD: u32 = 10;
/// When the last [`RETURN_EXECUTIONS`] executions of an agent in alarm score below this, it has come back: older
/// executions leave the windows at once instead of accusing it for twenty more.
const RETURN_BELOW: f32 = 2.0;
/// See [`RETURN_BELOW`]; fewer than five are too few to show a return.
const RETURN_EXECUTIONS: u32 = 5;
/// Executions over which a lasting change is looked for.
const LASTING_OF: u32 = 33;
/// Alarmed executions among [`LASTING_OF`] that make the present level a provisional reference.
const LASTING: u32 = 25;
/// Calm executions at the old level that forget the provisional one.
const FORGET: u32 = 8;

/// One execution in the ring. A metric that telemetry does not give is NaN and is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Seen {
    /// ln(1 + x) without what is usual for the kind of work, indexed by [`Metric::index`].
    logs: [f32; 3],
    /// Spread of the kind of work in spreads of the agent.
    spread: f32,
    /// The kind of work, 0 where telemetry names none.
    task: u32,
    /// Failed, retried.
    bad: [bool; 2],
    /// Whether its score keeps its neighbours from teaching.
    is_alarming: bool,
}

const NOTHING: Seen = Seen {
    logs: [f32::NAN; 3],
    spread: 1.0,
    task: 0,
    bad: [false; 2],
    is_alarming: false,
};

/// The state of one agent's detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    known: Reference,
    provisional: Option<Reference>,
    tasks: Tasks,
    ring: [Seen; RING],
    /// Executions seen.
    count: u32,
    /// Executions that seed the reference; none where it was known before.
    seed: u32,
    /// Whether nothing is learned.
    is_frozen: bool,
    /// Executions that the windows may reach back.
    reach: u32,
    /// Bit per execution, the newest lowest: in alarm or not.
    history: u64,
    /// Calm executions in a row at the known level while there is a provisional one.
    calm: u32,
    /// Quiet executions since the last alarm; `None` while there is none to hold.
    quiet: Option<u32>,
    last: Evidence,
}

impl Default for Guard {
    fn default() -> Self {
        Guard {
            known: Reference::default(),
            provisional: None,
            tasks: Tasks::default(),
            ring: [NOTHING; RING],
            count: 0,
            seed: SEED,
            is_frozen: false,
            reach: 0,
            history: 0,
            calm: 0,
            quiet: None,
            last: Evidence::default(),
        }
    }
}

impl Guard {
    /// Judges one execution, then learns an earlier one. Executions must come in the order in which they ended.
    pub fn observe(&mut self, vitals: &Vitals) -> Evidence {
        let usual = self.tasks.usual(Tasks::kind(vitals));
        self.ring[self.count as usize % RING] = Seen {
            logs: Metric::ALL.map(|metric| log_of(vitals.value(metric)) - usual.offsets[metric.index()]),
            spread: usual.spread,
            task: usual.kind,
            bad: [!vitals.success, vitals.retries.is_some_and(|retries| retries > 0)],
            is_alarming: false,
        };
        self.count = self.count.saturating_add(1);
        self.reach = (self.reach + 1).min(RING as u32);
        if self.count <= self.seed {
            self.known.learn(self.back(0), self.previous(0));
            self.learn_task(0);
            return self.last;
        }
        self.last = self.judge();
        self.ring[(self.count - 1) as usize % RING].is_alarming = self.last.score >= LEARN_BELOW;
        self.hold();
        self.learn_late();
        self.last
    }

    /// Whether the evidence says that the agent is infected; holds until [`HOLD`] quiet executions.
    pub fn is_infected(&self) -> bool {
        self.quiet.is_some()
    }

    /// Whether the agent has been at another level for long. It is judged by that level, too, so that it is not accused
    /// for ever, but what it does there must teach nobody what is normal.
    pub fn is_elsewhere(&self) -> bool {
        self.provisional.is_some()
    }

    /// The evidence after the last execution.
    pub fn evidence(&self) -> Evidence {
        self.last
    }

    /// Bytes on the heap: what is known of kinds of work, nothing where telemetry names none.
    pub fn heap_bytes(&self) -> usize {
        self.tasks.heap_bytes()
    }

    /// Whether enough executions were seen to judge.
    pub fn is_ready(&self) -> bool {
        self.count > self.seed
    }

    /// Ends the episode: after a healing the agent is judged anew against what was known to be good.
    pub fn restart(&mut self) {
        self.provisional = None;
        self.reach = 0;
        self.history = 0;
        self.quiet = None;
        self.last = Evidence::default();
        for seen in &mut self.ring {
            // What the sick agent did may not teach once it has been released.
            seen.is_alarming = true;
        }
    }

    /// Another version of the agent has begun: what is known of the old one is lent to it, with the weight of what an agent
    /// is first judged by, so that its own normal is followed quickly.
    pub fn begin_version(&mut self) {
        self.known.lend(SEED as f32);
        self.provisional = None;
    }

    fn judge(&mut self) -> Evidence {
        let known = if self.is_infected() && self.reach > RETURN_EXECUTIONS && self.has_returned() {
            self.reach = RETURN_EXECUTIONS;
            self.score(&self.known, true)
        } else {
            self.score(&self.known, true)
        };
        let Some(provisional) = &self.provisional else {
            self.history = ((self.history << 1) | u64::from(known.score > ALARM)) & ((1 << LASTING_OF) - 1);
            if self.history.count_ones() >= LASTING {
                self.provisional = Some(self.present_level());
                self.calm = 0;
            }
            return known;
        };
        self.calm = if known.score < ALARM { self.calm + 1 } else { 0 };
        if self.calm >= FORGET {
            self.provisional = None;
            self.history = 0;
            return known;
        }
        let lasting = self.score(provisional, false);
        if lasting.score < known.score {
            lasting
        } else {
            known
        }
    }

    fn has_returned(&self) -> bool {
        score(&self.known, true, RETURN_EXECUTIONS, |back| self.back(back)).score < RETURN_BELOW
    }

    fn score(&self, reference: &Reference, is_known: bool) -> Evidence {
        score(reference, is_known, self.reach.min(self.count), |back| {
            self.back(back)
        })
    }

    fn hold(&mut self) {
        self.quiet = match self.quiet {
            _ if self.last.score > ALARM => Some(0),
            Some(quiet) if quiet + 1 < HOLD => Some(quiet + 1),
            Some(_) | None => None,
        };
    }

    fn learn_late(&mut self) {
        let is_due = self.count > self.seed + LEARN_LATE && !self.is_frozen;
        if !is_due || (0..=LEARN_LATE).any(|back| self.back(back).is_alarming) {
            return;
        }
        let (seen, previous) = (self.back(LEARN_LATE), self.previous(LEARN_LATE));
        match &mut self.provisional {
            Some(provisional) => provisional.learn(seen, previous),
            None => {
                self.known.learn(seen, previous);
                self.learn_task(LEARN_LATE);
            }
        }
    }

    fn learn_task(&mut self, back: u32) {
        let seen = self.back(back);
        if seen.task != 0 {
            self.tasks.learn(seen.task, self.known.residuals(seen.logs));
        }
    }

    /// A reference of the executions in the ring.
    fn present_level(&self) -> Reference {
        let mut reference = Reference::default();
        for back in (0..RING as u32).rev() {
            reference.learn(self.back(back), self.previous(back));
        }
        reference
    }

    /// The execution `back` executions ago; 0 is the latest.
    fn back(&self, back: u32) -> Seen {
        self.ring[(self.count - 1 - back) as usize % RING]
    }

    /// The execution before that one, while it is in the ring.
    fn previous(&self, back: u32) -> Option<Seen> {
        (back + 1 < self.count.min(RING as u32)).then(|| self.back(back + 1))
    }
}

/// ln(1 + x), NaN for what is not measured or not a number.
fn log_of(value: Option<f64>) -> f32 {
    match value {
        Some(value) if value.is_finite() && value >= 0.0 => value.ln_1p() as f32,
        Some(_) | None => f32::NAN,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::execution;
