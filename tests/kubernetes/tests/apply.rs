//! Server-side apply, as kube's client does it.

mod world;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use world::{refusal, with_deployment};

fn config(spec: Value) -> Patch<Value> {
    Patch::Apply(
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": spec }),
    )
}

/// Scenario: an object that is not there is applied, twice, by one manager.
/// Guarantees: the first makes it, the second changes nothing, not even the version.
#[tokio::test]
async fn applying_twice_is_applying_once() {
    let (server, _) = with_deployment(1).await;
    let policies: Api<NetworkPolicy> = Api::namespaced(server.client(), "agents");
    let policy = Patch::Apply(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "cut" },
        "spec": { "podSelector": { "matchLabels": { "app": "web" } }, "egress": [{ "ports": [{ "port": 53 }] }] },
    }));
    let params = PatchParams::apply("immune");
    let first = policies.patch("cut", &params, &policy).await.unwrap();
    assert_eq!(first.managed_fields()[0].manager.as_deref(), Some("immune"));
    let second = policies.patch("cut", &params, &policy).await.unwrap();
    assert_eq!(second.resource_version(), first.resource_version());
    assert_eq!(second.uid(), first.uid());
    let nobody = policies.patch("cut", &PatchParams::default(), &policy).await;
    assert_eq!(refusal(nobody).0, 400);
}

/// Scenario: two managers want another number of replicas; then one wants none at all any more.
/// Guarantees: 409 that names the field and the owner; force takes it over; what its only owner drops goes, and what the
/// other applied stays.
#[tokio::test]
async fn conflicts_are_told_forced_and_undone() {
    let (server, api) = with_deployment(1).await;
    server.set_controllers(false);
    let (user, immune) = (PatchParams::apply("user"), PatchParams::apply("immune"));
    api.patch(
        "web",
        &user.clone().force(),
        &config(json!({ "replicas": 3, "paused": false })),
    )
    .await
    .unwrap();
    let label = |value: &str| json!({ "replicas": 0, "template": { "metadata": { "labels": { "immune.io/quarantined": value } } } });
    let answer = api.patch("web", &immune, &config(label("true"))).await;
    let Err(kube::Error::Api(status)) = answer else {
        panic!("there is no conflict")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let cause = &status.details.as_ref().unwrap().causes[0];
    assert_eq!(
        (cause.field.as_str(), cause.reason.as_str()),
        (".spec.replicas", "FieldManagerConflict")
    );
    assert!(cause.message.contains("user"), "{}", cause.message);

    let forced = api
        .patch("web", &immune.clone().force(), &config(label("true")))
        .await
        .unwrap();
    let spec = forced.spec;
    assert_eq!(spec.replicas, Some(0));
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    assert_eq!(
        (labels["app"].as_str(), labels["immune.io/quarantined"].as_str()),
        ("web", "true")
    );

    let undone = api.patch("web", &immune, &config(json!({}))).await.unwrap();
    let spec = undone.spec;
    let labels = spec.template.metadata.unwrap().labels.unwrap();
    assert!(labels.contains_key("app") && !labels.contains_key("immune.io/quarantined"));
    // Nobody owns the number of replicas any more: the default comes back.
    assert_eq!((spec.replicas, spec.paused), (Some(1), Some(false)));
}

/// Scenario: environment variables of one container from two managers, and a status by its own path.
/// Guarantees: lists with keys are owned item by item; an applied status stays out of the spec's ownership.
#[tokio::test]
async fn items_of_lists_have_owners() {
    let (server, api) = with_deployment(1).await;
    server.set_controllers(false);
    let env = |list: Value| {
        config(json!({ "template": { "spec": { "containers": [{ "name": "main", "env": list }] } } }))
    };
    let immune = PatchParams::apply("immune");
    let ours = env(json!([{ "name": "AUTONOMY", "value": "low" }]));
    api.patch("web", &immune, &ours).await.unwrap();
    let names = || -> Vec<String> {
        let live = server.get("Deployment", "agents", "web").unwrap();
        let env = live["spec"]["template"]["spec"]["containers"][0]["env"].clone();
        env.as_array()
            .unwrap()
            .iter()
            .map(|var| var["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(), ["MODE", "AUTONOMY"]);
    api.patch("web", &immune, &env(json!([]))).await.unwrap();
    assert_eq!(names(), ["MODE"]);

    let status = Patch::Apply(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "status": { "collisionCount": 2 },
    }));
    let after = api
        .patch_status("web", &PatchParams::apply("teller"), &status)
        .await
        .unwrap();
    assert_eq!(after.status.as_ref().unwrap().collision_count, Some(2));
    let entry = after
        .managed_fields()
        .iter()
        .find(|entry| entry.manager.as_deref() == Some("teller"))
        .unwrap();
    assert_eq!(entry.subresource.as_deref(), Some("status"));
    assert_eq!(
        entry.fields_v1.as_ref().unwrap().0,
        json!({ "f:status": { "f:collisionCount": {} } })
    );
}
