//! The rights that the lever has are those that it needs.

use crate::world::{NAMESPACE, World, ask, config, deployment, done, template};
use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Lever, Order};
use immune_levers_kubernetes::Config;
use immune_levers_kubernetes::access::{
    CILIUM_RULES, CLUSTER_RULES, KAGENT_RULES, RULES, Rule, SANDBOX_RULES,
};
use immune_test_kubernetes::{Kind, Permission};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::json;
use std::collections::BTreeSet;

fn permissions<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> BTreeSet<Permission> {
    let each = rules.into_iter().flat_map(|rule| {
        rule.verbs.iter().map(|verb| Permission {
            group: rule.group.to_owned(),
            resource: rule.resource.to_owned(),
            verb: (*verb).to_owned(),
        })
    });
    each.collect()
}

/// Scenario: everything that the lever can do, on every kind of workload.
/// Guarantees: the rights that it used are exactly those that [`immune_levers_kubernetes::access`] lists, which every
/// other test runs with: none is missing, and none is more than it needs.
#[tokio::test]
async fn the_lever_needs_what_it_lists() {
    let all = Config {
        cilium: true,
        sandboxes: true,
        kagent: true,
        scale_to_zero: true,
        ..config()
    };
    let world = World::start_with(all).await;
    world.server.register(Kind::custom(
        "cilium.io",
        "v2",
        "ciliumnetworkpolicies",
        "CiliumNetworkPolicy",
    ));
    world
        .server
        .register(Kind::custom("agents.x-k8s.io", "v1beta1", "sandboxes", "Sandbox"));
    world
        .server
        .register(Kind::custom("kagent.dev", "v1alpha2", "agents", "Agent"));
    for (kind, name) in [("Deployment", "a"), ("StatefulSet", "b"), ("DaemonSet", "c")] {
        let mut object = deployment(name);
        object["kind"] = json!(kind);
        if kind == "DaemonSet" {
            object["spec"].as_object_mut().unwrap().remove("replicas");
        }
        world.server.put(object);
        done(world.contain(name).await);
        done(world.free(name).await);
        world.server.change(kind, NAMESPACE, name, |object| {
            object["spec"]["template"] = template(name, "v2")
        });
        done(world.heal(name, Action::RollbackPrompt, "back").await);
        done(world.heal(name, Action::ResetMemory, "reset").await);
    }
    world.server.put(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "a", "namespace": NAMESPACE },
        "spec": { "selector": { "app": "a" }, "ports": [{ "port": 80 }] },
    }));
    done(world.heal("a", Action::CloneAgent, "clone").await);
    // Pods are labelled where they run on in quarantine.
    done(world.contain("c").await);
    done(world.free("c").await);
    world.server.put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "namespace": NAMESPACE },
        "data": { "steps": "30" },
    }));
    world.server.put(json!({
        "apiVersion": "kagent.dev/v1alpha2", "kind": "Agent",
        "metadata": { "name": "k", "namespace": NAMESPACE, "annotations": {
            "immune.io/reduced-autonomy": "configmap/settings/steps=3",
        } }, "spec": {},
    }));
    let mut owned = deployment("k");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "kagent.dev/v1alpha2", "kind": "Agent", "name": "k", "uid": "u", "controller": true,
    }]);
    world.server.put(owned);
    done(world.heal("k", Action::ReduceAutonomy, "less").await);
    world.server.put(json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": { "name": "s", "namespace": NAMESPACE, "labels": { "immune.io/agent-id": "s" } },
        "spec": { "podTemplate": { "spec": { "containers": [] } } }, "status": { "selector": "app=s" },
    }));
    done(world.contain("s").await);
    done(world.free("s").await);
    // By its pod alone, as telemetry names it.
    let mut hinted = ask("unnamed", Order::Contain(Containment::Contained), "hint");
    let mut bare = deployment("bare");
    bare["metadata"]["labels"] = json!({});
    world.server.put(bare);
    let pod = world
        .pods()
        .into_iter()
        .find(|pod| pod["metadata"]["labels"]["app"] == "bare")
        .unwrap();
    hinted
        .workload
        .insert("namespace.name".to_owned(), NAMESPACE.to_owned());
    hinted.workload.insert(
        "pod.name".to_owned(),
        pod["metadata"]["name"].as_str().unwrap().to_owned(),
    );
    world.lever.ask(&hinted).await;
    // A second event like the first is a patch of it.
    for _ in 0..2 {
        done(world.contain("b").await);
    }
    world.lever.release_everyone().await.unwrap();

    let listed = permissions(
        [RULES, CLUSTER_RULES, CILIUM_RULES, SANDBOX_RULES, KAGENT_RULES]
            .into_iter()
            .flatten(),
    );
    let used = world.server.permissions_used();
    let missing: Vec<_> = used.difference(&listed).collect();
    let idle: Vec<_> = listed.difference(&used).collect();
    assert!(
        missing.is_empty() && idle.is_empty(),
        "not listed: {missing:?}; never used: {idle:?}"
    );
}

/// Guarantees: the chart grants what the lever lists, word for word.
#[test]
fn the_chart_grants_what_the_lever_lists() {
    let files = [
        ("levers", RULES),
        ("levers-cluster", CLUSTER_RULES),
        ("levers-cilium", CILIUM_RULES),
        ("levers-sandbox", SANDBOX_RULES),
        ("levers-kagent", KAGENT_RULES),
    ];
    for (name, rules) in files {
        let path = format!(
            "{}/../../helm/immune/files/rbac/{name}.yaml",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let granted: Vec<PolicyRule> = serde_norway::from_str(&text).unwrap();
        assert_eq!(granted, crate::world::granted(rules), "{name}");
    }
}
