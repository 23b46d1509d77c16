//! The guarded detector on recorded executions of real agents and on synthetic ones: how many faults it finds, and
//! how many healthy executions it accuses. The bounds are a little worse than the figures, so that a change for the
//! worse fails and noise does not.

mod recorded;

use immune_domain::detection::guarded::Guard;
use immune_domain::vitals::{Completeness, Context, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use recorded::{by_stream, data, read};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Executions that every detector may learn from first.
const WARM_UP: usize = 15;
/// A fault counts as found within this many of its executions.
const WITHIN: usize = 20;
/// Executions after a fault in which an alarm is no mistake yet.
const GRACE: usize = 10;
/// Faults that change what an agent does, as the data's own description sorts them; the rest are soft changes.
const HARD: [&str; 12] = [
    "loop",
    "token_explosion",
    "tool_failure",
    "retry_storm",
    "latency_fast",
    "prompt_injection",
    "agent_timeout",
    "crash",
    "agent_error",
    "denial_of_service",
    "latency_slow",
    "silent_degradation",
];

#[derive(Deserialize)]
struct Row {
    stream: String,
    latency_ms: Option<f64>,
    token_count: Option<u64>,
    tool_calls: Option<u32>,
    retries: Option<u32>,
    success: Option<bool>,
    label: u8,
    label_kind: String,
}

#[derive(Default)]
struct Figures {
    healthy: usize,
    accused: usize,
    after: usize,
    accused_after: usize,
    hard: usize,
    hard_found: usize,
}

fn vitals(row: &Row) -> Vitals {
    Vitals {
        key: AgentKey::new("recorded", row.stream.as_str()),
        execution: ExecutionId::new("any"),
        revision: 0,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms: row.latency_ms.unwrap_or(f64::NAN),
        input_tokens: None,
        output_tokens: None,
        token_count: row.token_count,
        tool_calls: row.tool_calls,
        retries: row.retries,
        success: row.success.unwrap_or(true),
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context::default()),
    }
}

fn count(rows: &[Row], figures: &mut Figures) {
    let mut guard = Guard::default();
    let alarms: Vec<bool> = rows
        .iter()
        .map(|row| {
            let evidence = guard.observe(&vitals(row));
            guard.is_infected() && evidence.score > immune_domain::detection::guarded::ALARM
        })
        .collect();
    let onset = rows.iter().position(|row| row.label == 1).unwrap_or(rows.len());
    for is_accused in alarms.iter().take(onset).skip(WARM_UP) {
        figures.healthy += 1;
        figures.accused += usize::from(*is_accused);
    }
    let mut last_sick = onset;
    for (i, row) in rows.iter().enumerate().skip(onset) {
        if row.label == 1 {
            if (i == onset || rows[i - 1].label == 0)
                && i >= WARM_UP
                && HARD.contains(&row.label_kind.as_str())
            {
                figures.hard += 1;
                let sick = (i..rows.len().min(i + WITHIN)).take_while(|j| rows[*j].label == 1);
                figures.hard_found += usize::from(sick.into_iter().any(|j| alarms[j]));
            }
            last_sick = i;
        } else if i > last_sick + GRACE {
            figures.after += 1;
            figures.accused_after += usize::from(alarms[i]);
        }
    }
}

/// Scenario: every recorded stream, from no knowledge on, in virtual time.
/// Guarantees: hard faults are found far above chance, healthy executions are accused at most 1.5 times in 1,000
/// (equal weight per family), and after a fault the detector finds back.
#[test]
fn finds_faults_and_leaves_healthy_agents_alone() {
    let Some(directory) = data() else { return };
    let mut families: BTreeMap<&str, Figures> = BTreeMap::new();
    for family in ["agentdojo", "tau2run", "prod", "synth"] {
        let rows = read::<Row>(&directory.join(format!("streams/{family}.jsonl.gz")));
        let figures = families.entry(family).or_default();
        by_stream(rows, |row| row.stream.clone())
            .values()
            .for_each(|rows| count(rows, figures));
    }
    let share = |part: usize, whole: usize| part as f64 / whole.max(1) as f64;
    let false_per_1k = families
        .values()
        .map(|f| 1_000.0 * share(f.accused, f.healthy))
        .sum::<f64>()
        / families.len() as f64;
    let total = |of: fn(&Figures) -> usize| families.values().map(of).sum::<usize>();
    let recall = share(total(|f| f.hard_found), total(|f| f.hard));
    let synthetic = share(families["synth"].hard_found, families["synth"].hard);
    let after_per_1k = 1_000.0 * share(total(|f| f.accused_after), total(|f| f.after));
    println!(
        "hard recall@20 {recall:.2} (synthetic {synthetic:.2}), false/1k {false_per_1k:.2}, after/1k {after_per_1k:.1}"
    );
    assert!(recall >= 0.76, "hard recall@20 {recall:.3}");
    assert!(
        synthetic >= 0.85,
        "hard recall@20 of synthetic faults {synthetic:.3}"
    );
    assert!(false_per_1k <= 1.5, "false/1k {false_per_1k:.2}");
    assert!(after_per_1k <= 10.0, "after/1k {after_per_1k:.1}");
}
