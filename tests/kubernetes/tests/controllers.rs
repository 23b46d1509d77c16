//! What the controllers make of workloads.

mod world;

use immune_test_kubernetes::{ApiServer, Kind};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use world::with_deployment;

const REVISION: &str = "deployment.kubernetes.io/revision";

fn image(image: &str) -> Patch<Value> {
    Patch::Strategic(json!({ "spec": { "template": { "spec": {
        "containers": [{ "name": "main", "image": image }],
    } } } }))
}

fn names(server: &ApiServer, kind: &str) -> Vec<String> {
    let found = server.list(kind, "agents");
    found
        .iter()
        .map(|object| {
            object["metadata"]["name"]
                .as_str()
                .expect("it has a name")
                .to_owned()
        })
        .collect()
}

/// Scenario: a Deployment of two, one of whose pods goes.
/// Guarantees: pods with the template's labels and owners up to the Deployment; another one in place of the lost one;
/// the status counts them, for this generation.
#[tokio::test]
async fn pods_are_made_and_made_again() {
    let (server, api) = with_deployment(2).await;
    let pods = server.list("Pod", "agents");
    assert_eq!(pods.len(), 2);
    let set = server.list("ReplicaSet", "agents").remove(0);
    assert_eq!(
        pods[0]["metadata"]["ownerReferences"][0]["uid"],
        set["metadata"]["uid"]
    );
    assert_eq!(set["metadata"]["ownerReferences"][0]["name"], "web");
    let labels = &pods[0]["metadata"]["labels"];
    assert_eq!(
        (&labels["app"], &labels["tier"]),
        (&json!("web"), &json!("agent"))
    );
    assert_eq!(
        labels["pod-template-hash"],
        set["spec"]["selector"]["matchLabels"]["pod-template-hash"]
    );

    let before = names(&server, "Pod");
    server.delete("Pod", "agents", &before[0]);
    let after = names(&server, "Pod");
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&before[0]) && after.contains(&before[1]));
    let web = api.get("web").await.unwrap();
    let status = web.status.clone().unwrap();
    assert_eq!(status.ready_replicas, Some(2));
    assert_eq!(status.observed_generation, web.metadata.generation);
    assert_eq!(web.annotations()[REVISION], "1");
}

/// Scenario: a changed template, and then the first one again.
/// Guarantees: the old ReplicaSet stays, at 0; the revision grows and is on the Deployment and its ReplicaSet; the first
/// template gets its old ReplicaSet back, under a new revision.
#[tokio::test]
async fn templates_roll_out_and_back() {
    let (server, api) = with_deployment(2).await;
    let params = PatchParams::default();
    let first = names(&server, "ReplicaSet").remove(0);
    let old_pods = names(&server, "Pod");
    api.patch("web", &params, &image("agent:2")).await.unwrap();
    let sets = server.list("ReplicaSet", "agents");
    assert_eq!(sets.len(), 2);
    for set in &sets {
        let is_first = set["metadata"]["name"] == first;
        assert_eq!(set["spec"]["replicas"], if is_first { 0 } else { 2 });
        assert_eq!(
            set["metadata"]["annotations"][REVISION],
            if is_first { "1" } else { "2" }
        );
    }
    assert!(names(&server, "Pod").iter().all(|pod| !old_pods.contains(pod)));
    assert_eq!(
        server.list("Pod", "agents")[0]["spec"]["containers"][0]["image"],
        "agent:2"
    );
    let web = api.patch("web", &params, &image("agent:1")).await.unwrap();
    assert_eq!(
        web.annotations()[REVISION],
        "2",
        "the answer is from before the controller"
    );
    let web = api.get("web").await.unwrap();
    assert_eq!(web.annotations()[REVISION], "3");
    let back = server.get("ReplicaSet", "agents", &first).unwrap();
    assert_eq!(
        (
            &back["spec"]["replicas"],
            &back["metadata"]["annotations"][REVISION]
        ),
        (&json!(2), &json!("3"))
    );
    assert_eq!(web.status.unwrap().observed_generation, web.metadata.generation);

    let limit = Patch::Merge(json!({ "spec": { "revisionHistoryLimit": 0 } }));
    api.patch("web", &params, &limit).await.unwrap();
    assert_eq!(names(&server, "ReplicaSet"), [first]);
}

/// Scenario: scaled to zero; a pod of another's labels; a pod that is not ready; a paused Deployment.
/// Guarantees: no pods and no count; a pod that no longer fits is released and replaced; readiness is counted; a paused
/// Deployment does not roll out.
#[tokio::test]
async fn counts_follow_the_pods() {
    let (server, api) = with_deployment(2).await;
    let pod = names(&server, "Pod").remove(0);
    server.change("Pod", "agents", &pod, |pod| {
        pod["status"]["conditions"][0]["status"] = json!("False")
    });
    let status = api.get("web").await.unwrap().status.unwrap();
    assert_eq!(
        (
            status.replicas,
            status.ready_replicas,
            status.unavailable_replicas
        ),
        (Some(2), Some(1), Some(1))
    );
    server.change("Pod", "agents", &pod, |pod| {
        pod["metadata"]["labels"]["app"] = json!("cut-off")
    });
    assert_eq!(names(&server, "Pod").len(), 3);
    let released = server.get("Pod", "agents", &pod).unwrap();
    assert_eq!(released["metadata"]["ownerReferences"], json!([]));

    let paused = Patch::Merge(json!({ "spec": { "paused": true } }));
    api.patch("web", &PatchParams::default(), &paused).await.unwrap();
    api.patch("web", &PatchParams::default(), &image("agent:2"))
        .await
        .unwrap();
    assert_eq!(names(&server, "ReplicaSet").len(), 1);
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    api.patch_scale("web", &PatchParams::default(), &none)
        .await
        .unwrap();
    assert_eq!(names(&server, "Pod"), [pod]);
    assert_eq!(api.get("web").await.unwrap().status.unwrap().ready_replicas, None);
}

