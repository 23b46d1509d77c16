//! The store of cases is away, or the process was.

use crate::world::{Door, World, config, denial, until};
use immune_domain::policy::LivePolicies;
use immune_proto::v1::Decision;
use immune_store::faults::{Faults, with_faults};
use serde_json::json;
use std::time::Duration;
use tonic::Code;

/// Scenario: an agent is contained, then the store is away for longer than the setting says, then it is back and the
/// agent is released.
/// Guarantees: the agent stays out and others may act all the time; the answer, the state and the gauge say that this is
/// as last known; afterwards the release is followed.
#[tokio::test]
async fn as_last_known_while_the_store_is_away() {
    let world = World::start(json!({})).await;
    let case = world.ward.falls_ill("a").await;
    let faults = Faults::new(1, 0);
    let cases = with_faults(world.stores.clone(), &faults).cases;
    let config = config(json!({ "blind_after_seconds": 2 }));
    let door = Door::start(config, &cases, &world.policies).await;
    door.until("a", false).await;
    faults.set_per_thousand(1_000);
    let mut state = door.state.clone();
    let is_blind = state.wait_for(|state| state.is_blind && state.store_error.is_some());
    tokio::time::timeout(Duration::from_secs(20), is_blind)
        .await
        .unwrap()
        .unwrap();
    let (body, _) = denial(&door.ask("a").await.unwrap());
    let reason = body["detail"].as_str().unwrap();
    assert!(
        reason.contains("as last known: the store of cases has not answered"),
        "{reason}"
    );
    assert!(door.may_act("b").await);
    until("the gauge tells", async || door.metrics.since_current.get() > 2.0).await;

    world.ward.decide(&case, Decision::Release).await;
    assert!(!door.may_act("a").await);
    faults.set_per_thousand(0);
    door.until("a", true).await;
    until("all is well", async || {
        let state = door.state.borrow();
        state.store_error.is_none() && !state.is_blind
    })
    .await;
}

/// Scenario: the check starts while the store is away.
/// Guarantees: it says that it cannot say, which is the gateway's to decide on; where the setting says so it denies or
/// allows; it tells once the store is there.
#[tokio::test]
async fn nothing_is_known_at_the_start() {
    let world = World::start(json!({})).await;
    world.ward.falls_ill("a").await;
    let faults = Faults::new(1, 1_000);
    let cases = with_faults(world.stores.clone(), &faults).cases;
    let begin = async |setting: &str| {
        Door::begin(
            config(json!({ "when_blind": setting })),
            &cases,
            &LivePolicies::default(),
        )
        .await
    };
    let last_known = begin("last_known").await;
    assert_eq!(last_known.ask("a").await.unwrap_err().code(), Code::Unavailable);
    let answer = last_known.ask_plainly("a").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let (deny, allow) = (begin("deny").await, begin("allow").await);
    for agent in ["a", "b"] {
        assert!(!deny.may_act(agent).await);
        assert!(allow.may_act(agent).await);
    }
    faults.set_per_thousand(0);
    for door in [last_known, deny, allow] {
        door.until("a", false).await;
        door.until("b", true).await;
    }
}

/// Scenario: a check with a contained agent is stopped, and another one starts over the same store.
/// Guarantees: the same answers, before anything new happens.
#[tokio::test]
async fn the_same_answers_after_a_restart() {
    let world = World::start(json!({})).await;
    world.ward.falls_ill("a").await;
    world.door.until("a", false).await;
    let before = denial(&world.door.ask("a").await.unwrap());
    let World {
        ward: _ward,
        door,
        stores,
        policies,
    } = world;
    door.stop().await;
    let door = Door::start(config(json!({})), &stores.cases, &policies).await;
    assert_eq!(denial(&door.ask("a").await.unwrap()), before);
    assert!(door.may_act("b").await);
}

/// Scenario: three thousand agents are contained before the check starts, and a third of them released after.
/// Guarantees: all pages are read, and every release is followed.
#[tokio::test]
async fn many_are_read_page_by_page() {
    use immune_domain::case::{self, Command, Context, Person};
    use immune_store::cases::{Alongside, NewEvent};
    let world = World::start(json!({})).await;
    let stores = immune_store::memory::stores();
    let first = world.ward.falls_ill("pattern").await;
    let pattern = world.ward.case(&first).await;
    let policy = Default::default();
    let mut cases = Vec::new();
    for n in 0..3_000 {
        let mut infection = pattern.infection.clone();
        infection.id = format!("i-{n}").into();
        infection.key.agent = format!("agent-{n}").into();
        let (case, _) = case::open(
            format!("c-{n}").into(),
            infection,
            &policy,
            Context::default(),
            pattern.opened_at,
        );
        stores
            .cases
            .open_case(&case, 10_000, &Alongside::default())
            .await
            .unwrap();
        cases.push(case);
    }
    let door = Door::start(config(json!({})), &stores.cases, &world.policies).await;
    until("all are read", async || door.metrics.contained.get() == 3_000).await;
    for case in cases.iter().step_by(3) {
        let by = Person {
            subject: "dora".into(),
            via: "api_key".into(),
        };
        let release = Command::Release {
            by,
            reason: "known".into(),
        };
        let (released, _) = case::decide(case.clone(), release, &policy, case.updated_at).unwrap();
        let event = NewEvent {
            kind: "case_released".into(),
            case: case.id.clone(),
            key: case.key.clone(),
            at: case.updated_at,
            text: "released".into(),
            payload: serde_json::Value::Null,
        };
        let alongside = Alongside {
            events: vec![event],
            ..Alongside::default()
        };
        stores
            .cases
            .save_case(&released, case.version, &alongside)
            .await
            .unwrap();
    }
    until("a third are let go", async || {
        door.metrics.contained.get() == 2_000
    })
    .await;
}
