use super::super::kind::AgentType;
use super::*;
use crate::infection::Infection;
use immune_domain::baseline::{Learner, Profile, State as Learned};
use immune_domain::detection::guarded::Guard;
use immune_domain::detection::{Judgement, Rule, Sample, Window, judge};
use immune_domain::diagnosis::{Clues, Diagnosis, Pattern, diagnose};
use immune_domain::policy::Policy;
use immune_domain::vitals::{Completeness, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, Timestamp};
use rand::SeedableRng;
use std::sync::Arc;
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(10);

/// An agent and whoever watches it, in simulated time.
struct World {
    state: State,
    rng: StdRng,
    now: Timestamp,
    n: u64,
    learner: Learner,
    window: Window,
    guard: Guard,
}

/// What the watcher sees when it first sees something.
struct Detected {
    after: Duration,
    severity: f64,
    diagnosis: Diagnosis,
}

impl World {
    fn new(kind: AgentType, seed: u64) -> Self {
        World {
            state: State::new(kind),
            rng: StdRng::seed_from_u64(seed),
            now: Timestamp::from_micros(1_000_000_000_000),
            n: 0,
            learner: Learner::default(),
            window: Window::default(),
            guard: Guard::default(),
        }
    }

    /// One execution and the pause after it; the judgement of the window, and its only tool.
    fn execute(&mut self, learns: bool) -> (Judgement, Option<String>) {
        let plan = plan(&self.state, &mut self.rng);
        let (mut tokens, mut tools, mut retries) = (0, Vec::new(), 0);
        for step in &plan.steps {
            match step {
                Step::Chat {
                    input_tokens,
                    output_tokens,
                    resends,
                    ..
                } => {
                    tokens += input_tokens + output_tokens;
                    retries += resends;
                }
                Step::Tools { calls, .. } => tools.extend(calls.iter().copied()),
            }
        }
        let latency_ms = plan.latency_ms();
        self.now = self.now.plus(Duration::from_secs_f64(latency_ms / 1e3));
        self.n += 1;
        let sample = Sample {
            execution: self.n,
            revision: 0,
            timestamp: self.now,
            received_at: self.now,
            latency_nanos: Some((latency_ms * 1e6) as u64),
            tokens: Some(tokens as u32),
            tools: Some(tools.len() as u32),
            retried: Some(retries > 0),
            failed: plan.failure.is_some(),
        };
        self.window.insert(&sample, self.now, WINDOW);
        self.guard.observe(&Vitals {
            key: AgentKey::new("r", "a"),
            execution: ExecutionId::from(self.n.to_string().as_str()),
            revision: 0,
            started_at: self.now,
            timestamp: self.now,
            received_at: self.now,
            latency_ms,
            input_tokens: None,
            output_tokens: None,
            token_count: Some(tokens),
            tool_calls: Some(tools.len() as u32),
            retries: Some(retries),
            success: plan.failure.is_none(),
            completeness: Completeness::Complete,
            source: Source::Otlp,
            context: Box::default(),
        });
        let judgement = judge(
            &self.window.recent(),
            &self.profile(),
            &Rule::of(&Policy::default()),
        );
        if learns {
            self.learner
                .learn(&[Some(latency_ms), Some(tokens as f64), Some(tools.len() as f64)]);
        }
        let pause = self.state.kind.traits().pause_ms;
        self.now = self.now.plus(Duration::from_secs_f64(pause / 1e3));
        tools.sort_unstable();
        tools.dedup();
        (judgement, (tools.len() == 1).then(|| tools[0].to_owned()))
    }

    fn profile(&self) -> Profile {
        Profile {
            key: AgentKey::new("r", "a"),
            version: 1,
            state: Learned::Active,
            sample_count: self.learner.samples(),
            moments: self.learner.moments(),
            updated_at: self.now,
            of: Default::default(),
            is_frozen: false,
            known: None,
        }
    }

