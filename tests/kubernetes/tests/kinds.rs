//! What is particular to some kinds.

mod world;

use immune_test_kubernetes::ApiServer;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::events::v1;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Api, Resource};
use serde_json::json;
use world::{refusal, typed, with_deployment};

/// Scenario: kube's recorder tells of a Deployment, twice the same; an event without an action; one far from its object.
/// Guarantees: one event, counted; the others are 422.
#[tokio::test]
async fn events_are_recorded() {
    let (server, api) = with_deployment(1).await;
    let reporter = Reporter {
        controller: "immune.io/quarantine".into(),
        instance: Some("one".into()),
    };
    let recorder = Recorder::new(server.client(), reporter);
    let web = api.get("web").await.unwrap();
    let event = Event {
        type_: EventType::Warning,
        reason: "Quarantined".into(),
        note: Some("its network is cut".into()),
        action: "Quarantine".into(),
        secondary: None,
    };
    for _ in 0..2 {
        recorder.publish(&event, &web.object_ref(&())).await.unwrap();
    }
    let told = server.list("Event", "agents");
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["regarding"]["name"], &told[0]["series"]["count"]),
        (&json!("web"), &json!(2))
    );

    let events: Api<v1::Event> = Api::namespaced(server.client(), "agents");
    let time = Timestamp::UNIX_EPOCH;
    let mut bad = json!({
        "metadata": { "generateName": "web-" }, "eventTime": time, "type": "Normal", "reason": "Because",
        "reportingController": "immune.io/x", "reportingInstance": "one", "regarding": { "namespace": "agents" },
    });
    assert_eq!(
        refusal(events.create(&PostParams::default(), &typed(bad.clone())).await).0,
        422
    );
    bad["action"] = json!("Act");
    bad["regarding"] = json!({ "namespace": "elsewhere" });
    assert_eq!(
        refusal(events.create(&PostParams::default(), &typed(bad)).await).0,
        422
    );
}

/// Scenario: two holders read a lease, and both take it.
/// Guarantees: the second is told that it has changed; a lease has no generation.
#[tokio::test]
async fn a_lease_is_taken_once() {
    let server = ApiServer::start().await;
    let leases: Api<Lease> = Api::namespaced(server.client(), "default");
    let new = json!({ "metadata": { "name": "levers" }, "spec": { "leaseDurationSeconds": 15 } });
    let lease = leases.create(&PostParams::default(), &typed(new)).await.unwrap();
    assert_eq!(lease.metadata.generation, None);
    let held = |holder: &str| {
        let mut lease = lease.clone();
        lease.spec.get_or_insert_default().holder_identity = Some(holder.to_owned());
        lease
    };
    leases
        .replace("levers", &PostParams::default(), &held("one"))
        .await
        .unwrap();
    let second = leases
        .replace("levers", &PostParams::default(), &held("two"))
        .await;
    assert_eq!(refusal(second), (409, "Conflict".to_owned()));
}

/// Scenario: an immutable ConfigMap's data and labels are changed.
/// Guarantees: the data stays, the labels change.
#[tokio::test]
async fn immutable_data_stays() {
    let server = ApiServer::start().await;
    server.put(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "prompt" }, "immutable": true,
        "data": { "prompt": "be kind" },
    }));
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let data = Patch::Merge(json!({ "data": { "prompt": "be rude" } }));
    assert_eq!(
        refusal(maps.patch("prompt", &PatchParams::default(), &data).await).0,
        422
    );
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "b" } } }));
    maps.patch("prompt", &PatchParams::default(), &label)
        .await
        .unwrap();
}
