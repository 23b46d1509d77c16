//! Everyone is let go when the system is taken away.

use crate::world::{NAMESPACE, World, config, done};
use immune_levers_kubernetes::Config;
use immune_test_kubernetes::PolicyRule;
use serde_json::json;

/// Scenario: two agents are contained, one of them scaled to zero, beside a policy of somebody else; everyone is
/// released, twice.
/// Guarantees: both are free and as before, the other policy stays, the second time nothing is left to do.
#[tokio::test]
async fn everyone_is_released() {
    let world = World::start_with(Config {
        scale_to_zero: true,
        ..config()
    })
    .await;
    world.deploy("research");
    world.deploy("data");
    world.server.put(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": { "name": "of-others", "namespace": NAMESPACE, "labels": { "app.kubernetes.io/managed-by": "Helm" } },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] },
    }));
    done(world.contain("research").await);
    done(world.contain("data").await);
    // The job at uninstall has less than the roles.
    world.server.set_access(of_the_job());
    let removed = world.lever.release_everyone().await.unwrap();
    assert_eq!(removed.policies, 2);
    assert_eq!(
        removed.workloads,
        ["Deployment agents/data", "Deployment agents/research"]
    );
    assert_eq!(world.pods().len(), 2);
    let left: Vec<_> = world
        .policies()
        .iter()
        .map(|policy| policy["metadata"]["name"].clone())
        .collect();
    assert_eq!(left, ["of-others"]);
    assert_eq!(world.lever.release_everyone().await.unwrap(), Default::default());
}

/// The rights of the job that runs at `helm uninstall`.
fn of_the_job() -> Vec<PolicyRule> {
    let path = format!(
        "{}/../../helm/immune/files/rbac/uninstall.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
