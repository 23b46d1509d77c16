//! A run of agents whose times the test says: who is reported when.

use super::*;
use crate::agent::tests::ran;
use crate::directory::{Census, Directory};
use crate::report::{Draft, Reporting};
use crate::standing::Standing;
use immune_bus::Partition;
use immune_domain::fleet::Shared;
use immune_domain::policy::{Detector, LivePolicies, Policies, Policy};
use std::time::Duration;

const AGENTS: usize = 12;

struct Run {
    directory: Directory,
    executions: usize,
}

impl Run {
    /// Twelve agents that execute a second each, known by thirty executions; the guarded detector decides.
    fn known() -> Self {
        let policies = Policies {
            defaults: Policy {
                detector: Detector::Guarded,
                ..Policy::default()
            },
            ..Policies::default()
        };
        let standing = Arc::new(Standing::new());
        let directory = Directory::new(
            LivePolicies::new(policies),
            1_000,
            0.5,
            Metrics::default(),
            standing,
        );
        directory.gain(Partition::WHOLE);
        let mut run = Run {
            directory,
            executions: 0,
        };
        for second in 0..30 {
            let drafts = run.second(second, |_, _| 1.0);
            assert!(drafts.is_empty(), "{drafts:?}");
        }
        run
    }

    /// A second passes: every agent executes, so many times slower than usual, and is looked at.
    fn second(&mut self, second: u64, slower: impl Fn(usize, u64) -> f64) -> Vec<Draft> {
        let mut drafts = Vec::new();
        for agent in 0..AGENTS {
            let now = at(second).plus(Duration::from_millis(10 * agent as u64));
            drafts.extend(self.execute(agent, now, slower(agent, second)));
        }
        drafts.extend(self.tick(at(second).plus(Duration::from_millis(500))));
        drafts
    }

    fn execute(&mut self, agent: usize, now: Timestamp, slower: f64) -> Option<Draft> {
        self.executions += 1;
        // About a tenth of spread, the same in every run.
        let noise = 1.0 + 0.1 * (((self.executions * 7_919) % 21) as f64 / 10.0 - 1.0);
        let mut vitals = ran(&self.executions.to_string(), 0.0, 1_000.0 * noise * slower);
        vitals.key = key(agent);
        (vitals.started_at, vitals.timestamp, vitals.received_at) = (now, now, now);
        vitals.context.model = Some(if agent < 6 { "one" } else { "other" }.to_owned());
        self.directory.take(&vitals, true, now).draft
    }

    fn tick(&self, now: Timestamp) -> Vec<Draft> {
        let directory = &self.directory;
        directory.fleet().begin_look();
        let mut census = Census::default();
        let drafts = (0..directory.shards())
            .flat_map(|shard| directory.tick(shard, now, &mut census))
            .collect();
        directory.fleet().end_look(now, || "incident".to_owned());
        drafts
    }

    /// Quarantine accepts these reports.
    fn accept(&self, drafts: &[Draft]) {
        for draft in drafts {
            let case = CaseId::new(format!("case of {}", draft.key.agent));
            self.directory.accepted(&draft.key, case, draft.severity, false);
        }
    }

    fn open(&self) -> Vec<Incident> {
        self.directory.fleet().open()
    }
}

fn key(agent: usize) -> AgentKey {
    AgentKey::new("r", format!("agent-{agent}"))
}

fn at(second: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).plus(Duration::from_secs(second))
}

/// Scenario: one agent of twelve gets four times slower.
/// Guarantees: it is reported with the execution that shows it, at once, and no incident is opened.
#[test]
fn one_sick_agent_is_reported_at_once() {
    let mut run = Run::known();
    for second in 30.. {
        assert!(second < 40, "it is never reported");
        let drafts = run.second(second, |agent, _| if agent == 3 { 4.0 } else { 1.0 });
        let infected = run
            .directory
            .look(&key(3), |agent, _| agent.unwrap().is_infected());
        assert_eq!(drafts.len(), usize::from(infected), "second {second}");
        if infected {
            assert_eq!(drafts[0].key, key(3));
            break;
        }
    }
    assert!(run.open().is_empty());
}

