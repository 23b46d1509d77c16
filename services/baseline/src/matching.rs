//! Brings executions and verdicts together, whichever comes first, each exactly once.
//!
//! An execution is remembered for a while after it taught, so that a redelivery does not teach twice and a
//! correction (a late child, a withdrawal) takes the first lesson back. Bounded by count and by time.

use immune_domain::baseline::{Learner, Sample};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What is left of an execution until its verdict comes.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    /// Whose.
    pub key: AgentKey,
    /// Of which revision of the record.
    pub revision: u32,
    /// The numbers.
    pub sample: Sample,
    /// What policy is resolved by.
    pub agent_type: Option<String>,
    /// What policy is resolved by.
    pub namespace: Option<String>,
}

impl Lesson {
    fn of(vitals: &Vitals) -> Self {
        Lesson {
            key: vitals.key.clone(),
            revision: vitals.revision,
            sample: Learner::sample(vitals),
            agent_type: vitals.context.agent_type.clone(),
            namespace: vitals.context.namespace().map(str::to_owned),
        }
    }
}

/// What a match changes in a baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Whose.
    pub key: AgentKey,
    /// Taught earlier by the same execution, and no longer true.
    pub forget: Option<Sample>,
    /// To be learned.
    pub learn: Option<Lesson>,
}

#[derive(Debug)]
enum State {
    /// The execution is here, its verdict is not.
    Lesson(Box<Lesson>),
    /// The verdict is here, the execution is not.
    Verdict { revision: u32, teaches: bool },
    /// Both were here.
    Settled { revision: u32 },
    /// Turned out to be a part of another execution; nothing of it counts any more.
    Withdrawn,
}

#[derive(Debug)]
struct Slot {
    state: State,
    taught: Option<Sample>,
}

/// Executions that wait for their verdict, and those remembered.
#[derive(Debug)]
pub struct Matching {
    slots: HashMap<u64, Slot>,
    /// In the order in which they came.
    order: VecDeque<(u64, Timestamp)>,
    /// Executions that were forgotten without a verdict since the last [`Matching::expire`].
    unjudged: u64,
    count_max: usize,
    age_max: Duration,
}

impl Matching {
    /// Remembers at most so many, and none for longer.
    pub fn new(count_max: usize, age_max: Duration) -> Self {
        Matching {
            slots: HashMap::new(),
            order: VecDeque::new(),
            unjudged: 0,
            count_max,
            age_max,
        }
    }

    /// An execution came.
    pub fn vitals(&mut self, vitals: &Vitals, now: Timestamp) -> Option<Outcome> {
        let id = identity(&vitals.key, vitals.execution.as_str());
        let slot = match self.slots.get_mut(&id) {
            None => {
                self.put(id, State::Lesson(Box::new(Lesson::of(vitals))), now);
                return None;
            }
            Some(slot) => slot,
        };
        match slot.state {
            State::Verdict { revision, teaches } if revision == vitals.revision => {
                Some(settle(slot, Lesson::of(vitals), teaches))
            }
            State::Verdict { revision, .. } | State::Settled { revision } if revision >= vitals.revision => {
                None
            }
            State::Lesson(ref lesson) if lesson.revision >= vitals.revision => None,
            State::Verdict { .. } | State::Settled { .. } | State::Lesson(_) => {
                slot.state = State::Lesson(Box::new(Lesson::of(vitals)));
                None
            }
            State::Withdrawn => None,
        }
    }

    /// A verdict came.
    pub fn verdict(
        &mut self,
        key: &AgentKey,
        execution: &str,
        revision: u32,
        teaches: bool,
        now: Timestamp,
    ) -> Option<Outcome> {
        let id = identity(key, execution);
        let slot = match self.slots.get_mut(&id) {
            None => {
                self.put(id, State::Verdict { revision, teaches }, now);
                return None;
            }
            Some(slot) => slot,
        };
        match &slot.state {
            State::Lesson(lesson) if lesson.revision == revision => {
                let lesson = Lesson::clone(lesson);
                Some(settle(slot, lesson, teaches))
            }
            State::Lesson(lesson) if lesson.revision > revision => None,
            State::Verdict { revision: known, .. } | State::Settled { revision: known }
                if *known >= revision =>
            {
                None
            }
            State::Lesson(_) | State::Verdict { .. } | State::Settled { .. } => {
                slot.state = State::Verdict { revision, teaches };
                None
            }
            State::Withdrawn => None,
        }
    }

    /// An execution turned out to be a part of another one.
    pub fn withdraw(&mut self, key: &AgentKey, execution: &ExecutionId, now: Timestamp) -> Option<Outcome> {
        let id = identity(key, execution.as_str());
        let Some(slot) = self.slots.get_mut(&id) else {
            self.put(id, State::Withdrawn, now);
            return None;
        };
        slot.state = State::Withdrawn;
        slot.taught.take().map(|sample| Outcome {
            key: key.clone(),
            forget: Some(sample),
            learn: None,
        })
    }

    /// Forgets what is too old; returns how many executions were forgotten without a verdict since the last call.
    pub fn expire(&mut self, now: Timestamp) -> u64 {
        while self
            .order
            .front()
            .is_some_and(|(_, since)| now.since(*since) > self.age_max)
        {
            self.drop_oldest();
        }
        std::mem::take(&mut self.unjudged)
    }

    /// How many are waiting or remembered.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn put(&mut self, id: u64, state: State, now: Timestamp) {
        if self.order.len() >= self.count_max {
            self.drop_oldest();
        }
        self.slots.insert(id, Slot { state, taught: None });
        self.order.push_back((id, now));
    }

    fn drop_oldest(&mut self) {
        if let Some(slot) = self.order.pop_front().and_then(|(id, _)| self.slots.remove(&id)) {
            self.unjudged += match slot.state {
                State::Lesson(_) => 1,
                State::Verdict { .. } | State::Settled { .. } | State::Withdrawn => 0,
            };
        }
    }
}

fn settle(slot: &mut Slot, lesson: Lesson, teaches: bool) -> Outcome {
    slot.state = State::Settled {
        revision: lesson.revision,
    };
    let forget = slot.taught.take();
    slot.taught = teaches.then_some(lesson.sample);
    Outcome {
        key: lesson.key.clone(),
        forget,
        learn: teaches.then_some(lesson),
    }
}

/// 64 bits for an execution of an agent: two of a hundred thousand are taken for one once in 10^9 times.
fn identity(key: &AgentKey, execution: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key.run.as_str(), key.agent.as_str(), execution).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
