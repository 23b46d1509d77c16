//! Which workload is the agent's.

use crate::world::{NAMESPACE, World, ask, config, deployment, done, ended};
use immune_domain::AgentKey;
use immune_domain::case::Containment;
use immune_levers::{Answer, Ask, Lever, Order, Outcome};
use immune_levers_kubernetes::Config;
use serde_json::{Value, json};

const CONTAIN: Order = Order::Contain(Containment::Contained);

fn hinted(agent: &str, hint: &[(&str, &str)]) -> Ask {
    let mut ask = ask(agent, CONTAIN, "contain");
    ask.workload = hint
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    ask
}

fn labelled(name: &str, labels: Value, annotations: Value) -> Value {
    let mut object = deployment(name);
    object["metadata"]["labels"] = labels;
    object["metadata"]["annotations"] = annotations;
    object
}

async fn refused(world: &World, ask: &Ask) -> String {
    let words = ended(world.lever.ask(ask).await, Outcome::Failed);
    assert!(world.policies().is_empty(), "nothing was touched");
    words
}

/// Scenario: the label names the agent, while telemetry names another workload.
/// Guarantees: the label is believed.
#[tokio::test]
async fn a_label_wins_over_telemetry() {
    let world = World::start().await;
    world.deploy("research");
    world.deploy("victim");
    let lie = hinted(
        "research",
        &[("namespace.name", NAMESPACE), ("deployment.name", "victim")],
    );
    let words = done(world.lever.ask(&lie).await);
    assert!(words.contains("agents/research"), "{words}");
}

/// Scenario: telemetry of an agent that no label names points at workloads: one not opened to us, one of another
/// agent, one in a namespace that is not allowed, one that is not there.
/// Guarantees: none is touched.
#[tokio::test]
async fn telemetry_opens_nothing() {
    let world = World::start().await;
    world.server.put(labelled("closed", json!({}), json!({})));
    world.server.put(labelled(
        "of-data",
        json!({ "immune.io/agent-id": "data", "immune.io/managed": "true" }),
        json!({}),
    ));
    let mut elsewhere = labelled("elsewhere", json!({ "immune.io/managed": "true" }), json!({}));
    elsewhere["metadata"]["namespace"] = json!("kube-system");
    world.server.put(elsewhere);
    for (namespace, name) in [
        (NAMESPACE, "closed"),
        (NAMESPACE, "of-data"),
        ("kube-system", "elsewhere"),
        (NAMESPACE, "gone"),
    ] {
        let lie = hinted(
            "research",
            &[("namespace.name", namespace), ("deployment.name", name)],
        );
        let words = refused(&world, &lie).await;
        assert!(words.contains("label it immune.io/agent-id=research"), "{words}");
    }
    assert!(world.server.list("NetworkPolicy", "kube-system").is_empty());
    let asked_outside = world
        .server
        .requests()
        .into_iter()
        .any(|r| r.namespace.as_deref() == Some("kube-system"));
    assert!(!asked_outside, "what is outside is not even read");
}

/// Scenario: the workload, or its whole namespace, is opened to us; telemetry names the deployment, or only the pod.
/// Guarantees: it is found.
#[tokio::test]
async fn an_opened_workload_is_found_by_telemetry() {
    let world = World::start().await;
    world.server.put(labelled(
        "research",
        json!({ "immune.io/managed": "true" }),
        json!({}),
    ));
    let contained = async |hint: &[(&str, &str)]| -> Answer { world.lever.ask(&hinted("r", hint)).await };
    done(contained(&[("namespace.name", NAMESPACE), ("deployment.name", "research")]).await);
    let pod = world.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    done(contained(&[("namespace.name", NAMESPACE), ("pod.name", &pod)]).await);
    done(world.free("r").await);

    world
        .server
        .change("Deployment", NAMESPACE, "research", |object| {
            object["metadata"]["labels"] = json!({})
        });
    let hint = [("namespace.name", NAMESPACE), ("pod.name", pod.as_str())];
    refused(&world, &hinted("r", &hint)).await;
    world.server.put(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": { "name": NAMESPACE, "labels": { "immune.io/managed": "true" } },
    }));
    done(contained(&hint).await);
    // Released without any hint: what was made is found by its own marks.
    done(world.free("r").await);
    assert!(world.policies().is_empty());
}

/// Scenario: two workloads carry the same agent's label.
/// Guarantees: none is guessed; the words name both.
#[tokio::test]
async fn two_workloads_of_one_agent_are_refused() {
    let world = World::start().await;
    world.deploy("research");
    world.server.put(labelled(
        "copy",
        json!({ "immune.io/agent-id": "research" }),
        json!({}),
    ));
    let words = refused(&world, &ask("research", CONTAIN, "contain")).await;
    assert!(
        words.contains("agents/research") && words.contains("agents/copy"),
        "{words}"
    );
}

/// Scenario: an agent id that is no label value, in an annotation; runs.
/// Guarantees: the annotation counts where the workload was opened; a workload without a run is of the run `default`.
#[tokio::test]
async fn odd_ids_and_runs_are_found() {
    let world = World::start().await;
    let id = "shop/research agent";
    world.server.put(labelled(
        "odd",
        json!({ "immune.io/managed": "true" }),
        json!({ "immune.io/agent-id": id }),
    ));
    done(world.contain(id).await);
    done(world.free(id).await);
    let plain = json!({ "immune.io/agent-id": "plain" });
    world.server.put(labelled(
        "any",
        json!({ "immune.io/managed": "true" }),
        plain.clone(),
    ));
    done(world.contain("plain").await);
    done(world.free("plain").await);
    world.server.put(labelled("any", json!({}), plain));
    ended(world.contain("plain").await, Outcome::Failed);

    world.deploy("staged");
    let mut of_run = ask("staged", CONTAIN, "contain");
    of_run.key = AgentKey::new("staging", "staged");
    let words = refused(&world, &of_run).await;
    assert!(words.contains("immune.io/run=staging"), "{words}");
    world.server.change("Deployment", NAMESPACE, "staged", |object| {
        object["metadata"]["labels"]["immune.io/run"] = json!("staging");
    });
    done(world.lever.ask(&of_run).await);
}

/// Scenario: a StatefulSet; with all namespaces allowed, a workload anywhere.
/// Guarantees: both are found.
#[tokio::test]
async fn other_kinds_and_places_are_found() {
    let world = World::start().await;
    let mut set = deployment("stateful");
    set["kind"] = json!("StatefulSet");
    world.server.put(set);
    assert!(done(world.contain("stateful").await).contains("StatefulSet agents/stateful"));

    let everywhere = Config {
        all_namespaces: true,
        namespaces: vec![],
        ..config()
    };
    let world = World::start_with(everywhere).await;
    world.server.open_access();
    let mut far = deployment("far");
    far["metadata"]["namespace"] = json!("elsewhere");
    world.server.put(far);
    assert!(done(world.contain("far").await).contains("elsewhere/far"));
}
