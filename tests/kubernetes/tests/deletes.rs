//! Objects as kube's client deletes them.

mod world;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy};
use serde_json::json;
use world::{refusal, with_deployment};

/// Scenario: deletes with wrong and right preconditions, of what is held by a finalizer, of many at once, as a dry run.
/// Guarantees: a wrong precondition is 409; what is held stays, marked, until the finalizer goes; a dry run does nothing.
#[tokio::test]
async fn deletes_keep_to_their_conditions() {
    let (server, api) = with_deployment(1).await;
    let wrong = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some("another".into()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    assert_eq!(refusal(api.delete("web", &wrong).await).0, 409);
    api.delete("web", &DeleteParams::default().dry_run())
        .await
        .unwrap();
    assert!(server.get("Deployment", "agents", "web").is_some());

    let held = Patch::Merge(json!({ "metadata": { "finalizers": ["immune.io/held"] } }));
    api.patch("web", &PatchParams::default(), &held).await.unwrap();
    let answer = api.delete("web", &DeleteParams::default()).await.unwrap();
    assert!(answer.left().unwrap().metadata.deletion_timestamp.is_some());
    assert_eq!(server.list("Pod", "agents").len(), 1);
    let free = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("web", &PatchParams::default(), &free).await.unwrap();
    assert!(server.get("Deployment", "agents", "web").is_none());
    assert_eq!(
        server.list("ReplicaSet", "agents").len() + server.list("Pod", "agents").len(),
        0
    );

    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "agents");
    for (name, group) in [("a", "1"), ("b", "1"), ("c", "2")] {
        server.put(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": "agents", "labels": { "group": group } },
        }));
    }
    let ones = ListParams::default().labels("group=1");
    maps.delete_collection(&DeleteParams::default(), &ones)
        .await
        .unwrap();
    assert_eq!(server.list("ConfigMap", "agents").len(), 1);
}

/// Scenario: a Deployment is deleted with its pods made orphans; then their namespace with all that is in it.
/// Guarantees: the ReplicaSet stays without an owner and keeps its pods; with the namespace everything goes.
#[tokio::test]
async fn what_was_owned_goes_or_stays() {
    let (server, api) = with_deployment(2).await;
    let orphan = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        ..DeleteParams::default()
    };
    api.delete("web", &orphan).await.unwrap();
    let set = server.list("ReplicaSet", "agents").remove(0);
    assert_eq!(set["metadata"]["ownerReferences"], json!([]));
    assert_eq!(server.list("Pod", "agents").len(), 2);
    let services: Api<Service> = Api::namespaced(server.client(), "agents");
    let service = json!({
        "metadata": { "name": "web" }, "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] },
    });
    services
        .create(&Default::default(), &world::typed(service))
        .await
        .unwrap();
    let namespaces: Api<Namespace> = Api::all(server.client());
    namespaces
        .delete("agents", &DeleteParams::default())
        .await
        .unwrap();
    for kind in ["ReplicaSet", "Pod", "Service"] {
        assert_eq!(server.list(kind, "agents").len(), 0, "{kind}");
    }
    assert_eq!(refusal(services.get("web").await).0, 404);
}
