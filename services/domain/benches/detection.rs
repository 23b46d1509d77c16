//! Vitals through window and detection, per CPU second, at 1k, 100k and 1M agents: one thread, records of all agents
//! interleaved, so that at a million agents every record is a cache miss, as in life. Prints bytes per agent first.

use divan::Bencher;
use divan::counter::ItemsCount;
use immune_domain::baseline::{Moments, Profile, State};
use immune_domain::detection::guarded::{ALARM, Guard};
use immune_domain::detection::{Rule, Sample, Window, judge};
use immune_domain::policy::Policy;
use immune_domain::vitals::{Completeness, Context, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use std::time::Duration;

const LENGTH: Duration = Duration::from_secs(10);
/// Records per measured iteration.
const BATCH: usize = 100_000;
/// Executions that an agent has in its window, on average.
const IN_WINDOW: u64 = 4;

struct Agent {
    window: Window,
    profile: Profile,
}

/// A fleet whose windows are full, and the clock that goes on from there.
struct Fleet {
    agents: Vec<Agent>,
    next: usize,
    executions: u64,
}

impl Fleet {
    fn new(agents: usize) -> Self {
        let profile = |i: usize| Profile {
            key: AgentKey::new("default", format!("agent-{i}")),
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
        };
        let agents = (0..agents)
            .map(|i| Agent {
                window: Window::default(),
                profile: profile(i),
            })
            .collect();
        let mut fleet = Fleet {
            agents,
            next: 0,
            executions: 0,
        };
        let rule = Rule::of(&Policy::default());
        for _ in 0..fleet.agents.len() * IN_WINDOW as usize {
            fleet.step(&rule);
        }
        fleet
    }

    /// One record of the next agent, judged; whether it is anomalous.
    fn step(&mut self, rule: &Rule) -> bool {
        self.executions += 1;
        // Agents are visited with a stride, so that neighbours in memory are not neighbours in time.
        self.next = (self.next + 7_919) % self.agents.len();
        let period = LENGTH.as_micros() as u64 / IN_WINDOW;
        let micros = self.executions * period / self.agents.len() as u64;
        let now = Timestamp::from_micros(1_700_000_000_000_000 + micros as i64);
        let sample = Sample {
            execution: self.executions.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            revision: 0,
            timestamp: now,
            received_at: now,
            latency_nanos: Some(900_000_000 + self.executions % 200_000_000),
            tokens: Some(1_000),
            tools: Some(1_000),
            retried: Some(false),
            failed: false,
        };
        let agent = &mut self.agents[self.next];
        agent.window.insert(&sample, now, LENGTH);
        judge(&agent.window.recent(), &agent.profile, rule).is_anomalous()
    }

    fn bytes_per_agent(&self) -> usize {
        let heap: usize = self.agents.iter().map(|agent| agent.window.heap_bytes()).sum();
        size_of::<Window>() + heap / self.agents.len()
    }
}

#[divan::bench(args = [1_000, 100_000, 1_000_000], sample_count = 20, sample_size = 1)]
fn window_and_detection(bencher: Bencher, agents: usize) {
    let mut fleet = Fleet::new(agents);
    let rule = Rule::of(&Policy::default());
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| (0..BATCH).filter(|_| fleet.step(&rule)).count());
}

/// One execution through the guarded detector, past its seed: a healthy agent, so that it also learns.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn guarded(bencher: Bencher) {
    let mut guard = Guard::default();
    let mut executions: Vec<Vitals> = (0..64).map(execution).collect();
    // Failures and retries are weighed only where there are some.
    executions[17].success = false;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        (0..BATCH)
            .filter(|i| guard.observe(&executions[i % executions.len()]).score > ALARM)
            .count()
    });
}

fn execution(i: u32) -> Vitals {
    let swing = f64::from(i * 7_919 % 101) / 100.0;
    Vitals {
        key: AgentKey::new("default", "agent"),
        execution: ExecutionId::new(i.to_string()),
        revision: 0,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms: 1_000.0 * (1.0 + swing),
        input_tokens: None,
        output_tokens: None,
        token_count: Some((2_000.0 * (1.5 - swing)) as u64),
        tool_calls: Some(3 + i % 4),
        retries: Some(u32::from(i.is_multiple_of(9))),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context::default()),
    }
}

fn main() {
    for agents in [1_000, 100_000] {
        let bytes = Fleet::new(agents).bytes_per_agent();
        let profile = size_of::<Profile>();
        println!(
            "{agents} agents: {bytes} bytes of window per agent ({IN_WINDOW} executions in it), {profile} of profile"
        );
    }
    println!(
        "{} bytes of guarded detector per agent, without kinds of work",
        size_of::<Guard>()
    );
    divan::main();
}
