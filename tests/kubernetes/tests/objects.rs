//! Objects as kube's client creates, reads, changes and deletes them.

mod world;

use immune_test_kubernetes::ApiServer;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use world::{deployment, refusal, typed, with_deployment};

/// Scenario: an object is created twice, read, and read where it is not.
/// Guarantees: what the server gives (uid, version, generation, time, defaults) is there; the second create is 409, the
/// absent object 404, and an object for a namespace that is not there as well.
#[tokio::test]
async fn objects_are_created_and_read() {
    let server = ApiServer::start().await;
    server.set_controllers(false);
    let all: Api<Namespace> = Api::all(server.client());
    let agents = json!({ "metadata": { "name": "agents" } });
    all.create(&PostParams::default(), &typed(agents)).await.unwrap();
    let api: Api<Deployment> = Api::namespaced(server.client(), "agents");
    let sent: Deployment = typed(deployment("web", 2));
    let created = api.create(&PostParams::default(), &sent).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    assert!(created.uid().is_some() && created.resource_version().is_some());
    assert_eq!(created.spec.revision_history_limit, Some(10));
    assert_eq!(api.get("web").await.unwrap(), created);

    let again = api.create(&PostParams::default(), &sent).await;
    assert_eq!(refusal(again), (409, "AlreadyExists".to_owned()));
    assert_eq!(refusal(api.get("none").await), (404, "NotFound".to_owned()));
    assert!(api.get_opt("none").await.unwrap().is_none());
    let elsewhere: Api<Deployment> = Api::namespaced(server.client(), "nowhere");
    let mut sent = sent;
    sent.metadata.namespace = None;
    assert_eq!(
        refusal(elsewhere.create(&PostParams::default(), &sent).await).0,
        404
    );
}

/// Scenario: an object without a name but with a prefix, and one with neither.
/// Guarantees: names are made from the prefix and differ; without either it is 422.
#[tokio::test]
async fn names_are_generated() {
    let server = ApiServer::start().await;
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let sent: ConfigMap = typed(json!({ "metadata": { "generateName": "copy-" } }));
    let one = api.create(&PostParams::default(), &sent).await.unwrap();
    let two = api.create(&PostParams::default(), &sent).await.unwrap();
    assert!(one.name_any().starts_with("copy-") && two.name_any().starts_with("copy-"));
    assert_ne!(one.name_any(), two.name_any());
    let nameless = api.create(&PostParams::default(), &ConfigMap::default()).await;
    assert_eq!(refusal(nameless), (422, "Invalid".to_owned()));
}

/// Scenario: pods of two Deployments, listed by labels, by name and in pages.
/// Guarantees: each selector chooses what it says; pages together are the whole list, each object once.
#[tokio::test]
async fn lists_are_selected_and_paged() {
    let (server, _) = with_deployment(3).await;
    server.put(deployment("other", 2));
    let api: Api<Pod> = Api::namespaced(server.client(), "agents");
    for (labels, wanted) in [
        ("app=web", 3),
        ("app in (web, other)", 5),
        ("app!=web", 2),
        ("tier,app notin (web)", 2),
        ("!tier", 0),
    ] {
        let found = api.list(&ListParams::default().labels(labels)).await.unwrap();
        assert_eq!(found.items.len(), wanted, "{labels}");
    }
    let name = api.list(&ListParams::default()).await.unwrap().items[1].name_any();
    let one = ListParams::default().fields(&format!("metadata.name={name}"));
    assert_eq!(api.list(&one).await.unwrap().items[0].name_any(), name);

    let mut names = Vec::new();
    let mut params = ListParams::default().limit(2);
    loop {
        let page = api.list(&params).await.unwrap();
        names.extend(page.items.iter().map(ResourceExt::name_any));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = ListParams::default().limit(2).continue_token(&token),
            None => break,
        }
    }
    assert_eq!(names.len(), 5);
    names.dedup();
    assert_eq!(names.len(), 5);
    let everywhere: Api<Pod> = Api::all(server.client());
    assert_eq!(
        everywhere.list(&ListParams::default()).await.unwrap().items.len(),
        5
    );
}

/// Scenario: two clients read an object, and both write what they have made of it.
/// Guarantees: the second is 409 Conflict; the generation counts changes of the spec only; a write that changes nothing
/// makes no new version.
#[tokio::test]
async fn the_second_writer_is_told_of_the_first() {
    let (server, api) = with_deployment(1).await;
    server.set_controllers(false);
    let read = api.get("web").await.unwrap();
    let generation = read.metadata.generation.unwrap();
    let mut mine = read.clone();
    mine.spec.replicas = Some(2);
    let written = api.replace("web", &PostParams::default(), &mine).await.unwrap();
    assert_eq!(written.metadata.generation, Some(generation + 1));
    let mut theirs = read;
    theirs.labels_mut().insert("theirs".into(), "1".into());
    let answer = api.replace("web", &PostParams::default(), &theirs).await;
    assert_eq!(refusal(answer), (409, "Conflict".to_owned()));

    let mut labelled = written.clone();
    labelled.labels_mut().insert("mine".into(), "1".into());
    let labelled = api
        .replace("web", &PostParams::default(), &labelled)
        .await
        .unwrap();
    assert_eq!(labelled.metadata.generation, written.metadata.generation);
    assert_ne!(labelled.resource_version(), written.resource_version());
    let same = api
        .replace("web", &PostParams::default(), &labelled)
        .await
        .unwrap();
    assert_eq!(same.resource_version(), labelled.resource_version());

    let stale = json!({ "metadata": { "resourceVersion": "1", "labels": { "a": "b" } } });
    let answer = api
        .patch("web", &PatchParams::default(), &Patch::Merge(stale))
        .await;
    assert_eq!(refusal(answer).0, 409);
}

