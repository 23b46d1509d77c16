//! The healing actions.

use crate::world::{NAMESPACE, World, config, deployment, done, ended, template};
use immune_domain::healing::Action;
use immune_levers::Outcome;
use immune_levers_kubernetes::Config;
use serde_json::{Value, json};

fn image(world: &World, name: &str) -> Value {
    world.deployment(name)["spec"]["template"]["spec"]["containers"][0]["image"].clone()
}

fn uids(world: &World) -> Vec<Value> {
    world
        .pods()
        .iter()
        .map(|pod| pod["metadata"]["uid"].clone())
        .collect()
}

/// Scenario: the memory of an agent with three pods is reset, and again with the same order.
/// Guarantees: every pod is another one, once.
#[tokio::test]
async fn every_pod_is_replaced_once() {
    let world = World::start().await;
    let mut agent = deployment("research");
    agent["spec"]["replicas"] = json!(3);
    world.server.put(agent);
    let before = uids(&world);
    let words = done(world.heal("research", Action::ResetMemory, "one").await);
    assert!(words.contains("3 pods were replaced"), "{words}");
    let after = uids(&world);
    assert!(after.len() == 3 && after.iter().all(|uid| !before.contains(uid)));
    done(world.heal("research", Action::ResetMemory, "one").await);
    assert_eq!(uids(&world), after);
}

/// Scenario: a Deployment's image was changed twice; the prompt is rolled back, twice with the same order, then with
/// another one.
/// Guarantees: the revision before runs; a repetition does not go further back; there is nothing to go back to where
/// there was one revision.
#[tokio::test]
async fn a_deployment_goes_back_one_revision() {
    let world = World::start().await;
    world.deploy("research");
    let words = ended(
        world.heal("research", Action::RollbackPrompt, "early").await,
        Outcome::Unsupported,
    );
    assert!(words.contains("no revision before"), "{words}");
    for version in ["v2", "v3"] {
        world
            .server
            .change("Deployment", NAMESPACE, "research", |object| {
                object["spec"]["template"] = template("research", version);
            });
    }
    for _ in 0..2 {
        done(world.heal("research", Action::RollbackPrompt, "one").await);
        assert_eq!(image(&world, "research"), "agent:v2");
    }
    let pods = world.pods();
    assert_eq!(pods.len(), 1);
    assert_eq!(pods[0]["spec"]["containers"][0]["image"], "agent:v2");
    let labels = &world.deployment("research")["spec"]["template"]["metadata"]["labels"];
    assert_eq!(
        *labels,
        json!({ "app": "research" }),
        "no label of a ReplicaSet is left in the template"
    );
}

/// Scenario: a StatefulSet with two revisions.
/// Guarantees: the template of the earlier ControllerRevision runs.
#[tokio::test]
async fn a_stateful_set_goes_back_one_revision() {
    let world = World::start().await;
    let mut set = deployment("research");
    set["kind"] = json!("StatefulSet");
    world.server.put(set);
    world
        .server
        .change("StatefulSet", NAMESPACE, "research", |object| {
            object["spec"]["template"] = template("research", "v2");
        });
    done(world.heal("research", Action::RollbackPrompt, "one").await);
    let set = world.server.get("StatefulSet", NAMESPACE, "research").unwrap();
    assert_eq!(
        set["spec"]["template"]["spec"]["containers"][0]["image"],
        "agent:v1"
    );
}

fn with_prompts(world: &World) {
    let mut agent = deployment("research");
    agent["metadata"]["annotations"] = json!({
        "immune.io/prompt": "configmap/prompts/current",
        "immune.io/prompt-previous": "configmap/prompts/previous",
        "immune.io/reduced-autonomy": "configmap/prompts/max-steps=3",
    });
    world.server.put(agent);
    world.server.put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "prompts", "namespace": NAMESPACE },
        "data": { "current": "be odd", "previous": "be kind", "max-steps": "30", "other": "kept" },
    }));
}

