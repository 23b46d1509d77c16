//! Fleets in numbers: who is counted, what is named, how long it lasts.

use super::*;
use crate::baseline::Profile;
use crate::detection::guarded::Peak;
use crate::{RunId, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn settings() -> Settings {
    Settings {
        share: 0.30,
        agents_min: 5,
        close_after: Duration::from_secs(30),
    }
}

fn at(second: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(1_000 + second))
}

/// So many agents of a model with a tool, of which so many depart in latency since lately.
#[derive(Clone, Copy)]
struct Part {
    model: &'static str,
    tool: &'static str,
    agents: u32,
    departing: u32,
    lately: bool,
}

fn part(model: &'static str, tool: &'static str, agents: u32, departing: u32) -> Part {
    Part {
        model,
        tool,
        agents,
        departing,
        lately: true,
    }
}

struct World {
    look: Look,
    incidents: Incidents,
    ids: u32,
}

impl World {
    fn new() -> Self {
        World {
            look: Look::default(),
            incidents: Incidents::default(),
            ids: 0,
        }
    }

    fn look(&mut self, second: u64, parts: &[Part]) -> Vec<Change> {
        self.look_at(second, parts, Sign::LatencyUp)
    }

    fn look_at(&mut self, second: u64, parts: &[Part], sign: Sign) -> Vec<Change> {
        self.look.begin(&settings());
        let run = RunId::from("r");
        for part in parts {
            let (model, tools) = (Arc::from(part.model), [Arc::from(part.tool)]);
            for agent in 0..part.agents {
                let departing: Signs = (agent < part.departing).then_some(sign).into_iter().collect();
                let lately = if part.lately { departing } else { Signs::NONE };
                let member = Member {
                    model: Some(&model),
                    tools: &tools,
                    departing,
                    lately,
                };
                self.look.count(&run, &member);
            }
        }
        let ids = &mut self.ids;
        self.incidents.follow(&self.look, &settings(), at(second), || {
            *ids += 1;
            format!("incident-{ids}")
        })
    }

    fn the_only(&self) -> &Incident {
        let mut open = self.incidents.open();
        assert_eq!(open.len(), 1);
        open.next().unwrap()
    }

    /// What the open incidents say that is shared.
    fn open(&self) -> Vec<Shared> {
        self.incidents.open().map(|i| i.shared.clone()).collect()
    }
}

/// Guarantees: 30 % of the active agents open an incident, fewer do not, and fewer than five agents never do.
#[test]
fn the_share_has_a_boundary() {
    for (agents, departing, opens) in [
        (20, 6, true),
        (20, 5, false),
        (10, 5, true),
        (12, 4, false),
        (4, 4, false),
    ] {
        let mut world = World::new();
        let changes = world.look(0, &[part("m", "t", agents, departing)]);
        assert_eq!(!changes.is_empty(), opens, "{departing} of {agents}");
        if opens {
            let incident = world.the_only();
            assert_eq!((incident.departing, incident.active), (departing, agents));
            assert_eq!(
                (&incident.shared, incident.diagnosis().as_str()),
                (&Shared::Run, "external_cause")
            );
        }
    }
}

/// Guarantees: the narrowest group that explains it is named, a model, a tool, or no more than the run.
#[test]
fn what_they_share_is_named() {
    let of_a_model = [part("slow", "search", 8, 7), part("other", "search", 30, 1)];
    let of_a_tool = [
        part("a", "search", 8, 7),
        part("b", "search", 8, 6),
        part("b", "mail", 30, 0),
    ];
    let everywhere = [part("a", "search", 10, 6), part("b", "mail", 10, 6)];
    for (parts, wanted) in [
        (&of_a_model[..], Shared::Model("slow".into())),
        (&of_a_tool, Shared::Tool("search".into())),
        (&everywhere, Shared::Run),
    ] {
        let mut world = World::new();
        world.look(0, parts);
        assert_eq!(world.open(), [wanted]);
    }
    let mut world = World::new();
    world.look(0, &of_a_model);
    let told = world.the_only().told();
    assert_eq!(told, "7 of 8 agents of model slow depart in latency (up): 88 %");
}

