//! What a detector knows to be normal, apart from the detector: learned beside a baseline, stored and told with it, and
//! what a detector begins from. Whoever restarts does not have to trust what it finds on record.

use super::reference::Reference;
use super::tasks::Tasks;
use super::{Guard, NOTHING, RING, SEED, Seen, log_of};
use crate::vitals::{Metric, Vitals};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The present form of the bytes, their first. One that is not known is refused: half-read numbers would accuse.
const FORM: u8 = 1;

/// What one execution tells a detector. Small, so that it can wait for its verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    logs: [f32; 3],
    task: u32,
    bad: [bool; 2],
}

impl Told {
    /// What an execution tells.
    pub fn of(vitals: &Vitals) -> Self {
        Told {
            logs: Metric::ALL.map(|metric| log_of(vitals.value(metric))),
            task: Tasks::kind(vitals),
            bad: [!vitals.success, vitals.retries.is_some_and(|retries| retries > 0)],
        }
    }

    /// Whether the execution succeeded.
    pub fn succeeded(&self) -> bool {
        !self.bad[0]
    }
}

/// Mean and spread, correlation of neighbours, rates of failures and retries, and how kinds of work differ.
#[derive(Debug, Clone)]
pub struct Known {
    reference: Reference,
    tasks: Tasks,
    /// The logarithms that were learned last; NaN before the first.
    previous: [f32; 3],
}

impl PartialEq for Known {
    /// Alike are those that are stored alike: a number that is none is like itself.
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Default for Known {
    fn default() -> Self {
        Known {
            reference: Reference::default(),
            tasks: Tasks::default(),
            previous: NOTHING.logs,
        }
    }
}

impl Known {
    /// Learns an execution that was judged well. Executions come in the order in which they ended.
    pub fn learn(&mut self, told: &Told) {
        let usual = self.tasks.usual(told.task);
        let seen = Seen {
            logs: std::array::from_fn(|i| told.logs[i] - usual.offsets[i]),
            spread: usual.spread,
            task: usual.kind,
            bad: told.bad,
            is_alarming: false,
        };
        let previous = Seen {
            logs: self.previous,
            ..NOTHING
        };
        self.reference.learn(seen, Some(previous));
        self.tasks.learn(seen.task, self.reference.residuals(seen.logs));
        self.previous = seen.logs;
    }

    /// Executions learned, as far as they are remembered.
    pub fn weight(&self) -> u32 {
        self.reference.weight() as u32
    }

    /// Another version of the agent has begun, see [`Guard::begin_version`].
    pub fn begin_version(&mut self) {
        self.reference.lend(SEED as f32);
    }

    /// The bytes in which it is stored and told: the form, then numbers, least significant byte first.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        let mut put = |numbers: &[f32]| bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        put(&self.previous);
        self.reference.put(&mut put);
        self.tasks.put(&mut bytes);
        bytes
    }

    /// Reads [`Known::to_bytes`]; `None` where it is of another form, is cut, or has numbers that none of ours has.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (form, mut rest) = bytes.split_first()?;
        if *form != FORM {
            return None;
        }
        let mut previous = [f32::NAN; 3];
        for log in &mut previous {
            *log = take(&mut rest)?;
        }
        let reference = Reference::take(&mut rest)?;
        let tasks = Tasks::take(&mut rest)?;
        rest.is_empty().then_some(Known {
            reference,
            tasks,
            previous,
        })
    }
}

/// The next number.
pub(super) fn take(rest: &mut &[u8]) -> Option<f32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(f32::from_le_bytes(*bytes))
}

impl Serialize for Known {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.to_bytes()))
    }
}

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).map_err(de::Error::custom)?;
        Known::from_bytes(&bytes).ok_or_else(|| de::Error::custom("is no reference of a detector in form 1"))
    }
}

impl Guard {
    /// A detector that judges from its first execution on, by what is known already; one for which too little is known
    /// learns from its first executions as any does.
    pub fn begin(known: &Known) -> Self {
        let is_known = known.weight() >= SEED;
        Guard {
            known: known.reference,
            tasks: known.tasks.clone(),
            seed: if is_known { 0 } else { SEED },
            ..Guard::default()
        }
    }

    /// Judges an execution that has taught already: what a detector that begins in the middle of an agent's life has to
    /// see again, but not to learn again.
    pub fn recall(&mut self, vitals: &Vitals) {
        let is_frozen = std::mem::replace(&mut self.is_frozen, true);
        self.observe(vitals);
        self.is_frozen = is_frozen;
        let newest = (self.count - 1) as usize % RING;
        // What would teach it later has taught, too.
        self.ring[newest].is_alarming = true;
    }

    /// From now on nothing is learned, or again.
    pub fn freeze(&mut self, is_frozen: bool) {
        self.is_frozen = is_frozen;
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