/// Scenario: the same container's environment, changed by each kind of patch.
/// Guarantees: a merge patch replaces lists, a strategic one merges them by name, a JSON patch tests before it writes.
#[tokio::test]
async fn patches_do_what_their_kind_says() {
    let (_server, api) = with_deployment(1).await;
    let params = PatchParams::default();
    let env = |deployment: &Deployment| -> Vec<String> {
        let pod = deployment.spec.template.spec.as_ref().unwrap();
        let env = pod.containers[0].env.clone().unwrap_or_default();
        env.into_iter()
            .map(|var| format!("{}={}", var.name, var.value.unwrap_or_default()))
            .collect()
    };
    let change = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "main", "env": [{ "name": "EXTRA", "value": "1" }] },
    ] } } } });
    let patched = api
        .patch("web", &params, &Patch::Strategic(&change))
        .await
        .unwrap();
    assert_eq!(env(&patched), ["MODE=calm", "EXTRA=1"]);
    let image = patched.spec.template.spec.as_ref().unwrap().containers[0]
        .image
        .clone();
    assert_eq!(image.as_deref(), Some("agent:1"));

    let change = json!({ "metadata": { "labels": { "app": null, "new": "1" } }, "spec": { "template": { "spec": {
        "containers": [{ "name": "main", "image": "agent:2" }],
    } } } });
    let patched = api.patch("web", &params, &Patch::Merge(&change)).await.unwrap();
    assert_eq!(env(&patched), Vec::<String>::new());
    assert_eq!(patched.labels().keys().collect::<Vec<_>>(), ["new"]);

    let wrong = json!([
        { "op": "test", "path": "/spec/replicas", "value": 7 },
        { "op": "replace", "path": "/spec/replicas", "value": 8 },
    ]);
    let wrong = Patch::<()>::Json(typed(wrong));
    assert_eq!(refusal(api.patch("web", &params, &wrong).await).0, 422);
    let right = Patch::<()>::Json(typed(
        json!([{ "op": "replace", "path": "/spec/replicas", "value": 3 }]),
    ));
    let patched = api.patch("web", &params, &right).await.unwrap();
    assert_eq!(patched.spec.replicas, Some(3));
    let broken = Patch::Merge(json!({ "spec": "no object" }));
    assert_eq!(refusal(api.patch("web", &params, &broken).await).0, 400);
}

/// Scenario: status and spec are written through each other's path, and replicas by the scale.
/// Guarantees: each path writes its own part and nothing else.
#[tokio::test]
async fn subresources_write_their_part() {
    let (server, api) = with_deployment(1).await;
    server.set_controllers(false);
    let both = Patch::Merge(json!({ "spec": { "replicas": 9 }, "status": { "collisionCount": 5 } }));
    let after = api
        .patch_status("web", &PatchParams::default(), &both)
        .await
        .unwrap();
    assert_eq!(after.spec.replicas, Some(1));
    assert_eq!(after.status.as_ref().unwrap().collision_count, Some(5));
    let both = Patch::Merge(json!({ "spec": { "replicas": 4 }, "status": { "collisionCount": 6 } }));
    let after = api.patch("web", &PatchParams::default(), &both).await.unwrap();
    assert_eq!(after.spec.replicas, Some(4));
    assert_eq!(after.status.unwrap().collision_count, Some(5));

    assert_eq!(
        api.get_scale("web").await.unwrap().spec.unwrap().replicas,
        Some(4)
    );
    let down = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    let scale = api
        .patch_scale("web", &PatchParams::default(), &down)
        .await
        .unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(0));
    assert_eq!(
        server.get("Deployment", "agents", "web").unwrap()["spec"]["replicas"],
        0
    );
}

/// Scenario: objects that the real server's validation refuses, and one that it completes.
/// Guarantees: 422 with the field; a policy's port reads back with its protocol.
#[tokio::test]
async fn mistakes_are_refused_and_gaps_filled() {
    let (server, api) = with_deployment(1).await;
    let policies: Api<NetworkPolicy> = Api::namespaced(server.client(), "agents");
    let policy = json!({ "metadata": { "name": "cut" }, "spec": {
        "podSelector": { "matchLabels": { "app": "web" } }, "ingress": [], "egress": [{ "ports": [{ "port": 53 }] }],
    } });
    let created = policies
        .create(&PostParams::default(), &typed(policy))
        .await
        .unwrap()
        .spec
        .unwrap();
    assert_eq!(
        created.policy_types,
        Some(vec!["Ingress".into(), "Egress".into()])
    );
    assert_eq!(created.ingress, None);
    let egress = created.egress.unwrap();
    let port = &egress[0].ports.as_ref().unwrap()[0];
    assert_eq!(port.protocol.as_deref(), Some("TCP"));

    for (patch, field) in [
        (
            json!({ "metadata": { "labels": { "a": "not a value" } } }),
            "metadata.labels",
        ),
        (
            json!({ "spec": { "selector": { "matchLabels": { "tier": "agent" } } } }),
            "spec.selector",
        ),
        (
            json!({ "spec": { "template": { "metadata": { "labels": { "app": "x" } } } } }),
            "spec.template.metadata.labels",
        ),
    ] {
        let answer = api
            .patch("web", &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let Err(kube::Error::Api(status)) = answer else {
            panic!("{patch} was taken")
        };
        assert_eq!(status.code, 422, "{patch}");
        assert_eq!(status.details.as_ref().unwrap().causes[0].field, field);
    }
}
