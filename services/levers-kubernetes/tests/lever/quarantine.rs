//! Containing and letting go.

use crate::world::{NAMESPACE, World, config, deployment, done, ended};
use immune_levers::{Lever, Outcome};
use immune_levers_kubernetes::{Config, Peer};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn replicas(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap()
}

/// Scenario: an agent with two pods is contained, its pods are deleted by somebody, and it is let go.
/// Guarantees: the policy cuts all but names and telemetry; pods that the controller makes later are cut as well; no
/// pod is replaced for it; the workload and its pods say so, with the case; after release nothing of it is left.
#[tokio::test]
async fn a_quarantine_cuts_and_leaves_nothing() {
    let telemetry = Peer {
        namespace: "immune".to_owned(),
        pod_labels: BTreeMap::from([("app".to_owned(), "ingestion".to_owned())]),
        ports: vec!["4317/TCP".to_owned()],
    };
    let world = World::start_with(Config {
        telemetry: vec![telemetry],
        ..config()
    })
    .await;
    let mut agent = deployment("research");
    agent["spec"]["replicas"] = json!(2);
    let before = world.server.put(agent);
    let uids = |world: &World| -> Vec<Value> {
        world
            .pods()
            .iter()
            .map(|pod| pod["metadata"]["uid"].clone())
            .collect()
    };
    let first = uids(&world);

    let words = done(world.contain("research").await);
    assert!(
        words.contains("Deployment agents/research") && words.contains("2 pods"),
        "{words}"
    );
    let policies = world.policies();
    assert_eq!(policies.len(), 1);
    let spec = &policies[0]["spec"];
    assert_eq!(
        spec["podSelector"],
        json!({ "matchLabels": { "app": "research" } })
    );
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(spec["ingress"].as_array().map_or(0, Vec::len), 0);
    let open: Vec<(&Value, &Value)> = spec["egress"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (&rule["to"], &rule["ports"]))
        .collect();
    assert_eq!(open.len(), 2, "{open:?}");
    assert_eq!(open[0].0[0]["podSelector"]["matchLabels"]["k8s-app"], "kube-dns");
    assert_eq!(
        open[1].0[0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"],
        "immune"
    );
    assert_eq!(*open[1].1, json!([{ "port": 4317, "protocol": "TCP" }]));
    assert_eq!(uids(&world), first, "no pod was replaced");
    let marked = world.deployment("research");
    assert_eq!(marked["metadata"]["labels"]["immune.io/quarantined"], "true");
    assert_eq!(marked["metadata"]["annotations"]["immune.io/case"], "case-1");
    assert!(
        world
            .pods()
            .iter()
            .all(|pod| pod["metadata"]["labels"]["immune.io/quarantined"] == "true")
    );

    let name = world.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.server.delete("Pod", NAMESPACE, &name);
    let app = |pod: &Value| pod["metadata"]["labels"]["app"] == "research";
    world
        .server
        .until("the pod is made again", |s| s.list("Pod", NAMESPACE).len() == 2)
        .await;
    assert!(
        world.pods().iter().all(app),
        "the selector of the policy chooses the new pod too"
    );

    done(world.free("research").await);
    assert!(world.policies().is_empty());
    let after = world.deployment("research");
    assert_eq!(after["spec"], before["spec"]);
    assert_eq!(after["metadata"]["labels"], before["metadata"]["labels"]);
    assert_eq!(after["metadata"]["annotations"]["immune.io/case"], Value::Null);
    assert!(
        world
            .pods()
            .iter()
            .all(|pod| pod["metadata"]["labels"]["immune.io/quarantined"].is_null())
    );
}

/// Scenario: contained three times, let go three times, and let go without ever having been contained.
/// Guarantees: repeating changes nothing and says the same.
#[tokio::test]
async fn repeating_changes_nothing() {
    let world = World::start().await;
    world.deploy("research");
    let words = done(world.contain("research").await);
    let version = |world: &World| world.deployment("research")["metadata"]["resourceVersion"].clone();
    let (object, policies) = (version(&world), world.policies());
    for _ in 0..2 {
        assert_eq!(done(world.contain("research").await), words);
    }
    assert_eq!((version(&world), world.policies()), (object, policies));
    for _ in 0..3 {
        done(world.free("research").await);
    }
    assert_eq!(
        done(world.free("research").await),
        "nothing contains default/research"
    );
}

/// Scenario: another NetworkPolicy of the namespace lets the agent's pods through; then it is taken away.
/// Guarantees: no receipt is given as long as the pods are not cut off, and the words name the policy and what to do.
#[tokio::test]
async fn a_policy_that_lets_through_is_no_quarantine() {
    let world = World::start().await;
    world.deploy("research");
    let policy = |name: &str, app: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": { "podSelector": { "matchLabels": { "app": app } }, "policyTypes": ["Egress"], "egress": [{}] },
        })
    };
    world.server.put(policy("of-others", "data"));
    world.server.put(policy("allow-llm", "research"));
    let words = ended(world.contain("research").await, Outcome::Failed);
    assert!(
        words.contains("allow-llm in agents lets its pods through"),
        "{words}"
    );
    assert!(
        !words.contains("of-others") && words.contains("scale_to_zero"),
        "{words}"
    );
    world.server.delete("NetworkPolicy", NAMESPACE, "allow-llm");
    done(world.contain("research").await);
}

