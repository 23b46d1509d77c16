//! Several healers at once.

use crate::crashes::{Chance, check_once};
use crate::world::World;
use immune_domain::AgentKey;
use immune_domain::case::State;
use immune_domain::healing::Action;
use immune_runtime::clock::{Clock, System};
use std::collections::BTreeSet;
use std::time::Duration;

fn cases(world: &World, count: usize) -> Vec<(String, AgentKey)> {
    let open = |i: usize| {
        let case = format!("c-{i:02}");
        let key = world.quarantine.open(&case, &format!("agent-{i}"), 5.0);
        (case, key)
    };
    (0..count).map(open).collect()
}

/// Scenario: twenty worlds of six cases and two healers; up to ten times one of the two is killed at a random moment
/// and another started in its place.
/// Guarantees: every case is healed; no action has a second effect, no lesson is counted twice, no record stays open.
#[tokio::test]
async fn killed_and_replaced_nothing_is_doubled() {
    let mut seeds = Chance(u64::from(std::process::id()) * 7);
    for _ in 0..20 {
        let seed = seeds.below(u64::MAX >> 34);
        println!("seed {seed}");
        let mut chance = Chance(seed);
        let world = World::new();
        world.platform.cured_by(Action::RollbackPrompt);
        world.platform.delays(Duration::from_millis(4));
        let cases = cases(&world, 6);
        let mut healers = [world.healer(), world.healer()];
        for _ in 0..chance.below(11) {
            tokio::time::sleep(Duration::from_millis(chance.below(20))).await;
            healers[chance.below(2) as usize] = world.healer();
        }
        for (case, key) in &cases {
            world.until(case, "healed").await;
            check_once(&world, key, case, seed).await;
        }
    }
}

/// Scenario: a healer loses its way to quarantine while the platform is at work for it, for longer than its lease;
/// another healer is there.
/// Guarantees: the other takes the case over under the same healing, and the first does nothing more: one effect, one
/// record, and the proof stands.
#[tokio::test]
async fn a_healer_that_is_cut_off_acts_no_more() {
    let world = World::new();
    world.platform.cured_by(Action::ResetMemory);
    world.platform.delays(Duration::from_millis(400));
    let key = world.quarantine.open("c-1", "a", 5.0);
    let _healers = [world.healer(), world.healer()];
    world
        .until_that("the platform is asked", || !world.platform.asked().is_empty())
        .await;
    world.quarantine.cut_off_the_holder_of("c-1");
    world
        .until_that("the other asks", || world.platform.asked().len() == 2)
        .await;
    world.until("c-1", "healed").await;
    assert_eq!(world.platform.effects(&key), [Action::ResetMemory]);
    assert_eq!(BTreeSet::from_iter(world.platform.keys()).len(), 1);
    assert_eq!(world.remembered(&key).await, [("reset_memory", 1, 0)]);
    assert_eq!(world.records("c-1").await.len(), 1);
}

/// Scenario: quarantine goes away in the middle of healings, longer than leases last, and comes back.
/// Guarantees: the state tells; afterwards everything is healed once.
#[tokio::test]
async fn quarantine_goes_and_comes_back() {
    let world = World::new();
    world.platform.cured_by(Action::RollbackPrompt);
    world.platform.delays(Duration::from_millis(20));
    let cases = cases(&world, 6);
    let healers = [world.healer(), world.healer()];
    world
        .until_that("the platform is asked", || !world.platform.asked().is_empty())
        .await;
    world.quarantine.is_away(true);
    world
        .until_that("the state tells", || {
            healers
                .iter()
                .all(|healer| healer.state.borrow().quarantine_error.is_some())
        })
        .await;
    world
        .until_that("every lease has lapsed", || {
            cases
                .iter()
                .all(|(case, _)| match &world.quarantine.case(case).state {
                    State::Healing { lease, .. } | State::Probation { lease, .. } => {
                        lease.until < System.now()
                    }
                    State::AwaitingApproval { .. }
                    | State::Rejected { .. }
                    | State::HealQueued { .. }
                    | State::Healed { .. }
                    | State::Released { .. } => true,
                })
        })
        .await;
    world.quarantine.is_away(false);
    for (case, key) in &cases {
        world.until(case, "healed").await;
        check_once(&world, key, case, 0).await;
    }
    world
        .until_that("the state tells", || {
            healers
                .iter()
                .all(|healer| healer.state.borrow().quarantine_error.is_none())
        })
        .await;
}

/// Scenario: a healer is stopped (SIGTERM) while the platform is at work for it; another is there.
/// Guarantees: it ends at once, and the other goes on when the lease has lapsed.
#[tokio::test]
async fn a_stopped_healer_leaves_its_cases_to_others() {
    let world = World::new();
    world.platform.cured_by(Action::RollbackPrompt);
    world.platform.delays(Duration::from_millis(100));
    let key = world.quarantine.open("c-1", "a", 5.0);
    let first = world.healer();
    world
        .until_that("the platform is asked", || !world.platform.asked().is_empty())
        .await;
    let began = tokio::time::Instant::now();
    first.stop().await;
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(matches!(
        world.quarantine.case("c-1").state,
        State::Healing { .. }
    ));
    let _second = world.healer();
    world.until("c-1", "healed").await;
    check_once(&world, &key, "c-1", 0).await;
}
