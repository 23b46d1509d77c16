//! Who may do what: rules for the client, and SubjectAccessReviews.

mod world;

use immune_test_kubernetes::{ApiServer, Permission, PolicyRule, rule};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use world::{refusal, typed, with_deployment};

/// Scenario: a client with few rules tries what they allow and what they do not: verbs, subresources, groups, names.
/// Guarantees: only what is allowed is done; everything else is 403; discovery stays open.
#[tokio::test]
async fn rules_are_kept() {
    let (server, api) = with_deployment(1).await;
    let mut named = rule(&[""], &["configmaps"], &["get"]);
    named.resource_names = Some(vec!["mine".into()]);
    server.set_access(vec![rule(&["apps"], &["deployments"], &["get", "patch"]), named]);
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "a": "1" } } }));
    api.patch("web", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(
        refusal(api.list(&ListParams::default()).await),
        (403, "Forbidden".to_owned())
    );
    assert_eq!(
        refusal(api.patch_status("web", &PatchParams::default(), &patch).await).0,
        403
    );
    let pods: Api<Pod> = Api::namespaced(server.client(), "agents");
    assert_eq!(refusal(pods.get("web").await).0, 403);
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "agents");
    assert_eq!(refusal(maps.get("mine").await).0, 404);
    assert_eq!(refusal(maps.get("theirs").await).0, 403);
    assert!(server.client().list_api_groups().await.is_ok());
    server.open_access();
    assert_eq!(refusal(pods.get("web").await).0, 404);
}

/// Scenario: rules in one namespace only.
/// Guarantees: they hold there, for the namespace itself too, and neither elsewhere nor over all namespaces.
#[tokio::test]
async fn rules_of_a_namespace_hold_there() {
    let (server, _) = with_deployment(1).await;
    server.set_access(Vec::new());
    server.add_access_in(
        "agents",
        vec![rule(&[""], &["pods", "namespaces"], &["get", "list"])],
    );
    let pods = |namespace: &str| Api::<Pod>::namespaced(server.client(), namespace);
    assert_eq!(
        pods("agents")
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(refusal(pods("default").list(&ListParams::default()).await).0, 403);
    let all: Api<Pod> = Api::all(server.client());
    assert_eq!(refusal(all.list(&ListParams::default()).await).0, 403);
    let namespaces: Api<Namespace> = Api::all(server.client());
    namespaces.get("agents").await.unwrap();
    assert_eq!(refusal(namespaces.get("default").await).0, 403);
}

/// Scenario: an object that is not there is applied, with and without the right to create; rules come from a file.
/// Guarantees: `patch` alone does not make objects; the record of permissions names both.
#[tokio::test]
async fn applying_a_new_object_needs_create() {
    let (server, _) = with_deployment(1).await;
    let rules = r#"[{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"] }]"#;
    server.set_access(serde_json::from_str::<Vec<PolicyRule>>(rules).unwrap());
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "agents");
    let config =
        Patch::Apply(json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "new" } }));
    assert_eq!(
        refusal(maps.patch("new", &PatchParams::apply("immune"), &config).await).0,
        403
    );
    assert!(server.get("ConfigMap", "agents", "new").is_none());
    server.open_access();
    maps.patch("new", &PatchParams::apply("immune"), &config)
        .await
        .unwrap();
    let permission = |verb: &str| Permission {
        group: String::new(),
        resource: "configmaps".into(),
        verb: verb.into(),
    };
    // The status of what is not there is not created by applying it.
    let (status, immune) = (
        Patch::Apply(json!({ "status": {} })),
        PatchParams::apply("immune"),
    );
    let namespaces: Api<Namespace> = Api::all(server.client());
    assert_eq!(
        refusal(namespaces.patch_status("none", &immune, &status).await).0,
        404
    );
    let used: Vec<Permission> = server.permissions_used().into_iter().collect();
    assert_eq!(used[..2], [permission("create"), permission("patch")]);
    assert_eq!((used[2].resource.as_str(), used.len()), ("namespaces/status", 3));
}

/// Scenario: reviews for a user and for a group, here and elsewhere, and one for nobody.
/// Guarantees: yes to what the test has allowed, no to everything else, 422 for nobody.
#[tokio::test]
async fn reviews_are_answered_from_the_table() {
    let server = ApiServer::start().await;
    let decide = || rule(&["immune.io"], &["agentcases"], &["decide"]);
    server.allow("ann", Some("agents"), decide());
    server.allow("sre", None, decide());
    let reviews: Api<SubjectAccessReview> = Api::all(server.client());
    for (user, group, namespace, verb, is_allowed) in [
        ("ann", "dev", "agents", "decide", true),
        ("ann", "dev", "other", "decide", false),
        ("ann", "dev", "agents", "delete", false),
        ("bob", "sre", "other", "decide", true),
        ("bob", "dev", "agents", "decide", false),
    ] {
        let review = json!({ "spec": { "user": user, "groups": [group], "resourceAttributes": {
            "group": "immune.io", "resource": "agentcases", "verb": verb, "namespace": namespace, "name": "case-1",
        } } });
        let answer = reviews
            .create(&PostParams::default(), &typed(review))
            .await
            .unwrap();
        assert_eq!(
            answer.status.unwrap().allowed,
            is_allowed,
            "{user} {group} {namespace} {verb}"
        );
    }
    let nobody: SubjectAccessReview = typed(json!({ "spec": {} }));
    assert_eq!(
        refusal(reviews.create(&PostParams::default(), &nobody).await).0,
        422
    );
    assert_eq!(refusal(reviews.get("x").await).0, 405);
}
