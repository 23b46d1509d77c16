//! Lessons that wait: an execution of an agent that is judged already teaches only after a while, and not at all if
//! the agent turns out sick in between.
//!
//! The sentinel judges the average of a window, which the first executions of a fault do not move far enough. Learned
//! at once, they would widen the spread until the fault hides in its own baseline.

use crate::matching::Lesson;
use immune_domain::baseline::Sample;
use immune_domain::{AgentKey, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Lessons of agents that have a baseline, the oldest first per agent.
#[derive(Debug)]
pub struct Late {
    by_agent: HashMap<AgentKey, VecDeque<(Timestamp, Lesson)>>,
    count: usize,
    count_max: usize,
    wait: Duration,
}

impl Late {
    /// Keeps at most so many in all, each for this long.
    pub fn new(count_max: usize, wait: Duration) -> Self {
        Late {
            by_agent: HashMap::new(),
            count: 0,
            count_max,
            wait,
        }
    }

    /// Lets a lesson wait; `false` when there is no room, and it teaches nothing.
    pub fn push(&mut self, lesson: Lesson, now: Timestamp) -> bool {
        if self.count >= self.count_max {
            return false;
        }
        self.count += 1;
        self.by_agent
            .entry(lesson.key.clone())
            .or_default()
            .push_back((now, lesson));
        true
    }

    /// The agent is sick: what it did lately teaches nothing. Returns how many lessons went.
    pub fn discard(&mut self, key: &AgentKey) -> u64 {
        let gone = self.by_agent.remove(key).map_or(0, |lessons| lessons.len());
        self.count -= gone;
        gone as u64
    }

    /// Takes back a lesson that still waits; `false` when it has been learned, or never was.
    pub fn take_back(&mut self, key: &AgentKey, sample: &Sample) -> bool {
        let Some(lessons) = self.by_agent.get_mut(key) else {
            return false;
        };
        let Some(at) = lessons.iter().rposition(|(_, lesson)| lesson.sample == *sample) else {
            return false;
        };
        lessons.remove(at);
        self.count -= 1;
        true
    }

    /// The lessons that have waited long enough.
    pub fn due(&mut self, now: Timestamp) -> Vec<Lesson> {
        let mut due = Vec::new();
        for lessons in self.by_agent.values_mut() {
            while lessons
                .front()
                .is_some_and(|(since, _)| now.since(*since) >= self.wait)
            {
                due.extend(lessons.pop_front().map(|(_, lesson)| lesson));
            }
        }
        self.by_agent.retain(|_, lessons| !lessons.is_empty());
        self.count -= due.len();
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::baseline::Learner;
    use immune_domain::vitals::{Completeness, Context, Source, Vitals};

    fn lesson(agent: &str, latency_ms: f64) -> Lesson {
        let key = AgentKey::new("default", agent);
        let vitals = Vitals {
            key: key.clone(),
            execution: "e".into(),
            revision: 0,
            started_at: Timestamp::EPOCH,
            timestamp: Timestamp::EPOCH,
            received_at: Timestamp::EPOCH,
            latency_ms,
            input_tokens: None,
            output_tokens: None,
            token_count: None,
            tool_calls: None,
            retries: None,
            success: true,
            completeness: Completeness::Complete,
            source: Source::Otlp,
            context: Box::new(Context::default()),
        };
        Lesson {
            key,
            revision: 0,
            sample: Learner::sample(&vitals),
            agent_type: None,
            namespace: None,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH.plus(Duration::from_secs(seconds))
    }

    /// Scenario: two agents execute; one turns out sick before its lessons are due.
    /// Guarantees: nothing that the sick one did lately teaches; the other's lessons come when they are due, not
    /// earlier.
    #[test]
    fn what_came_before_a_sickness_teaches_nothing() {
        let mut late = Late::new(100, Duration::from_secs(10));
        for second in 0..5 {
            assert!(late.push(lesson("sick", 9_000.0), at(second)));
            assert!(late.push(lesson("well", 100.0), at(second)));
        }
        assert_eq!(late.discard(&AgentKey::new("default", "sick")), 5);
        assert!(late.due(at(9)).is_empty());
        assert_eq!(late.due(at(11)).len(), 2);
        assert_eq!(late.due(at(60)), vec![lesson("well", 100.0); 3]);
    }

    /// Scenario: a correction of a record whose lesson still waits, and one of a record that has been learned.
    /// Guarantees: the first is taken back here, the second is left to the learner.
    #[test]
    fn a_waiting_lesson_can_be_taken_back() {
        let mut late = Late::new(100, Duration::from_secs(10));
        let waiting = lesson("a", 100.0);
        late.push(waiting.clone(), at(0));
        assert!(late.take_back(&waiting.key, &waiting.sample));
        assert!(!late.take_back(&waiting.key, &waiting.sample));
        assert!(late.due(at(60)).is_empty());
    }

    /// Guarantees: beyond its limit it refuses, and has room again when lessons are due.
    #[test]
    fn room_is_bounded() {
        let mut late = Late::new(2, Duration::from_secs(10));
        assert!(late.push(lesson("a", 1.0), at(0)));
        assert!(late.push(lesson("b", 1.0), at(0)));
        assert!(!late.push(lesson("c", 1.0), at(0)));
        late.due(at(10));
        assert!(late.push(lesson("c", 1.0), at(10)));
    }
}
