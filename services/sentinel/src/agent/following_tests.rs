//! An agent whose baseline a person sets, or that becomes another version of itself.

use super::*;
use immune_domain::baseline::{Learned, Origin, Version};
use immune_domain::policy::Detector;

/// Latencies about a level, one execution a minute from a second on.
fn executions(level: f64, from: f64, count: usize) -> Vec<Vitals> {
    let swing = |i: usize| [0.9, 1.05, 0.98, 1.15, 1.0, 0.93, 1.1][i % 7];
    let each = |i: usize| ran(&format!("e{from}-{i}"), from + 60.0 * i as f64, level * swing(i));
    (0..count).map(each).collect()
}

fn set(origin: Origin, seconds: f64, learned: &Learned) -> Profile {
    Profile {
        of: Version {
            epoch: 1,
            since: at(seconds),
            origin,
            ..Version::default()
        },
        moments: learned.learner.moments(),
        sample_count: learned.learner.samples(),
        known: Some(Arc::new(learned.known.clone())),
        is_frozen: origin == Origin::Pinned,
        ..Profile::clone(&profile())
    }
}

/// An agent that has executed at a level of 1,000 ms for an hour, and its profile.
fn known_agent() -> (Agent, Arc<Profile>) {
    let mut agent = Agent::new(Arc::new(Policy {
        detector: Detector::Guarded,
        ..Policy::default()
    }));
    let executions = executions(1_000.0, 0.0, 60);
    let learned = Learned::of(&executions);
    let profile = Arc::new(Profile {
        moments: learned.learner.moments(),
        sample_count: learned.learner.samples(),
        ..Profile::clone(&profile())
    });
    agent.follow(&profile);
    for vitals in &executions {
        agent.take(vitals, Some(&profile), GROWTH, vitals.received_at);
    }
    assert!(!agent.is_infected() && agent.evidence().is_some());
    (agent, profile)
}

fn runs(agent: &mut Agent, profile: &Arc<Profile>, executions: &[Vitals]) -> Vec<Reason> {
    let taken = executions
        .iter()
        .map(|vitals| agent.take(vitals, Some(profile), GROWTH, vitals.received_at));
    taken.filter_map(|taken| taken.reason).collect()
}

/// Scenario: latency rises to 2,500 ms and stays; a person accepts that as the new normal, and it goes on; then it falls
/// back to 1,000 ms.
/// Guarantees: accused before, at rest afterwards from the first execution on, and the old level departs from the new one;
/// executions that began before the acceptance say nothing.
#[test]
fn an_accepted_level_is_the_normal_one() {
    let (mut agent, profile) = known_agent();
    let risen = executions(2_500.0, 3_600.0, 30);
    runs(&mut agent, &profile, &risen);
    assert!(
        agent.is_infected()
            || agent
                .guarding
                .as_ref()
                .is_some_and(|guarding| guarding.is_elsewhere())
    );
    let accepted = Arc::new(set(Origin::Accepted, 6_000.0, &Learned::of(&risen)));
    agent.follow(&accepted);
    assert!(!agent.is_infected());
    let late = ran("late", 6_001.0, 2_500.0);
    assert_eq!(runs(&mut agent, &accepted, &[late]), [Reason::BeforeRelease]);
    let reasons = runs(&mut agent, &accepted, &executions(2_500.0, 6_060.0, 40));
    assert!(
        reasons.iter().all(|reason| *reason == Reason::Healthy),
        "{reasons:?}"
    );
    runs(&mut agent, &accepted, &executions(1_000.0, 9_000.0, 8));
    assert!(agent.is_infected(), "{:?}", agent.evidence());
}

/// Scenario: a person has the baseline learned anew; the agent goes on at three times its level.
/// Guarantees: it is judged by nothing that was before: no alarm, and its new executions give the reference.
#[test]
fn a_reset_forgets_what_the_detector_knew() {
    let (mut agent, _) = known_agent();
    let nothing = Arc::new(Profile {
        state: baseline::State::Learning,
        ..set(Origin::Reset, 3_600.0, &Learned::default())
    });
    agent.follow(&nothing);
    assert!(agent.evidence().is_none());
    let reasons = runs(&mut agent, &nothing, &executions(3_000.0, 3_660.0, 40));
    assert!(
        reasons.iter().all(|reason| *reason == Reason::Healthy),
        "{reasons:?}"
    );
    assert!(agent.evidence().is_some() && !agent.is_infected());
}

/// Scenario: a pinned agent's level creeps up by a third of its spread a day, as it would be followed if it learned.
/// Guarantees: a frozen reference stays, so that the creeping is found; one that learns has followed it.
#[test]
fn a_pinned_baseline_does_not_creep() {
    for is_frozen in [true, false] {
        let (mut agent, _) = known_agent();
        let learned = Learned::of(&executions(1_000.0, 0.0, 60));
        let pinned = Arc::new(Profile {
            is_frozen,
            ..set(Origin::Pinned, 3_600.0, &learned)
        });
        agent.follow(&pinned);
        let mut was_accused = false;
        for day in 0..60 {
            let level = 1_000.0 * 1.015_f64.powi(day);
            // Judged by evidence alone: the specified rule's profile is not what is asked here.
            for vitals in &executions(level, 4_000.0 + 1_000.0 * f64::from(day), 12) {
                agent.observe(vitals, Some(&pinned));
                was_accused |= agent.is_infected_by_evidence();
            }
        }
        assert_eq!(was_accused, is_frozen);
    }
}

/// Scenario: a learned agent falls ill, is healed, and works as before; then it falls ill again in the same way.
/// Guarantees: after the healing it is judged against what was known to be good, not against its illness: at rest when
/// well, accused when ill.
#[test]
fn after_a_healing_the_known_good_returns() {
    let (mut agent, profile) = known_agent();
    let ill = |from: f64| executions(2_500.0, from, 20);
    runs(&mut agent, &profile, &ill(3_600.0));
    assert!(agent.is_infected());
    agent.closed(CaseId::new("c1"), at(5_000.0));
    assert!(!agent.is_infected());
    let reasons = runs(&mut agent, &profile, &executions(1_000.0, 5_060.0, 30));
    assert!(
        reasons.iter().all(|reason| *reason == Reason::Healthy),
        "{reasons:?}"
    );
    runs(&mut agent, &profile, &ill(8_000.0));
    assert!(agent.is_infected(), "{:?}", agent.evidence());
}

/// Scenario: latency rises and stays for forty executions, which makes it the detector's provisional level.
/// Guarantees: none of them may teach, also when the alarm has ended because the level stays.
#[test]
fn a_lasting_level_teaches_nobody() {
    let (mut agent, mut profile) = known_agent();
    // A wide profile: the specified rule has nothing to say here.
    Arc::make_mut(&mut profile).moments[0].stddev = 1_000.0;
    let reasons = runs(&mut agent, &profile, &executions(2_500.0, 3_600.0, 60));
    let first = reasons
        .iter()
        .position(|reason| *reason == Reason::Infected)
        .expect("an alarm");
    assert!(
        reasons[first..].iter().all(|reason| reason.shows_sickness()),
        "{reasons:?}"
    );
    assert!(reasons.contains(&Reason::OtherLevel), "{reasons:?}");
}