/// Scenario: the prompt and the autonomy are keys of a ConfigMap that the workload names.
/// Guarantees: the key has the value before, the pods are others, the value that was there is kept beside; repeated,
/// nothing more happens; a new order for what is so already fails and says so.
#[tokio::test]
async fn a_prompt_in_a_config_map_goes_back() {
    let world = World::start().await;
    with_prompts(&world);
    let before = uids(&world);
    for _ in 0..2 {
        done(world.heal("research", Action::RollbackPrompt, "one").await);
    }
    let map = || world.server.get("ConfigMap", NAMESPACE, "prompts").unwrap();
    assert_eq!(
        map()["data"],
        json!({ "current": "be kind", "previous": "be kind", "max-steps": "30", "other": "kept" })
    );
    assert_eq!(
        map()["metadata"]["annotations"]["immune.io/value-before"],
        r#"{"current":"be odd"}"#
    );
    let after = uids(&world);
    assert!(after.len() == 1 && after != before);
    let words = ended(
        world.heal("research", Action::RollbackPrompt, "two").await,
        Outcome::Failed,
    );
    assert!(words.contains("says so already"), "{words}");
    done(world.heal("research", Action::ReduceAutonomy, "three").await);
    assert_eq!(map()["data"]["max-steps"], "3");
}

/// Scenario: the autonomy is an environment variable.
/// Guarantees: it has the reduced value in new pods, others are untouched, the value before is kept.
#[tokio::test]
async fn autonomy_in_a_variable_is_reduced() {
    let world = World::start().await;
    let mut agent = deployment("research");
    agent["metadata"]["annotations"] = json!({ "immune.io/reduced-autonomy": "env/agent/AUTONOMY=low" });
    world.server.put(agent);
    for _ in 0..2 {
        done(world.heal("research", Action::ReduceAutonomy, "one").await);
    }
    let env = &world.pods()[0]["spec"]["containers"][0]["env"];
    assert_eq!(
        *env,
        json!([{ "name": "AUTONOMY", "value": "low" }, { "name": "OTHER", "value": "kept" }])
    );
    let annotations = &world.deployment("research")["metadata"]["annotations"];
    assert_eq!(
        annotations["immune.io/value-before"],
        r#"{"agent/AUTONOMY":"high"}"#
    );
}

/// Scenario: what people wrote for us is missing, wrong, or names what is not there; actions that Kubernetes has not.
/// Guarantees: unsupported, with words that say what it takes; nothing is touched.
#[tokio::test]
async fn what_is_not_said_is_not_done() {
    let world = World::start().await;
    let cases = [
        (
            Action::ReduceAutonomy,
            json!({}),
            "no annotation immune.io/reduced-autonomy",
        ),
        (
            Action::ReduceAutonomy,
            json!({ "immune.io/reduced-autonomy": "env/agent/AUTONOMY" }),
            "without =VALUE",
        ),
        (
            Action::ReduceAutonomy,
            json!({ "immune.io/reduced-autonomy": "secret/a/b=c" }),
            "it takes configmap/NAME/KEY",
        ),
        (
            Action::ReduceAutonomy,
            json!({ "immune.io/reduced-autonomy": "env/agent/NONE=c" }),
            "there is no env/agent/NONE",
        ),
        (
            Action::ReduceAutonomy,
            json!({ "immune.io/reduced-autonomy": "configmap/none/k=c" }),
            "no ConfigMap agents/none",
        ),
        (
            Action::RollbackPrompt,
            json!({ "immune.io/prompt": "configmap/a/b" }),
            "it takes both",
        ),
        (
            Action::RevokeTools,
            json!({}),
            "knows nothing that would be revoke_tools",
        ),
        (
            Action::ResetAgent,
            json!({}),
            "knows nothing that would be reset_agent",
        ),
    ];
    for (n, (action, annotations, expected)) in cases.into_iter().enumerate() {
        let mut agent = deployment("research");
        agent["metadata"]["annotations"] = annotations;
        let before = world.server.put(agent)["spec"].clone();
        let words = ended(
            world.heal("research", action, &n.to_string()).await,
            Outcome::Unsupported,
        );
        assert!(words.contains(expected), "{words}");
        assert_eq!(world.deployment("research")["spec"], before);
    }
}

