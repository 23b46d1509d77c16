//! What came of a policy is told in its status.

use crate::world::{World, policy};
use async_trait::async_trait;
use immune_domain::policy::Policies;
use immune_resources::policies::status::{Agents, Writer};
use immune_runtime::clock::System;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// So many agents for every rule.
struct Count(Arc<AtomicU32>);

#[async_trait]
impl Agents for Count {
    async fn per_rule(&self, policies: &Policies) -> Option<Vec<u32>> {
        Some(vec![self.0.load(Ordering::Relaxed); policies.rules.len()])
    }
}

fn status(world: &World, name: &str) -> Value {
    world.server.get("ImmunePolicy", "immune", name).unwrap()["status"].clone()
}

/// Scenario: a policy that holds and one that does not, seen by the process that leads and by one that does not; then
/// the wrong one is mended.
/// Guarantees: each says whether it holds, for how many agents and why not; nothing is written while nothing changes,
/// and nothing by who does not lead.
#[tokio::test]
async fn a_policy_says_what_came_of_it() {
    let world = World::start().await;
    world
        .server
        .put(policy("immune", "good", json!({ "set": { "attemptsMax": 3 } })));
    world.server.put(policy(
        "immune",
        "wrong",
        json!({ "set": { "secondPersonFromSeverity": 5.0 } }),
    ));
    let (leads, agents) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(4)));
    let shutdown = CancellationToken::new();
    let is_leading = {
        let leads = leads.clone();
        move || leads.load(Ordering::Relaxed)
    };
    let writer = Writer {
        client: world.server.client(),
        state: world.state.clone(),
        is_leading: Box::new(is_leading),
        agents: Count(agents.clone()),
        clock: Arc::new(System),
        round: Duration::from_millis(20),
    };
    tokio::spawn(writer.run(shutdown.clone()));
    world
        .until("both are known", |w| w.state.borrow().verdicts.len() == 2)
        .await;
    let writes = |world: &World| world.server.requests().iter().filter(|r| r.is_write()).count();
    assert_eq!(writes(&world), 0, "who does not lead writes nothing");
    leads.store(true, Ordering::Relaxed);
    world
        .until("both say", |w| {
            !status(w, "good").is_null() && !status(w, "wrong").is_null()
        })
        .await;
    let good = status(&world, "good");
    assert_eq!(
        (&good["matchedAgents"], &good["observedGeneration"]),
        (&json!(4), &json!(1))
    );
    assert_eq!(
        (&good["conditions"][0]["type"], &good["conditions"][0]["status"]),
        (&json!("Accepted"), &json!("True"))
    );
    let wrong = status(&world, "wrong");
    assert_eq!(
        (&wrong["matchedAgents"], &wrong["conditions"][0]["status"]),
        (&json!(0), &json!("False"))
    );
    let why = wrong["lastError"].as_str().unwrap();
    assert!(
        why.contains("must not be below severity_requiring_approval"),
        "{why}"
    );
    assert!(
        wrong["conditions"][0]["message"]
            .as_str()
            .unwrap()
            .contains("it holds for nobody")
    );

    // The count changes: one more write for the one that holds, and none besides.
    let before = writes(&world);
    agents.store(5, Ordering::Relaxed);
    world
        .until("the count is new", |w| status(w, "good")["matchedAgents"] == 5)
        .await;
    assert_eq!(writes(&world), before + 1);
    world.server.change("ImmunePolicy", "immune", "wrong", |p| {
        p["spec"]["set"] = json!({ "attemptsMax": 2 })
    });
    world
        .until("it holds", |w| {
            status(w, "wrong")["conditions"][0]["status"] == "True"
        })
        .await;
    assert_eq!(status(&world, "wrong")["lastError"], Value::Null);
    shutdown.cancel();
}

/// One that leads.
fn leads(world: &World) -> CancellationToken {
    let shutdown = CancellationToken::new();
    let writer = Writer {
        client: world.server.client(),
        state: world.state.clone(),
        is_leading: Box::new(|| true),
        agents: Count(Arc::new(AtomicU32::new(1))),
        clock: Arc::new(System),
        round: Duration::from_millis(20),
    };
    tokio::spawn(writer.run(shutdown.clone()));
    shutdown
}

/// Scenario: a policy is deleted and made again as it was, so quickly that no round lies between.
/// Guarantees: the new object gets a status, too.
#[tokio::test]
async fn one_that_takes_the_place_of_another_has_its_own_status() {
    let world = World::start().await;
    let spec = json!({ "set": { "attemptsMax": 3 } });
    world.server.put(policy("immune", "p", spec.clone()));
    let shutdown = leads(&world);
    world.until("it says", |w| !status(w, "p").is_null()).await;
    world.server.delete("ImmunePolicy", "immune", "p");
    world.server.put(policy("immune", "p", spec));
    world
        .until("the new one says", |w| !status(w, "p").is_null())
        .await;
    shutdown.cancel();
}

/// Scenario: another process takes the lead, which has not written yet.
/// Guarantees: what the cluster has already is not written again, so the time of the transition stays.
#[tokio::test]
async fn whoever_leads_next_goes_on() {
    let world = World::start().await;
    world
        .server
        .put(policy("immune", "p", json!({ "set": { "attemptsMax": 3 } })));
    let first = leads(&world);
    let is_known = |w: &World| w.state.borrow().verdicts.iter().any(|v| v.told.is_some());
    world.until("the status came back", is_known).await;
    first.cancel();
    world.server.forget_requests();
    let next = leads(&world);
    world
        .server
        .put(policy("immune", "q", json!({ "set": { "attemptsMax": 2 } })));
    world.until("it writes", |w| !status(w, "q").is_null()).await;
    let requests = world.server.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.is_write()).collect();
    assert!(
        writes.iter().all(|write| write.name.as_deref() == Some("q")),
        "{writes:?}"
    );
    next.cancel();
}
