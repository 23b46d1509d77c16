use super::*;
use crate::agent::tests::{at, healed, ran, waiting};
use immune_domain::policy::Policy;
use std::sync::Arc;

/// One agent among others that speak every second, and who listens once a second.
struct Scene {
    agent: Agent,
    hearing: Hearing,
    seconds: u32,
    executions: u32,
    /// Executions that make its baseline ready.
    ready_after: u32,
    /// How its telemetry was, whenever that changed, and when.
    told: Vec<(u32, Telemetry)>,
}

impl Scene {
    fn new() -> Self {
        Scene {
            agent: Agent::new(Arc::new(Policy::default())),
            hearing: Hearing::default(),
            seconds: 0,
            executions: 0,
            ready_after: 15,
            told: Vec::new(),
        }
    }

    /// The agent executes.
    fn executes(&mut self) {
        self.executions += 1;
        let now = f64::from(self.seconds);
        let vitals = ran(&format!("e{now}"), now, 900.0);
        self.hearing.heard(vitals.received_at);
        let before = self.agent.telemetry();
        self.agent.hear_from(&vitals, &self.hearing, vitals.received_at);
        self.agent.take(&vitals, None, 0.5, vitals.received_at);
        if before != self.agent.telemetry() {
            self.told.push((self.seconds, self.agent.telemetry()));
        }
    }

    /// Seconds pass, in which others are heard.
    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.seconds += 1;
            self.hearing.heard(at(f64::from(self.seconds)));
            self.look();
        }
    }

    fn look(&mut self) {
        let is_ready = self.executions >= self.ready_after;
        if self.agent.listen(&self.hearing, |_| is_ready) {
            self.told.push((self.seconds, self.agent.telemetry()));
        }
    }

    /// It executes so often, with so many seconds between.
    fn works(&mut self, times: u32, gap: u32) {
        for _ in 0..times {
            self.executes();
            self.pass(gap);
        }
    }
}

/// Scenario: an agent that executes every second stops; comes back after half an hour; stops for good.
/// Guarantees: it is silent after a minute, live at once when it is back, silent after not much longer the next time
/// (the outage has not become its habit), and gone an hour later.
#[test]
fn a_quick_agent_that_stops_is_silent_and_then_gone() {
    let mut scene = Scene::new();
    scene.works(600, 1);
    let last = scene.seconds - 1;
    scene.pass(1_800);
    assert_eq!(scene.told, [(last + 61, Telemetry::Silent)]);
    let back = scene.seconds;
    scene.works(600, 1);
    assert_eq!(scene.told[1..], [(back, Telemetry::Live)]);
    let last = scene.seconds - 1;
    scene.pass(2 * 3_600);
    let [(silent, Telemetry::Silent), (gone, Telemetry::Gone)] = scene.told[2..] else {
        panic!("{:?}", scene.told);
    };
    assert!((last + 61..last + 600).contains(&silent), "{silent} after {last}");
    assert!(
        gone >= silent + 3_600 - 1 && gone <= silent + 3_601,
        "{gone} after {silent}"
    );
}

/// Guarantees: an agent that executes every five minutes is not silent between, and is after ten times that.
#[test]
fn a_slow_agent_is_given_its_time() {
    let mut scene = Scene::new();
    scene.works(20, 300);
    assert_eq!(scene.told, []);
    scene.pass(2_400);
    assert_eq!(scene.told, []);
    scene.pass(400);
    assert!(
        matches!(scene.told[..], [(_, Telemetry::Silent)]),
        "{:?}",
        scene.told
    );
}

/// Scenario: an agent works off twenty tasks in twenty seconds, and rests for ten minutes, again and again.
/// Guarantees: after two rests at most they are known as usual, however short most of its gaps are.
#[test]
fn a_bursty_agent_is_known_by_its_rests() {
    let mut scene = Scene::new();
    for _ in 0..30 {
        scene.works(20, 1);
        scene.pass(600);
    }
    let silences = scene
        .told
        .iter()
        .filter(|(_, telemetry)| *telemetry == Telemetry::Silent);
    let silences: Vec<u32> = silences.map(|(at, _)| *at).collect();
    assert!(
        silences.len() <= 2 && silences.iter().all(|at| *at < 2 * 620),
        "{silences:?}"
    );
}

/// Scenario: an agent that executed every second does so every quarter of an hour from now on.
/// Guarantees: it is silent a few times, and then no more.
#[test]
fn a_new_rhythm_is_learned() {
    let mut scene = Scene::new();
    scene.works(3_600, 1);
    scene.works(20, 900);
    let silences = scene
        .told
        .iter()
        .filter(|(_, telemetry)| *telemetry == Telemetry::Silent);
    assert!((1..=5).contains(&silences.count()), "{:?}", scene.told);
}

/// Guarantees: nothing is said of an agent that is contained, and once it is released it is given time to speak;
/// nothing of one without a baseline, but that it is gone.
#[test]
fn the_contained_and_the_unknown_are_not_missed() {
    let mut scene = Scene::new();
    scene.works(100, 1);
    scene.agent.note_case(&waiting(8.0), 1);
    scene.pass(1_000);
    assert_eq!(scene.told, []);
    let released = scene.seconds;
    scene.agent.note_case(&healed(f64::from(released)), 1);
    scene.pass(100);
    assert_eq!(scene.told, [(released + 61, Telemetry::Silent)]);

    let mut scene = Scene::new();
    scene.ready_after = 1_000;
    scene.works(100, 1);
    scene.pass(3_600);
    assert_eq!(scene.told, []);
    scene.pass(100);
    assert!(
        matches!(scene.told[..], [(_, Telemetry::Gone)]),
        "{:?}",
        scene.told
    );
}

/// Scenario: nothing comes from anybody for an hour; then all others are heard again, and the agent is not.
/// Guarantees: the agent is not silent while the guard is blind, nor the moment it sees again; but a minute later.
#[test]
fn when_all_are_silent_the_guard_is_blind() {
    let mut scene = Scene::new();
    scene.works(100, 1);
    for _ in 0..3_000 {
        scene.seconds += 1;
        scene.look();
    }
    assert_eq!(scene.told, []);
    let again = scene.seconds;
    scene.pass(100);
    assert_eq!(scene.told, [(again + 62, Telemetry::Silent)]);
}

/// Guarantees: three agents that execute every five minutes each are a slow fleet, not one that is blind most of the
/// time: the one that stops is missed.
#[test]
fn a_slow_fleet_is_not_blind() {
    let mut scene = Scene::new();
    for turn in 0..200 {
        scene.seconds += 100;
        if turn % 3 == 0 && turn < 100 {
            scene.executes();
        } else {
            scene.hearing.heard(at(f64::from(scene.seconds)));
        }
        scene.look();
    }
    assert_eq!(
        scene.told,
        [(13_000, Telemetry::Silent), (16_600, Telemetry::Gone)]
    );
}

/// Guarantees: what an agent costs has a bound.
#[test]
fn presence_is_small() {
    assert!(size_of::<Presence>() <= 12, "{} bytes", size_of::<Presence>());
}

/// Scenario: an agent on record executed every second for a minute, was away for an hour, and executed on.
/// Guarantees: that it was away once is no habit: it begins with a patience of minutes.
#[test]
fn an_outage_on_record_is_no_habit() {
    let policy = Silence::default();
    let seconds = (0..30).chain(3_600..3_630);
    let presence = Presence::of(seconds.map(|second| at(f64::from(second))), &policy);
    let patience = policy.patience(presence.rhythm.usual());
    assert!(patience <= Duration::from_secs(600), "{patience:?}");
}