/// Scenario: a Deployment that a kagent Agent writes, annotated there.
/// Guarantees: the Agent's annotations count; its template is left alone, for the Agent's controller would take a
/// change back; its pods can be replaced.
#[tokio::test]
async fn a_workload_of_kagent_is_healed_around_its_controller() {
    let world = World::start_with(Config {
        kagent: true,
        ..config()
    })
    .await;
    world.server.register(immune_test_kubernetes::Kind::custom(
        "kagent.dev",
        "v1alpha2",
        "agents",
        "Agent",
    ));
    with_prompts(&world);
    let annotations = world.deployment("research")["metadata"]["annotations"].clone();
    world.server.put(json!({
        "apiVersion": "kagent.dev/v1alpha2", "kind": "Agent",
        "metadata": { "name": "helper", "namespace": NAMESPACE, "annotations": annotations }, "spec": {},
    }));
    world.server.change("Deployment", NAMESPACE, "research", |object| {
        object["metadata"]["annotations"] = json!({});
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "kagent.dev/v1alpha2", "kind": "Agent", "name": "helper", "uid": "u", "controller": true,
        }]);
    });
    done(world.heal("research", Action::RollbackPrompt, "one").await);
    assert_eq!(
        world.server.get("ConfigMap", NAMESPACE, "prompts").unwrap()["data"]["current"],
        "be kind"
    );
    done(world.heal("research", Action::ResetMemory, "two").await);
    world.server.change("Agent", NAMESPACE, "helper", |agent| {
        agent["metadata"]["annotations"] = json!({})
    });
    let words = ended(
        world.heal("research", Action::RollbackPrompt, "three").await,
        Outcome::Unsupported,
    );
    assert!(words.contains("is written by Agent helper"), "{words}");
}

/// Scenario: an agent-sandbox Sandbox is contained with `scale_to_zero` and let go.
/// Guarantees: it is suspended and runs again; its pods are known by the selector that its controller tells.
#[tokio::test]
async fn a_sandbox_is_suspended() {
    let world = World::start_with(Config {
        sandboxes: true,
        scale_to_zero: true,
        ..config()
    })
    .await;
    world.server.register(immune_test_kubernetes::Kind::custom(
        "agents.x-k8s.io",
        "v1beta1",
        "sandboxes",
        "Sandbox",
    ));
    world.server.set_controllers(false);
    world.server.put(json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": { "name": "coder", "namespace": NAMESPACE, "labels": { "immune.io/agent-id": "coder" } },
        "spec": { "podTemplate": { "spec": { "containers": [{ "name": "agent", "image": "agent:v1" }] } } },
    }));
    let words = ended(world.contain("coder").await, Outcome::Unknown);
    assert!(words.contains("does not say yet which pods it has"), "{words}");
    world.server.set_controllers(true);
    let selector = world.server.get("Sandbox", NAMESPACE, "coder").unwrap()["status"]["selector"].clone();
    let (key, value) = selector.as_str().unwrap().split_once('=').unwrap();
    assert_eq!(world.pods().len(), 1);
    done(world.contain("coder").await);
    let sandbox = || world.server.get("Sandbox", NAMESPACE, "coder").unwrap();
    assert_eq!(
        (sandbox()["spec"]["operatingMode"].clone(), world.pods().len()),
        (json!("Suspended"), 0)
    );
    assert_eq!(
        world.policies()[0]["spec"]["podSelector"]["matchLabels"],
        json!({ key: value })
    );
    done(world.free("coder").await);
    assert_eq!(
        (sandbox()["spec"]["operatingMode"].clone(), world.pods().len()),
        (json!("Running"), 1)
    );
}