/// Scenario: with controllers off, a Deployment; then they are turned on.
/// Guarantees: nothing happens, and then everything.
#[tokio::test]
async fn controllers_can_be_away() {
    let (server, api) = with_deployment(1).await;
    server.set_controllers(false);
    api.patch("web", &PatchParams::default(), &image("agent:2"))
        .await
        .unwrap();
    let web = api.get("web").await.unwrap();
    assert_ne!(web.status.unwrap().observed_generation, web.metadata.generation);
    server.set_controllers(true);
    let web = api.get("web").await.unwrap();
    assert_eq!(web.status.unwrap().observed_generation, web.metadata.generation);
}

/// Scenario: a StatefulSet and a DaemonSet whose template changes; the first also waits for deletes.
/// Guarantees: fixed names; a ControllerRevision per template, numbered; pods of the new one, with `OnDelete` only once
/// they were deleted; status fields as each kind has them.
#[tokio::test]
async fn sets_keep_revisions() {
    let server = ApiServer::start().await;
    let set = |kind: &str, name: &str| {
        let mut set = world::deployment(name, 2);
        set["kind"] = json!(kind);
        set
    };
    server.put(set("StatefulSet", "db"));
    assert_eq!(names(&server, "Pod"), ["db-0", "db-1"]);
    let sets: Api<StatefulSet> = Api::namespaced(server.client(), "agents");
    let wait =
        Patch::Merge(json!({ "spec": { "updateStrategy": { "type": "OnDelete", "rollingUpdate": null } } }));
    sets.patch("db", &PatchParams::default(), &wait).await.unwrap();
    sets.patch("db", &PatchParams::default(), &image("agent:2"))
        .await
        .unwrap();
    let shown =
        |name: &str| server.get("Pod", "agents", name).unwrap()["spec"]["containers"][0]["image"].clone();
    assert_eq!(shown("db-0"), "agent:1");
    server.delete("Pod", "agents", "db-0");
    assert_eq!(
        (shown("db-0"), shown("db-1")),
        (json!("agent:2"), json!("agent:1"))
    );
    let status = sets.get("db").await.unwrap().status.unwrap();
    assert_eq!((status.replicas, status.updated_replicas), (2, Some(1)));
    assert_ne!(status.current_revision, status.update_revision);
    let revisions: Api<ControllerRevision> = Api::namespaced(server.client(), "agents");
    let kept = revisions
        .list(&ListParams::default().labels("app=db"))
        .await
        .unwrap();
    let mut numbers: Vec<i64> = kept.iter().filter_map(|revision| revision.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);

    let mut daemon = set("DaemonSet", "spy");
    daemon["spec"].as_object_mut().unwrap().remove("replicas");
    server.put(daemon);
    let status = server.get("DaemonSet", "agents", "spy").unwrap()["status"].clone();
    assert_eq!(
        (&status["desiredNumberScheduled"], &status["numberReady"]),
        (&json!(1), &json!(1))
    );
}

/// Scenario: a Sandbox of agent-sandbox, suspended and woken.
/// Guarantees: its pod is there, goes and comes; its status tells the selector.
#[tokio::test]
async fn sandboxes_are_suspended() {
    let server = ApiServer::start().await;
    server.register(Kind::custom("agents.x-k8s.io", "v1beta1", "sandboxes", "Sandbox"));
    server.put(json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": { "name": "box", "namespace": "agents" },
        "spec": { "podTemplate": { "spec": { "containers": [{ "name": "main", "image": "agent:1" }] } } },
    }));
    assert_eq!(names(&server, "Pod"), ["box"]);
    let gvk = GroupVersionKind::gvk("agents.x-k8s.io", "v1beta1", "Sandbox");
    let kind = ApiResource::from_gvk_with_plural(&gvk, "sandboxes");
    let api: Api<DynamicObject> = Api::namespaced_with(server.client(), "agents", &kind);
    for (mode, count) in [("Suspended", 0), ("Running", 1)] {
        let patch = Patch::Merge(json!({ "spec": { "operatingMode": mode } }));
        api.patch("box", &PatchParams::default(), &patch).await.unwrap();
        assert_eq!(names(&server, "Pod").len(), count);
    }
    let selector = api.get("box").await.unwrap().data["status"]["selector"]
        .as_str()
        .unwrap()
        .to_owned();
    let pods: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(server.client(), "agents");
    assert_eq!(
        pods.list(&ListParams::default().labels(&selector))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}