/// Scenario: with `scale_to_zero`, an agent of three pods beside a policy that lets through is contained, somebody
/// scales it up by hand, it is contained again, and let go.
/// Guarantees: the receipt comes when no pod is left; the original number comes back.
#[tokio::test]
async fn scaling_to_zero_needs_no_policy_and_is_undone() {
    let world = World::start_with(Config {
        scale_to_zero: true,
        ..config()
    })
    .await;
    let mut agent = deployment("research");
    agent["spec"]["replicas"] = json!(3);
    world.server.put(agent);
    world.server.put(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "allow-all", "namespace": NAMESPACE },
        "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}] },
    }));
    let words = done(world.contain("research").await);
    assert!(words.contains("runs no pod"), "{words}");
    assert!(world.pods().is_empty());
    world.server.change("Deployment", NAMESPACE, "research", |agent| {
        agent["spec"]["replicas"] = json!(1)
    });
    done(world.contain("research").await);
    assert_eq!(
        (replicas(&world.deployment("research")), world.pods().len()),
        (0, 0)
    );
    done(world.free("research").await);
    assert_eq!(
        (replicas(&world.deployment("research")), world.pods().len()),
        (3, 3)
    );
    assert_eq!(
        world.deployment("research")["metadata"]["annotations"]["immune.io/before-quarantine"],
        Value::Null
    );
}

/// Scenario: a pod does not end (a finalizer holds it) while the agent is scaled to zero; then it does.
/// Guarantees: what has not come about is not claimed: unknown, with what it waits for; asked again, done.
#[tokio::test]
async fn a_pod_that_does_not_end_is_waited_for() {
    let world = World::start_with(Config {
        scale_to_zero: true,
        ..config()
    })
    .await;
    world.deploy("research");
    let name = world.pods()[0]["metadata"]["name"].as_str().unwrap().to_owned();
    world.server.change("Pod", NAMESPACE, &name, |pod| {
        pod["metadata"]["finalizers"] = json!(["example.com/hold"]);
    });
    let words = ended(world.contain("research").await, Outcome::Unknown);
    assert!(
        words.contains("1 pods of Deployment agents/research still run"),
        "{words}"
    );
    world.server.change("Pod", NAMESPACE, &name, |pod| {
        pod["metadata"]["finalizers"] = json!([])
    });
    world.server.delete("Pod", NAMESPACE, &name);
    done(world.contain("research").await);
}

/// Scenario: a DaemonSet, and a Deployment that another controller writes, with `scale_to_zero`.
/// Guarantees: the network is cut and the receipt says why nothing was scaled.
#[tokio::test]
async fn what_cannot_be_scaled_is_cut_off() {
    let world = World::start_with(Config {
        scale_to_zero: true,
        ..config()
    })
    .await;
    let mut agent = deployment("node");
    agent["kind"] = json!("DaemonSet");
    agent["spec"].as_object_mut().unwrap().remove("replicas");
    world.server.put(agent);
    let words = done(world.contain("node").await);
    assert!(
        words.contains("not scaled to zero: a DaemonSet has no replicas"),
        "{words}"
    );
    let mut agent = deployment("owned");
    agent["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "kagent.dev/v1alpha2", "kind": "Agent", "name": "owned", "uid": "u", "controller": true,
    }]);
    world.server.put(agent);
    let words = done(world.contain("owned").await);
    assert!(
        words.contains("another controller would scale it up again"),
        "{words}"
    );
    assert_eq!(replicas(&world.deployment("owned")), 1);
}

/// Scenario: with `label_template`.
/// Guarantees: new pods come with the label, and without it after release.
#[tokio::test]
async fn the_template_is_labelled_where_asked() {
    let world = World::start_with(Config {
        label_template: true,
        ..config()
    })
    .await;
    let before = world.deploy("research");
    done(world.contain("research").await);
    let label = |world: &World| {
        world.deployment("research")["spec"]["template"]["metadata"]["labels"]["immune.io/quarantined"]
            .clone()
    };
    assert_eq!(label(&world), "true");
    done(world.free("research").await);
    assert_eq!(label(&world), Value::Null);
    assert_eq!(world.deployment("research")["spec"], before["spec"]);
}

/// Scenario: the workload of a contained agent is deleted, then the agent is let go.
/// Guarantees: what contained it goes all the same.
#[tokio::test]
async fn a_workload_that_is_gone_can_be_let_go() {
    let world = World::start().await;
    world.deploy("research");
    done(world.contain("research").await);
    world.server.delete("Deployment", NAMESPACE, "research");
    let words = done(world.free("research").await);
    assert!(words.contains("its workload is gone"), "{words}");
    assert!(world.policies().is_empty());
}

/// Scenario: the platform is asked about an agent before, in and after quarantine.
/// Guarantees: it says what is so, and an event on the workload tells of it.
#[tokio::test]
async fn the_cluster_tells_how_an_agent_stands() {
    let world = World::start().await;
    world.deploy("research");
    let key = immune_domain::AgentKey::new("default", "research");
    assert!(!world.lever.observe(&key).await.unwrap().contained);
    done(world.contain("research").await);
    let observed = world.lever.observe(&key).await.unwrap();
    assert!(
        observed.contained && observed.state.contains("immune-quarantine-"),
        "{observed:?}"
    );
    done(world.free("research").await);
    assert!(!world.lever.observe(&key).await.unwrap().contained);
    let events = world.server.list("Event.events.k8s.io", NAMESPACE);
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["reason"].as_str().unwrap(),
                event["regarding"]["name"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, [("Quarantined", "research"), ("Released", "research")]);
}
