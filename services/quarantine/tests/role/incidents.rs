//! Fleet incidents: what is recorded, and who is released.

use crate::harness::{World, code_of};
use immune_domain::Timestamp;
use immune_domain::fleet::{Incident, Shared, Sign};
use immune_proto::v1;
use immune_proto::v1::Decision;
use immune_runtime::clock::Clock;
use std::time::Duration;
use tonic::Code;

fn incident(opened_at: Timestamp) -> Incident {
    Incident {
        id: "incident-1".to_owned(),
        run: "default".into(),
        what: [Sign::LatencyUp].into_iter().collect(),
        shared: Shared::Model("m".into()),
        departing: 8,
        active: 10,
        opened_at,
        closed_at: None,
        held_back: 5,
    }
}

async fn tell(world: &World, incident: &Incident, agents: &[&str]) -> Vec<String> {
    let request = v1::ReportFleetIncidentRequest {
        incident: Some(incident.into()),
        agent_ids: agents.iter().map(ToString::to_string).collect(),
        look_back_seconds: 30,
    };
    let answer = world.client.clone().report_fleet_incident(request).await;
    let mut released = answer.unwrap().into_inner().released_agent_ids;
    released.sort();
    released
}

async fn count(world: &World, kind: &str) -> usize {
    world.log().await.iter().filter(|logged| *logged == kind).count()
}

/// Scenario: an incident is opened that explains two contained agents and one about which a person has decided; one
/// that it does not name is contained, too. It is told again, and closed, twice.
/// Guarantees: the two are let go, the others stay as they were; each row is written once; another replica that is told
/// the same writes none.
#[tokio::test]
async fn an_incident_lets_its_agents_go_once() {
    let world = World::new().await;
    let (a, b) = (world.contained("a", 8.0).await, world.contained("b", 4.0).await);
    let decided = world.contained("decided", 8.0).await;
    world
        .decide(&decided, Decision::Reject, "dora", "I know it")
        .await
        .unwrap();
    let other = world.contained("other", 8.0).await;
    let mut incident = incident(world.clock.now());
    let named = ["a", "b", "decided", "nobody"];
    assert_eq!(tell(&world, &incident, &named).await, ["a", "b"]);
    for id in [&a, &b] {
        world.until_phase(id, "released").await;
        assert_eq!(world.case(id).await.state.as_str(), "released");
    }
    assert_eq!(world.case(&decided).await.state.as_str(), "rejected");
    assert_eq!(world.case(&decided).await.quarantine.phase.as_str(), "confirmed");
    assert_eq!(world.case(&other).await.quarantine.phase.as_str(), "confirmed");
    assert!(world.admission("a").await.unwrap().allowed);
    assert!(tell(&world, &incident, &named).await.is_empty());
    incident.closed_at = Some(world.clock.now());
    let beside = world.beside("second").await;
    for world in [&world, &beside, &world] {
        assert!(tell(world, &incident, &named).await.is_empty());
    }
    for kind in ["fleet_incident_opened", "fleet_incident_closed"] {
        assert_eq!(count(&world, kind).await, 1, "{kind}");
    }
    assert_eq!(count(&world, "released_for_incident").await, 2);
}

/// Scenario: an agent was contained a minute before the incident; another one after it, whose report was on its way.
/// Guarantees: only the second is let go.
#[tokio::test]
async fn only_what_belongs_to_it_is_released() {
    let world = World::new().await;
    let before = world.contained("before", 8.0).await;
    world.clock.advance(Duration::from_secs(60));
    let incident = incident(world.clock.now());
    assert!(tell(&world, &incident, &["before"]).await.is_empty());
    world.clock.advance(Duration::from_secs(2));
    world.contained("after", 8.0).await;
    assert_eq!(tell(&world, &incident, &["before", "after"]).await, ["after"]);
    assert!(!world.case(&before).await.state.is_closed());
}

/// Guarantees: what is no incident, or names too many agents, is refused.
#[tokio::test]
async fn malformed_incidents_are_refused() {
    let world = World::new().await;
    let good = v1::ReportFleetIncidentRequest {
        incident: Some((&incident(world.clock.now())).into()),
        agent_ids: vec![],
        look_back_seconds: 30,
    };
    let none = v1::ReportFleetIncidentRequest {
        incident: None,
        ..good.clone()
    };
    let many = v1::ReportFleetIncidentRequest {
        agent_ids: (0..101).map(|n| format!("a{n}")).collect(),
        ..good.clone()
    };
    let long = v1::ReportFleetIncidentRequest {
        look_back_seconds: 3_601,
        ..good
    };
    for (request, word) in [(none, "malformed"), (many, "malformed"), (long, "out_of_range")] {
        let answer = world.client.clone().report_fleet_incident(request).await;
        assert_eq!(
            code_of(answer),
            (Code::InvalidArgument, format!("quarantine.{word}"))
        );
    }
}
