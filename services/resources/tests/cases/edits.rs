//! What people do to objects with kubectl; namespaces that are gone.

use crate::world::World;
use serde_json::{Value, json};

async fn shown(world: &World, agent: &str) -> String {
    let id = world.contained(agent, 8.0).await;
    world
        .until_shown(&id, "shown", |object| {
            object["status"]["quarantine"] == "confirmed"
        })
        .await;
    id
}

/// Scenario: somebody edits labels, spec and status, deletes the object, and makes one of no case and one of another
/// plane.
/// Guarantees: ours is as it was; the one of no case is removed, the one of another plane is left alone.
#[tokio::test]
async fn edits_are_put_right() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let id = shown(&world, "a").await;
    let right = world.shown(&id);
    let is_right = |object: &Value| {
        object["spec"] == right["spec"]
            && object["status"] == right["status"]
            && object["metadata"]["labels"]["immune.io/state"] == "awaiting_approval"
    };
    let edits: [fn(&mut Value); 5] = [
        |object| object["metadata"]["labels"]["immune.io/state"] = json!("healed"),
        |object| object["spec"]["agent"] = json!("somebody else"),
        |object| {
            object["status"] =
                json!({ "state": "healed", "next": "nothing", "closedAt": "2026-01-01T00:00:00Z" })
        },
        |object| object["status"] = Value::Null,
        |object| object["metadata"]["labels"] = Value::Null,
    ];
    for (n, edit) in edits.into_iter().enumerate() {
        world.server.change("AgentCase", "prod", &id, edit);
        world
            .until_shown(&id, &format!("edit {n} is put right"), is_right)
            .await;
    }
    world.server.delete("AgentCase", "prod", &id);
    world.until_shown(&id, "it is there again", is_right).await;

    let stray = |name: &str, plane: &str| {
        world.server.put(json!({
            "apiVersion": "immune.io/v1alpha1", "kind": "AgentCase",
            "metadata": { "name": name, "namespace": "prod", "labels": { "immune.io/plane": plane } },
            "spec": { "run": "default", "agent": "x", "caseId": "no such case" },
        }))
    };
    stray("of-another-plane", "elsewhere");
    stray("of-nobody", "immune");
    world
        .until("the stray is removed", async || {
            world.shown("of-nobody").is_null()
        })
        .await;
    assert!(!world.shown("of-another-plane").is_null());
}

/// Scenario: a mirror starts with objects left from before: of a case that is gone, of one that was closed long ago, of
/// one that is open and shown wrongly.
/// Guarantees: the first two go, the third is put right.
#[tokio::test]
async fn what_was_left_is_cleaned_up() {
    let world = World::new().await;
    let (open, closed) = {
        let _mirror = world.leading("one").await;
        (shown(&world, "open").await, shown(&world, "closed").await)
    };
    world
        .decide(&closed, immune_proto::v1::Decision::Release, "ada")
        .await;
    world.clock.advance(std::time::Duration::from_secs(7_200));
    world.server.change("AgentCase", "prod", &open, |object| {
        object["status"]["state"] = json!("healed")
    });
    world.server.put(json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "AgentCase", "metadata": { "name": "gone", "namespace": "prod" },
        "spec": { "run": "default", "agent": "x", "caseId": "gone" },
    }));
    let _mirror = world.leading("two").await;
    world
        .until("cleaned up", async || {
            world.shown(&closed).is_null() && world.shown("gone").is_null()
        })
        .await;
    world
        .until_shown(&open, "put right", |object| {
            object["status"]["state"] == "awaiting_approval"
        })
        .await;
}

/// Scenario: agents of a namespace that is gone, of one that is not allowed, of none.
/// Guarantees: their cases are shown in the plane's own.
#[tokio::test]
async fn cases_without_a_namespace_come_home() {
    let world = World::new().await;
    let _mirror = world.leading("one").await;
    let mut ids = Vec::new();
    for (agent, namespace) in [("a", "gone"), ("b", "kube-system"), ("c", "")] {
        ids.push(world.report_in(agent, 8.0, namespace).await);
    }
    for id in &ids {
        world
            .until("shown at home", async || {
                let object = world.server.get("AgentCase", "immune", id).unwrap_or_default();
                object["status"]["state"].is_string()
            })
            .await;
    }
    assert_eq!(world.server.list("AgentCase", "").len(), 3);
}
