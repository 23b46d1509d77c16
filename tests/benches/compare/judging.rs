//! One execution of one of many agents, found by its id and judged, beside a bare window: in this process, one thread.

use super::table::{Row, Table};
use super::{Settings, smallest};
use immune_domain::baseline::{Moments, Profile, State};
use immune_domain::detection::guarded::{ALARM, Guard};
use immune_domain::detection::{Rule, Sample, Window, judge};
use immune_domain::policy::Policy;
use immune_domain::vitals::{Completeness, Context, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use std::collections::HashMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

const AGENTS: usize = 100_000;
const EXECUTIONS: usize = 1_000_000;
const LENGTH: Duration = Duration::from_secs(10);

/// Agents are visited with a stride, so that neighbours in memory are not neighbours in time.
const STRIDE: usize = 7_919;

/// The least that detection can keep: the latest executions and their sums.
#[derive(Default)]
struct Bare {
    ring: [[f32; 3]; 32],
    sums: [f64; 3],
    count: usize,
}

impl Bare {
    fn observe(&mut self, values: [f32; 3]) -> f64 {
        let oldest = std::mem::replace(&mut self.ring[self.count % 32], values);
        for n in 0..3 {
            self.sums[n] += f64::from(values[n] - oldest[n]);
        }
        self.count += 1;
        let held = self.count.min(32) as f64;
        self.sums.iter().map(|sum| sum / held).fold(0.0, f64::max)
    }
}

pub fn measure(settings: &Settings, rows: &mut Table) {
    let ids: Vec<String> = (0..AGENTS).map(|n| format!("agent-{n:07}")).collect();
    let mut bare = fleet(&ids, |_| Bare::default());
    let mut specified = fleet(&ids, |id| (Window::default(), profile(id)));
    let mut guarded = fleet(&ids, |_| Guard::default());
    let rule = Rule::of(&Policy::default());
    let mut execution = vitals();
    let mut clock: u64 = 0;
    let mut costs = [const { Vec::new() }; 3];
    for round in 0..settings.rounds {
        eprintln!("judging: round {} of {}", round + 1, settings.rounds);
        costs[0].push(time(&ids, &mut bare, |bare, n| {
            bare.observe([900.0 + (n % 200) as f32, 1_000.0, 3.0]) > 0.0
        }));
        costs[1].push(time(&ids, &mut specified, |(window, profile), n| {
            clock += 1;
            let sample = sample(clock, n);
            window.insert(&sample, sample.timestamp, LENGTH);
            judge(&window.recent(), profile, &rule).is_anomalous()
        }));
        costs[2].push(time(&ids, &mut guarded, |guard, n| {
            execution.latency_ms = 900.0 + (n % 200) as f64;
            guard.observe(&execution).score > ALARM
        }));
    }
    let [bare, specified, guarded] = costs.map(|costs| smallest(&costs));
    for (path, cost) in [
        ("detection, specified, 100,000 agents by id", specified),
        ("detection, guarded, 100,000 agents by id", guarded),
    ] {
        rows.push(
            Row::new(path, "ns per execution", cost)
                .beside("bare window", bare)
                .at_most_times(3.0, "bare window"),
        );
    }
    rows.push(
        Row::new(
            "memory of the guarded detector",
            "bytes per agent",
            size_of::<Guard>() as f64,
        )
        .at_most("1 KiB", 1_024.0),
    );
}

fn fleet<T>(ids: &[String], make: impl Fn(&str) -> T) -> HashMap<String, T> {
    ids.iter().map(|id| (id.clone(), make(id))).collect()
}

/// Nanoseconds per execution.
fn time<T>(
    ids: &[String],
    fleet: &mut HashMap<String, T>,
    mut judge: impl FnMut(&mut T, usize) -> bool,
) -> f64 {
    let started = Instant::now();
    for n in 0..EXECUTIONS {
        let id = &ids[n * STRIDE % ids.len()];
        if let Some(agent) = fleet.get_mut(id.as_str()) {
            black_box(judge(agent, n));
        }
    }
    started.elapsed().as_nanos() as f64 / EXECUTIONS as f64
}

fn sample(clock: u64, n: usize) -> Sample {
    // Four executions of each agent lie in a window.
    let micros = clock * LENGTH.as_micros() as u64 / 4 / AGENTS as u64;
    let now = Timestamp::from_micros(1_700_000_000_000_000 + micros as i64);
    Sample {
        execution: clock.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        revision: 0,
        timestamp: now,
        received_at: now,
        latency_nanos: Some(900_000_000 + (n as u64 % 200) * 1_000_000),
        tokens: Some(1_000),
        tools: Some(3),
        retried: Some(false),
        failed: false,
    }
}

fn profile(id: &str) -> Profile {
    Profile {
        key: AgentKey::new("default", id),
        version: 1,
        state: State::Active,
        sample_count: 20,
        moments: [Moments {
            count: 20,
            mean: 1_000.0,
            stddev: 300.0,
        }; 3],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    }
}

fn vitals() -> Vitals {
    Vitals {
        key: AgentKey::new("default", "agent"),
        execution: ExecutionId::new("execution"),
        revision: 0,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms: 1_000.0,
        input_tokens: None,
        output_tokens: None,
        token_count: Some(1_000),
        tool_calls: Some(3),
        retries: Some(0),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context::default()),
    }
}
