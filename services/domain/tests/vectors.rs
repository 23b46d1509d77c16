//! The specified rule against the shared test vectors, which were computed by another program from recorded runs of
//! real agents.
//!
//! The data lies beside the checkout (`../shared/detection`, or where `IMMUNE_DETECTION_DATA` points). Without it the
//! test says so and passes; with `CI` set it fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod recorded;

use immune_domain::baseline::{Learner, Profile};
use immune_domain::detection::{Deviations, Entered, Judgement, Rule, Sample, Window, judge};
use immune_domain::policy::Policy;
use immune_domain::vitals::Metric;
use immune_domain::{AgentKey, Timestamp};
use recorded::{by_stream, data, read};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

const LENGTH: Duration = Duration::from_secs(10);
const LEARNED: usize = 15;

/// One execution of a stream.
#[derive(Deserialize)]
struct Row {
    stream: String,
    t: f64,
    latency_ms: Option<f64>,
    token_count: Option<f64>,
    tool_calls: Option<f64>,
}

/// What the rule should say at that execution.
#[derive(Deserialize)]
struct Vector {
    stream: String,
    i: usize,
    t: f64,
    specified: Option<f64>,
    deviation: [Option<f64>; 3],
}

impl Row {
    fn values(&self) -> [Option<f64>; 3] {
        [self.latency_ms, self.token_count, self.tool_calls]
    }

    fn sample(&self, execution: usize) -> Sample {
        let [latency, tokens, tools] = self.values();
        Sample {
            execution: execution as u64,
            revision: 0,
            timestamp: at(self.t),
            received_at: at(self.t),
            latency_nanos: latency.map(|ms| (ms * 1e6).round() as u64),
            tokens: tokens.map(|n| n as u32),
            tools: tools.map(|n| n as u32),
            retried: None,
            failed: false,
        }
    }
}

/// Scenario: sixteen streams of real and synthetic agents, baseline of the first 15 executions, a 10 s window, an
/// evaluation every whole second.
/// Guarantees: per execution, the largest deviation of each metric, and of all, is that of the vectors within 1e-9.
#[test]
fn the_rule_equals_the_shared_vectors() {
    let Some(directory) = data() else { return };
    let vectors = by_stream(read::<Vector>(&directory.join("vectors.jsonl.gz")), |v| {
        v.stream.clone()
    });
    let mut streams: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    for name in ["agentdojo", "tau2run", "prod", "synth"] {
        let rows = read::<Row>(&directory.join(format!("streams/{name}.jsonl.gz")));
        let wanted = rows
            .into_iter()
            .filter(|row| vectors.contains_key(&row.stream))
            .collect();
        streams.extend(by_stream(wanted, |row| row.stream.clone()));
    }
    let (mut compared, mut judged) = (0, 0);
    for (stream, vectors) in &vectors {
        // The vectors were computed on the beginning of a stream, as if it ended there.
        let rows = &streams[stream][..vectors.len()];
        let got = run(rows);
        for (vector, got) in vectors.iter().zip(&got).skip(LEARNED) {
            let place = format!("{stream} execution {} at {}", vector.i, vector.t);
            for metric in Metric::ALL {
                assert_equal(got.of(metric), vector.deviation[metric.index()], &place);
            }
            // With nothing to say the vectors' largest is 0.
            assert_equal(
                Some(got.largest().unwrap_or(0.0)),
                Some(vector.specified.unwrap_or(0.0)),
                &place,
            );
            compared += 1;
            judged += usize::from(got.largest().is_some());
        }
    }
    println!(
        "{compared} executions of {} streams compared, {judged} of them judged",
        vectors.len()
    );
    assert!(compared > 3_000 && judged > 2_000, "{compared} {judged}");
}

/// The largest deviations per execution over the whole seconds at which it is the latest of a non-empty window.
fn run(rows: &[Row]) -> Vec<Deviations> {
    let rule = Rule::of(&Policy::default());
    let profile = learn(&rows[..LEARNED]);
    let mut window = Window::default();
    let mut answers = Vec::with_capacity(rows.len());
    for (i, row) in rows.iter().enumerate() {
        let entered = window.insert(&row.sample(i), at(row.t), LENGTH);
        assert_eq!(entered, Entered::Added);
        let mut largest = Deviations::default();
        let mut second = row.t.ceil();
        while rows.get(i + 1).is_none_or(|next| second < next.t) {
            window.evict(at(second), LENGTH);
            if window.is_empty() {
                break;
            }
            merge(&mut largest, &judge(&window.recent(), &profile, &rule));
            second += 1.0;
        }
        answers.push(largest);
    }
    answers
}

/// The baseline of the first executions. A metric that some of them lack is as ready as the others here.
fn learn(rows: &[Row]) -> Profile {
    let mut learner = Learner::default();
    rows.iter().for_each(|row| assert!(learner.learn(&row.values())));
    let key = AgentKey::new("default", "recorded");
    learner.profile(
        key,
        1,
        LEARNED as u32,
        Timestamp::EPOCH,
        Timestamp::EPOCH,
        Duration::from_secs(1),
    )
}

fn merge(largest: &mut Deviations, judgement: &Judgement) {
    let larger = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    largest.latency = larger(largest.latency, judgement.deviations.latency);
    largest.tokens = larger(largest.tokens, judgement.deviations.tokens);
    largest.tools = larger(largest.tools, judgement.deviations.tools);
}

fn assert_equal(got: Option<f64>, want: Option<f64>, place: &str) {
    let is_equal = match (got, want) {
        // Next to zero the subtraction from the mean leaves no relative precision in either program.
        (Some(got), Some(want)) => (got - want).abs() <= 1e-9 * got.abs().max(want.abs()) + 1e-12,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    assert!(is_equal, "{place}: {got:?}, the vectors say {want:?}");
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros((seconds * 1e6).round() as i64)
}
