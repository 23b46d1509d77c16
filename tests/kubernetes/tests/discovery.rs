//! Discovery and custom kinds.

mod world;

use immune_test_kubernetes::{ApiServer, Kind};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::{self, Discovery, Scope, verbs};
use kube::runtime::conditions;
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::json;
use std::time::Duration;
use world::{refusal, typed};

/// Scenario: kube's discovery of everything, of a group and of one kind.
/// Guarantees: built-in and registered kinds are found, with scope, subresources and verbs.
#[tokio::test]
async fn kinds_are_discovered() {
    let server = ApiServer::start().await;
    server.register(Kind::custom("kagent.dev", "v1alpha2", "agents", "Agent"));
    server.register(Kind::custom("cilium.io", "v2", "ciliumnodes", "CiliumNode").cluster_wide());
    let found = Discovery::new(server.client()).run().await.unwrap();
    let (kind, can) = found
        .resolve_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"))
        .unwrap();
    assert_eq!(
        (kind.plural.as_str(), can.scope.clone()),
        ("deployments", Scope::Namespaced)
    );
    assert!(can.supports_operation(verbs::WATCH));
    let mut below: Vec<&str> = can
        .subresources
        .iter()
        .map(|(kind, _)| kind.plural.as_str())
        .collect();
    below.sort_unstable();
    assert_eq!(below.len(), 2, "{below:?}");
    let reviews = GroupVersionKind::gvk("authorization.k8s.io", "v1", "SubjectAccessReview");
    assert!(
        !found
            .resolve_gvk(&reviews)
            .unwrap()
            .1
            .supports_operation(verbs::LIST)
    );

    let group = discovery::group(&server.client(), "kagent.dev").await.unwrap();
    assert_eq!(group.recommended_kind("Agent").unwrap().0.plural, "agents");
    let (_, can) = discovery::pinned_kind(
        &server.client(),
        &GroupVersionKind::gvk("cilium.io", "v2", "CiliumNode"),
    )
    .await
    .unwrap();
    assert_eq!(can.scope, Scope::Cluster);
    assert!(
        discovery::group(&server.client(), "none.example.com")
            .await
            .is_err()
    );
    let core = discovery::pinned_kind(&server.client(), &GroupVersionKind::gvk("", "v1", "Pod"))
        .await
        .unwrap();
    assert_eq!(core.0.plural, "pods");
    assert!(server.client().apiserver_version().await.is_ok());
}

/// Scenario: a kind is asked for before, while and after its definition is there.
/// Guarantees: 404, then it works like any other (schema kept to, status by its own path, no strategic patches), and
/// after the definition is deleted it is 404 again and its objects are gone.
#[tokio::test]
async fn definitions_make_kinds() {
    let server = ApiServer::start().await;
    let gvk = GroupVersionKind::gvk("immune.io", "v1alpha1", "AgentCase");
    let kind = kube::core::ApiResource::from_gvk_with_plural(&gvk, "agentcases");
    let cases: Api<DynamicObject> = Api::namespaced_with(server.client(), "default", &kind);
    assert_eq!(refusal(cases.list(&ListParams::default()).await).0, 404);

    let definitions: Api<CustomResourceDefinition> = Api::all(server.client());
    let definition = json!({
        "metadata": { "name": "agentcases.immune.io" },
        "spec": {
            "group": "immune.io", "scope": "Namespaced",
            "names": { "kind": "AgentCase", "plural": "agentcases", "singular": "agentcase", "shortNames": ["acase"] },
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "required": ["spec"], "properties": {
                    "spec": { "type": "object", "required": ["agent"], "properties": {
                        "agent": { "type": "string" }, "priority": { "type": "integer", "default": 0 },
                    } },
                    "status": { "type": "object", "properties": { "phase": { "type": "string" } } },
                } } },
            }],
        },
    });
    definitions
        .create(&PostParams::default(), &typed(definition))
        .await
        .unwrap();
    let established = await_condition(
        definitions.clone(),
        "agentcases.immune.io",
        conditions::is_crd_established(),
    );
    tokio::time::timeout(Duration::from_secs(20), established)
        .await
        .unwrap()
        .unwrap();

    let case = json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "AgentCase", "metadata": { "name": "case-1" },
        "spec": { "agent": "a", "unknown": 1 }, "status": { "phase": "not by this path" },
    });
    let made = cases.create(&PostParams::default(), &typed(case)).await.unwrap();
    assert!(made.data["status"].is_null());
    assert_eq!(made.data["spec"], json!({ "agent": "a", "priority": 0 }));
    let wrong = Patch::Merge(json!({ "spec": { "agent": 1 } }));
    let answer = cases.patch("case-1", &PatchParams::default(), &wrong).await;
    assert_eq!(refusal(answer), (422, "Invalid".to_owned()));
    let status = Patch::Merge(json!({ "spec": { "agent": "b" }, "status": { "phase": "open" } }));
    let told = cases
        .patch_status("case-1", &PatchParams::default(), &status)
        .await
        .unwrap();
    assert_eq!(
        (&told.data["status"]["phase"], &told.data["spec"]["agent"]),
        (&json!("open"), &json!("a"))
    );
    assert_eq!(told.metadata.generation, made.metadata.generation);
    let strategic = Patch::Strategic(json!({ "spec": { "agent": "c" } }));
    assert_eq!(
        refusal(cases.patch("case-1", &PatchParams::default(), &strategic).await).0,
        415
    );
    assert_eq!(
        cases.list(&ListParams::default()).await.unwrap().items[0].name_any(),
        "case-1"
    );
    let found = server
        .client()
        .list_api_group_resources("immune.io/v1alpha1")
        .await
        .unwrap();
    assert_eq!(found.resources[0].short_names, Some(vec!["acase".into()]));

    definitions
        .delete("agentcases.immune.io", &DeleteParams::default())
        .await
        .unwrap();
    assert_eq!(refusal(cases.get("case-1").await).0, 404);
    let again = definitions.get_opt("agentcases.immune.io").await.unwrap();
    assert!(again.is_none());
}