/// Scenario: an incident is open, its share falls under the setting, rises again, then stays under half of it.
/// Guarantees: one incident, which closes once it was rare for thirty seconds, and not before.
#[test]
fn it_closes_when_it_was_rare_for_long_enough() {
    let mut world = World::new();
    let departing = |n| [part("m", "t", 20, n)];
    assert!(matches!(&world.look(0, &departing(8))[..], [Change::Opened(_)]));
    for (second, n) in [(10, 4), (50, 3), (90, 2), (119, 2), (120, 3), (130, 0), (159, 0)] {
        assert!(world.look(second, &departing(n)).is_empty(), "second {second}");
        assert_eq!(world.open().len(), 1);
    }
    let changes = world.look(160, &departing(0));
    let [Change::Closed(closed)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(
        (closed.id.as_str(), closed.closed_at),
        ("incident-1", Some(at(160)))
    );
    assert!(world.open().is_empty());
}

/// Scenario: one agent of a few, and then many that fell ill one after the other long ago.
/// Guarantees: neither is an incident; agents that nobody looks at any more end one.
#[test]
fn one_agent_or_old_news_is_no_incident() {
    let mut world = World::new();
    assert!(world.look(0, &[part("m", "t", 1, 1)]).is_empty());
    assert!(world.look(1, &[part("m", "t", 3, 3)]).is_empty());
    let old = Part {
        lately: false,
        ..part("m", "t", 20, 20)
    };
    assert!(world.look(2, &[old]).is_empty());
    world.look(3, &[part("m", "t", 20, 20)]);
    assert_eq!(world.open(), [Shared::Run]);
    // Old news goes on; no agents end it.
    assert!(world.look(300, &[old]).is_empty());
    world.look(301, &[]);
    assert!(matches!(&world.look(331, &[])[..], [Change::Closed(_)]));
}

/// Scenario: a model's agents get slow, then fail, then the agents of every other model get slow, too.
/// Guarantees: a second way joins the incident; the run's incident takes the place of the model's.
#[test]
fn an_incident_grows() {
    let mut world = World::new();
    let of_a_model = [part("slow", "a", 8, 8), part("other", "b", 30, 0)];
    world.look(0, &of_a_model);
    assert!(world.look_at(1, &of_a_model, Sign::Failures).is_empty());
    let what = world.the_only().what;
    assert_eq!(what.to_string(), "latency (up), failures");
    let changes = world.look(2, &[part("slow", "a", 8, 8), part("other", "b", 30, 20)]);
    let [Change::Opened(opened), Change::Closed(closed)] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!((&opened.shared, closed.shared.kind()), (&Shared::Run, "model"));
    // Those of the model depart in latency, which the run's incident explains.
    let covered = world.incidents.covered(&"r".into(), None, &[]);
    assert!(covered.has(Sign::LatencyUp) && !covered.has(Sign::Failures));
    assert!(world.incidents.covered(&"other".into(), None, &[]).is_empty());
}

/// Guarantees: an incident explains an agent that departs in its way, unless the agent would be sick for another
/// reason alone; that reason may be weak.
#[test]
fn other_departures_are_not_explained() {
    let evidence = |latency: f32, tools: f32, counted: f32| Evidence {
        peaks: [latency, 0.0, tools].map(|z| Peak { z, size: 1.0 }),
        counted,
        shares: [0.6, 0.0],
        ..Evidence::default()
    };
    let latency: Signs = [Sign::LatencyUp].into_iter().collect();
    let explained = |evidence| Departures::of_evidence(&evidence).is_explained_by(latency);
    assert!(explained(evidence(6.0, 0.0, 0.0)));
    assert!(explained(evidence(6.0, 3.5, 0.0)), "weak");
    assert!(!explained(evidence(6.0, 5.0, 0.0)), "tool calls alone would be");
    assert!(!explained(evidence(6.0, 0.0, 5.0)), "failures alone would be");
    assert!(!explained(evidence(-6.0, 0.0, 0.0)), "the other direction");
    assert!(!explained(evidence(0.5, 0.0, 0.0)), "nothing to explain");
    let back = Departures::of_evidence(&evidence(-6.0, 0.0, 0.0));
    assert!(back.is_explained_by(latency.both_ways()), "the way back");
}

/// Guarantees: the specified rule's anomalies have the direction in which the average lies from the mean.
#[test]
fn the_specified_rule_has_directions() {
    let moments = serde_json::json!({ "count": 20, "mean": 100.0, "stddev": 10.0 });
    let profile = serde_json::json!({
        "key": { "run": "r", "agent": "a" }, "version": 1, "state": "active", "sample_count": 20,
        "moments": [moments, moments, moments], "updated_at": 0,
    });
    let profile: Profile = serde_json::from_value(profile).unwrap();
    let judgement = Judgement {
        anomalous: [true, true, false],
        high_retry_rate: true,
        ..Judgement::default()
    };
    let recent = Recent {
        averages: [Some(200.0), Some(10.0), Some(500.0)],
        ..Recent::default()
    };
    let departures = Departures::of_judgement(&judgement, &recent, &profile);
    let wanted: Signs = [Sign::LatencyUp, Sign::TokensDown, Sign::Retries]
        .into_iter()
        .collect();
    assert_eq!((departures.signs, departures.alone), (wanted, wanted));
}

/// Scenario: 4,000 seconds of 50 healthy agents, each of which departs now and then by itself, one second in a hundred.
/// Guarantees: no incident.
#[test]
fn healthy_noise_is_no_incident() {
    let mut seed: u64 = 0x5eed_0f1e;
    println!("seed {seed:#x}");
    let mut world = World::new();
    for second in 0..4_000 {
        let mut departing = 0;
        for _ in 0..50 {
            // xorshift64, so that the test is the same everywhere.
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            departing += u32::from(seed.is_multiple_of(100));
        }
        assert!(
            world.look(second, &[part("m", "t", 50, departing)]).is_empty(),
            "second {second}"
        );
    }
}

proptest! {
    /// Guarantees: an incident has the share and the number of agents that the settings ask for, in what it names; the
    /// run is named only where its share is over the setting.
    #[test]
    fn no_incident_without_the_share(parts in prop::collection::vec((0usize..4, 0usize..4, 1u32..40, 0u32..40), 1..8)) {
        const NAMES: [&str; 4] = ["a", "b", "c", "d"];
        let parts: Vec<Part> = parts
            .into_iter()
            .map(|(model, tool, agents, departing)| part(NAMES[model], NAMES[tool], agents, departing.min(agents)))
            .collect();
        let mut world = World::new();
        world.look(0, &parts);
        for incident in world.incidents.open() {
            prop_assert!(incident.departing >= 5 && incident.share() >= 0.30);
        }
        let (departing, agents) = parts.iter().fold((0, 0), |(d, n), p| (d + p.departing, n + p.agents));
        if departing >= 5 && f64::from(departing) >= 0.30 * f64::from(agents) {
            prop_assert!(!world.open().is_empty(), "{departing} of {agents}");
        }
    }
}
