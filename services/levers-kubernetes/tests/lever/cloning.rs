//! A copy takes over.

use crate::world::{NAMESPACE, World, config, deployment, done, ended};
use immune_domain::healing::Action;
use immune_levers::Outcome;
use immune_levers_kubernetes::Config;
use serde_json::{Value, json};

fn copies(world: &World) -> Vec<Value> {
    let all = world.server.list("Deployment", NAMESPACE);
    all.into_iter()
        .filter(|object| object["metadata"]["name"] != "research")
        .collect()
}

fn service(world: &World, name: &str, app: &str) {
    world.server.put(json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": { "selector": { "app": app }, "ports": [{ "port": 80 }] },
    }));
}

/// Scenario: a contained agent behind a Service is cloned, asked twice, and let go.
/// Guarantees: there is one copy, contained until release like the original; the Service finds the copy's pods alone;
/// the original has none and says who replaced it; from then on the copy is the agent's workload.
#[tokio::test]
async fn a_copy_takes_over_and_is_let_go() {
    let world = World::start().await;
    let mut agent = deployment("research");
    agent["spec"]["replicas"] = json!(2);
    world.server.put(agent);
    service(&world, "research", "research");
    service(&world, "other", "data");
    done(world.contain("research").await);
    let first = done(world.heal("research", Action::CloneAgent, "one").await);
    let again = done(world.heal("research", Action::CloneAgent, "one").await);
    assert!(
        first.contains("has taken over from Deployment agents/research") && again.contains("has taken over")
    );

    let copies = copies(&world);
    assert_eq!(copies.len(), 1);
    let (copy, original) = (&copies[0], world.deployment("research"));
    let name = copy["metadata"]["name"].as_str().unwrap();
    let mark = &copy["metadata"]["labels"]["immune.io/clone"];
    assert!(
        name.starts_with("research-") && copy["spec"]["replicas"] == 2,
        "{copy}"
    );
    assert_eq!(
        copy["metadata"]["ownerReferences"][0]["uid"],
        original["metadata"]["uid"]
    );
    assert_eq!(original["spec"]["replicas"], 0);
    assert_eq!(original["metadata"]["annotations"]["immune.io/replaced-by"], name);
    let selector =
        |name: &str| world.server.get("Service", NAMESPACE, name).unwrap()["spec"]["selector"].clone();
    assert_eq!(
        selector("research"),
        json!({ "app": "research", "immune.io/clone": mark })
    );
    assert_eq!(selector("other"), json!({ "app": "data" }));
    let pods = world.pods();
    assert!(
        pods.len() == 2
            && pods
                .iter()
                .all(|pod| pod["metadata"]["labels"]["immune.io/clone"] == *mark)
    );
    assert_eq!(
        world.policies()[0]["spec"]["podSelector"]["matchLabels"],
        json!({ "app": "research" })
    );
    assert_eq!(copy["metadata"]["labels"]["immune.io/quarantined"], "true");

    // Contained once more, it is the copy that is contained.
    let words = done(world.contain("research").await);
    assert!(words.contains(name), "{words}");
    done(world.free("research").await);
    assert!(world.policies().is_empty());
    for object in world.server.list("Deployment", NAMESPACE) {
        assert_eq!(object["metadata"]["labels"]["immune.io/quarantined"], Value::Null);
    }
    assert_eq!(
        world.deployment("research")["spec"]["replicas"],
        0,
        "the original does not come back"
    );
}

/// Scenario: an agent that quarantine scaled to zero is cloned, and let go.
/// Guarantees: nothing of it runs before the release; then the copy has the original's number of pods.
#[tokio::test]
async fn a_copy_of_what_does_not_run_waits_for_release() {
    let world = World::start_with(Config {
        scale_to_zero: true,
        ..config()
    })
    .await;
    let mut agent = deployment("research");
    agent["spec"]["replicas"] = json!(2);
    world.server.put(agent);
    done(world.contain("research").await);
    done(world.heal("research", Action::CloneAgent, "one").await);
    assert!(world.pods().is_empty());
    done(world.free("research").await);
    assert_eq!(copies(&world)[0]["spec"]["replicas"], 2);
    assert_eq!(
        (
            world.deployment("research")["spec"]["replicas"].clone(),
            world.pods().len()
        ),
        (json!(0), 2)
    );
}

/// Scenario: what no Deployment is, or another controller writes.
/// Guarantees: unsupported, nothing is made.
#[tokio::test]
async fn only_deployments_of_their_own_are_cloned() {
    let world = World::start().await;
    let mut set = deployment("research");
    set["kind"] = json!("StatefulSet");
    world.server.put(set);
    let words = ended(
        world.heal("research", Action::CloneAgent, "one").await,
        Outcome::Unsupported,
    );
    assert!(words.contains("only Deployments can"), "{words}");
    assert!(world.server.list("Deployment", NAMESPACE).is_empty());
}