/// Scenario: all agents get four times slower at once, stay so for a minute, and come back; half a minute later one of
/// them gets slow again.
/// Guarantees: at most the first two are reported before the check has looked, and nobody afterwards; one incident of
/// the run, which counts whom it held back and names those with a case first; nobody is accused after it of what was
/// during it, and it closes; the one that is sick afterwards is reported.
#[test]
fn many_at_once_are_one_incident() {
    let mut run = Run::known();
    let slow = |_: usize, second: u64| if (30..90).contains(&second) { 4.0 } else { 1.0 };
    let mut early = Vec::new();
    for second in 30..150 {
        let drafts = run.second(second, slow);
        let is_early = run.open().is_empty() || second < 33;
        assert!(
            drafts.is_empty() || is_early,
            "second {second}: {:?}",
            drafts[0].key
        );
        run.accept(&drafts);
        early.extend(drafts);
        if second == 50 {
            let [incident] = &run.open()[..] else {
                panic!("one incident")
            };
            assert_eq!(
                (&incident.shared, incident.departing, incident.active),
                (&Shared::Run, 12, 12)
            );
            assert_eq!(incident.held_back as usize + early.len(), AGENTS);
            let explained = run.directory.explained(incident, 100);
            assert_eq!(
                (explained.cases.len(), explained.others.len()),
                (early.len(), AGENTS - early.len())
            );
            let asked = run
                .directory
                .fleet()
                .not_asked(&incident.id, explained.cases.clone());
            assert_eq!(asked.len(), early.len());
            assert!(
                run.directory
                    .fleet()
                    .not_asked(&incident.id, explained.cases)
                    .is_empty(),
                "each once"
            );
        }
    }
    assert!(early.len() <= 2, "{} were reported", early.len());
    assert!(run.open().is_empty());
    let closed = &run.directory.fleet().list(&"r".into())[0];
    assert!(
        closed
            .closed_at
            .is_some_and(|closed| closed > at(119) && closed < at(140)),
        "{closed:?}"
    );
    let is_free = |agent: &usize| early.iter().all(|draft| draft.key != key(*agent));
    let again = (0..AGENTS).find(is_free).unwrap();
    let mut reported = Vec::new();
    for second in 150..165 {
        reported.extend(run.second(second, |agent, _| if agent == again { 4.0 } else { 1.0 }));
    }
    let keys: Vec<_> = reported.iter().map(|draft| draft.key.clone()).collect();
    assert_eq!(keys, [key(again)]);
}

/// Scenario: the agents of one model get slow at once; while that is an incident, an agent of it is called infected by
/// its platform, and one of the other model gets slow by itself.
/// Guarantees: the incident names the model; both are reported at once.
#[test]
fn what_it_does_not_explain_is_reported() {
    let mut run = Run::known();
    let of_one = |agent: usize, _: u64| if agent < 6 { 4.0 } else { 1.0 };
    for second in 30..40 {
        let drafts = run.second(second, of_one);
        run.accept(&drafts);
    }
    let [incident] = &run.open()[..] else {
        panic!("one incident")
    };
    assert_eq!(incident.shared, Shared::Model("one".into()));
    let held = (0..6)
        .map(key)
        .find(|key| run.directory.look(key, |agent, _| agent.unwrap().case.is_none()));
    let held = held.expect("somebody was held back");
    run.directory.change(&held, |agent, _| {
        agent.hear("quarantine it");
        // As if it had been asked about a second ago.
        agent.reporting = Reporting::Idle;
    });
    let drafts = run.tick(at(40));
    assert_eq!(drafts.iter().map(|draft| &draft.key).collect::<Vec<_>>(), [&held]);
    let mut reported = Vec::new();
    for second in 41..50 {
        reported.extend(run.second(
            second,
            |agent, second| if agent == 9 { 4.0 } else { of_one(agent, second) },
        ));
    }
    assert!(reported.iter().any(|draft| draft.key == key(9)));
    assert_eq!(
        reported.len(),
        1,
        "{:?}",
        reported.iter().map(|draft| &draft.key).collect::<Vec<_>>()
    );
}

/// Scenario: the same with the check switched off.
/// Guarantees: every agent is reported for itself.
#[test]
fn without_the_check_everybody_is_reported() {
    let mut run = Run::known();
    let config = Config {
        enabled: false,
        ..Config::default()
    };
    run.directory = run.directory.with_fleet(config);
    let mut reported = 0;
    for second in 30..45 {
        let drafts = run.second(second, |_, _| 4.0);
        run.accept(&drafts);
        reported += drafts.len();
    }
    assert_eq!(reported, AGENTS);
    assert!(run.open().is_empty());
}