    /// Executes until the evidence suffices, at most 20 s.
    fn until_detected(&mut self) -> Option<Detected> {
        let begun = self.now;
        while self.now.since(begun) < Duration::from_secs(20) {
            let (judgement, only_tool) = self.execute(false);
            if self.guard.is_infected() {
                let clues = Clues {
                    only_tool,
                    evidence: Some(self.guard.evidence()),
                    ..Clues::default()
                };
                let window = self
                    .window
                    .recent()
                    .summary(Some(&Arc::new(self.profile())), 10.0);
                let pattern = Pattern {
                    judgement: &judgement,
                    window: &window,
                    clues: &clues,
                };
                return Some(Detected {
                    after: self.now.since(begun),
                    severity: judgement.severity_on_evidence(),
                    diagnosis: diagnose(&pattern)[0].diagnosis,
                });
            }
        }
        None
    }
}

/// Scenario: healthy agents of every type, with a baseline of the fewest samples and one that grows.
/// Guarantees: neither the specified rule nor the evidence accuses any of 80,000 executions.
#[test]
fn healthy_agents_are_never_accused() {
    for kind in AgentType::ALL {
        for seed in 0..20 {
            let mut world = World::new(kind, seed);
            for n in 0..1_000 {
                // Learns the first samples only, or everything: both must hold.
                let (judgement, only_tool) = world.execute(n < 15 || seed % 2 == 0);
                assert!(
                    !judgement.is_anomalous(),
                    "{kind}, seed {seed}, execution {n}: {judgement:?}"
                );
                assert!(
                    !world.guard.is_infected(),
                    "{kind}, seed {seed}, execution {n}: {:?}",
                    world.guard.evidence()
                );
                assert_eq!(only_tool, None);
            }
        }
    }
}

/// Scenario: every infection in both strengths, on agents that have run for 30 s or longer.
/// Guarantees: detected within 10 s; mild below severity 7, severe at 7 or more where it can be; and the ladder of
/// the diagnosis that it gets holds an action that cures it.
#[test]
fn infections_are_detected_as_strong_as_they_are() {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for kind in AgentType::ALL {
        for infection in Infection::ALL {
            for strength in [Strength::Mild, Strength::Severe] {
                for seed in 0..25 {
                    let mut world = World::new(kind, seed);
                    for _ in 0..80 {
                        world.execute(true);
                    }
                    world.state.fall_ill(infection, strength);
                    let what = format!("{strength} {infection} of {kind}, seed {seed}");
                    let Some(seen) = world.until_detected() else {
                        panic!("{what} is never detected")
                    };
                    assert!(
                        seen.after <= Duration::from_secs(10),
                        "{what} is detected after {:?}",
                        seen.after
                    );
                    let as_strong = (seen.severity >= 7.0) == (strength == Strength::Severe);
                    let ladder = Policy::default().ladder(seen.diagnosis).to_vec();
                    let curable = ladder.iter().any(|action| infection.cures().contains(action));
                    tried += 1;
                    if !(as_strong && curable) {
                        wrong.push(format!(
                            "{what}: severity {:.2}, {:?}",
                            seen.severity, seen.diagnosis
                        ));
                    }
                }
            }
        }
    }
    // Chance decides the first ill execution; one in a hundred may land on the other side of a threshold.
    assert!(
        wrong.len() * 100 <= tried,
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Scenario: a window that is full of nothing but ill executions, as after a probation that failed.
/// Guarantees: mild latency, tools and retries stay below severity 7 even then.
#[test]
fn mild_infections_that_grow_slowly_stay_mild() {
    for infection in [
        Infection::LatencySpike,
        Infection::ToolLoop,
        Infection::HighRetryRate,
        Infection::MemoryCorruption,
    ] {
        let mut world = World::new(AgentType::Research, 3);
        for _ in 0..200 {
            world.execute(true);
        }
        world.state.fall_ill(infection, Strength::Mild);
        world.window.restart();
        for _ in 0..40 {
            let (judgement, _) = world.execute(false);
            let seen = judgement.severity().unwrap_or(0.0);
            assert!(seen < 7.0, "{infection}: severity {seen}");
        }
    }
}
