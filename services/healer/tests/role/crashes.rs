use crate::world::World;
use immune_domain::AgentKey;
use immune_domain::case::AttemptOutcome;
use immune_domain::healing::Action;
use std::collections::BTreeSet;
use std::time::Duration;

/// A small generator: the seed is all that a failure needs to be replayed.
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

pub async fn check_once(world: &World, key: &AgentKey, case: &str, seed: u64) {
    let case_now = world.quarantine.case(case);
    assert_eq!(
        case_now
            .attempts
            .iter()
            .map(|a| (a.action, a.outcome))
            .collect::<Vec<_>>(),
        [
            (Action::ResetMemory, AttemptOutcome::Failed),
            (Action::RollbackPrompt, AttemptOutcome::Succeeded)
        ],
        "seed {seed}"
    );
    assert_eq!(
        world.platform.effects(key),
        [Action::ResetMemory, Action::RollbackPrompt],
        "seed {seed}"
    );
    assert_eq!(
        world.remembered(key).await,
        [("reset_memory", 0, 1), ("rollback_prompt", 1, 0)],
        "seed {seed}"
    );
    let records = world.records(case).await;
    assert_eq!(records.len(), 2, "seed {seed}: {records:?}");
    assert!(
        records.iter().all(|record| record.outcome.is_final()),
        "seed {seed}: {records:?}"
    );
}

/// Scenario: fifty cases; while each is healed, the healer is killed at up to six random moments and started again.
/// Guarantees: every case is healed; no action has a second effect, no lesson is counted twice, no record stays open.
#[tokio::test]
async fn killed_at_any_moment_nothing_is_doubled() {
    let mut seeds = Chance(std::process::id().into());
    for _ in 0..50 {
        let seed = seeds.below(u64::MAX >> 34);
        println!("seed {seed}");
        let mut chance = Chance(seed);
        let world = World::new();
        world.platform.cured_by(Action::RollbackPrompt);
        world.platform.delays(Duration::from_millis(4));
        let key = world.quarantine.open("c-1", "a", 5.0);
        for _ in 0..6 {
            let healer = world.healer();
            tokio::time::sleep(Duration::from_millis(chance.below(25))).await;
            drop(healer);
        }
        let _healer = world.healer();
        world.until("c-1", "healed").await;
        check_once(&world, &key, "c-1", seed).await;
    }
}

/// Scenario: the answer of each call to quarantine is lost after it took effect.
/// Guarantees: asked again, understood as a repetition, nothing doubled.
#[tokio::test]
async fn lost_answers_are_asked_for_again() {
    for call in ["claim_healing", "begin_step", "end_step", "verify_healing"] {
        let world = World::new();
        world.platform.cured_by(Action::RollbackPrompt);
        let key = world.quarantine.open("c-1", "a", 5.0);
        world.quarantine.lose_answer_of(call);
        let _healer = world.healer();
        world.until("c-1", "healed").await;
        check_once(&world, &key, "c-1", 0).await;
    }
}

/// Scenario: twelve cases and three healers, each with room for four.
/// Guarantees: every case is healed once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healers_share_the_work() {
    let world = World::new();
    world.quarantine.lease_is(Duration::from_secs(5));
    world.platform.cured_by(Action::RollbackPrompt);
    world.platform.delays(Duration::from_millis(5));
    let cases: Vec<(String, AgentKey)> = (0..12)
        .map(|i| {
            let case = format!("c-{i:02}");
            let key = world.quarantine.open(&case, &format!("agent-{i}"), 5.0);
            (case, key)
        })
        .collect();
    let _healers = [world.healer(), world.healer(), world.healer()];
    for (case, key) in &cases {
        world.until(case, "healed").await;
        check_once(&world, key, case, 0).await;
    }
    assert_eq!(BTreeSet::from_iter(world.platform.keys()).len(), 24);
}
