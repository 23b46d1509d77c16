//! Failures on demand, and the record of requests.

mod world;

use immune_test_kubernetes::{Failure, When};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;
use world::{refusal, with_deployment};

/// Scenario: each failure that is an answer, asked for a number of patches of one object.
/// Guarantees: those requests and no others meet it, as many times as asked; nothing was done; 429 says when to come back.
#[tokio::test]
async fn answers_fail_on_demand() {
    let (server, api) = with_deployment(1).await;
    let label = Patch::Merge(json!({ "metadata": { "labels": { "a": "1" } } }));
    let params = PatchParams::default();
    let when = || When::verb("patch").on("deployments").named("web");
    for (failure, code) in [
        (Failure::Forbidden, 403),
        (Failure::Conflict, 409),
        (Failure::Admission("no".into()), 422),
        (Failure::TooManyRequests(7), 429),
        (Failure::Internal, 500),
    ] {
        server.fail_next(when().times(2), failure.clone());
        api.get("web").await.unwrap();
        assert_eq!(
            refusal(api.patch("web", &params, &label).await).0,
            code,
            "{failure:?}"
        );
        let again = api.patch("web", &params, &label).await;
        if let Err(kube::Error::Api(status)) = &again {
            let seconds = status
                .details
                .as_ref()
                .map_or(0, |details| details.retry_after_seconds);
            assert_eq!(seconds, if code == 429 { 7 } else { 0 });
        }
        assert_eq!(refusal(again).0, code);
    }
    assert!(server.get("Deployment", "agents", "web").unwrap()["metadata"]["labels"]["a"].is_null());
    server.fail_next(when().after(1), Failure::Internal);
    api.patch("web", &params, &label).await.unwrap();
    assert_eq!(refusal(api.patch("web", &params, &label).await).0, 500);
    api.patch("web", &params, &label).await.unwrap();
    server.fail_next(When::any().times(5), Failure::Internal);
    server.heal();
    api.patch("web", &params, &label).await.unwrap();
}

/// Scenario: 429, asked for without kube's client in between.
/// Guarantees: the header `Retry-After` is there.
#[tokio::test]
async fn too_many_requests_says_when_in_its_header() {
    let (server, _) = with_deployment(1).await;
    server.fail_next(When::any(), Failure::TooManyRequests(3));
    let request = http::Request::get("/api/v1/pods")
        .body(kube::client::Body::empty())
        .unwrap();
    let answer = server.client().send(request).await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "3")
    );
}

/// Scenario: the connection is cut, or no answer comes, before and after the change was made; success is told falsely.
/// Guarantees: the client sees an error (or, of the lie, none), and the world is as the failure says.
#[tokio::test]
async fn connections_fail_before_and_after_the_effect() {
    let (server, api) = with_deployment(1).await;
    let params = PatchParams::default();
    let is_done = |label: &str| {
        server.get("Deployment", "agents", "web").unwrap()["metadata"]["labels"][label].is_string()
    };
    for (failure, label, is_made) in [
        (Failure::Cut, "cut", false),
        (Failure::CutAfter, "cut-after", true),
        (Failure::Hang, "hang", false),
        (Failure::HangAfter, "hang-after", true),
    ] {
        server.fail_next(When::write(), failure.clone());
        let patch = Patch::Merge(json!({ "metadata": { "labels": { label: "1" } } }));
        let asked = api.patch("web", &params, &patch);
        match tokio::time::timeout(Duration::from_millis(500), asked).await {
            Ok(answer) => {
                assert!(matches!(failure, Failure::Cut | Failure::CutAfter), "{failure:?}");
                assert!(!matches!(answer.unwrap_err(), kube::Error::Api(_)));
            }
            Err(_) => assert!(
                matches!(failure, Failure::Hang | Failure::HangAfter),
                "{failure:?}"
            ),
        }
        assert_eq!(is_done(label), is_made, "{failure:?}");
    }
    server.fail_next(When::write(), Failure::Lie);
    let patch = Patch::Merge(json!({ "metadata": { "labels": { "lie": "1" } } }));
    let told = api.patch("web", &params, &patch).await.unwrap();
    assert!(told.metadata.labels.unwrap().contains_key("lie"));
    assert!(!is_done("lie"));
    api.get("web").await.unwrap();
}

/// Scenario: requests of several kinds.
/// Guarantees: each is on record with what a Role would have to name, its parameters and its body.
#[tokio::test]
async fn requests_are_recorded() {
    let (server, api) = with_deployment(1).await;
    let patch = Patch::Apply(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "status": {},
    }));
    api.list(&ListParams::default().labels("a=b")).await.unwrap();
    api.patch_status("web", &PatchParams::apply("immune").force(), &patch)
        .await
        .unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        (
            requests[0].verb.as_str(),
            requests[0].query["labelSelector"].as_str()
        ),
        ("list", "a=b")
    );
    let patched = &requests[1];
    assert_eq!((patched.verb.as_str(), patched.group.as_str()), ("patch", "apps"));
    assert_eq!(
        (patched.resource.as_str(), patched.subresource.as_deref()),
        ("deployments", Some("status"))
    );
    assert_eq!(
        (patched.namespace.as_deref(), patched.name.as_deref()),
        (Some("agents"), Some("web"))
    );
    assert_eq!(
        (
            patched.query["fieldManager"].as_str(),
            patched.query["force"].as_str()
        ),
        ("immune", "true")
    );
    assert_eq!(patched.content_type, "application/apply-patch+yaml");
    assert_eq!(patched.body["metadata"]["name"], "web");
    assert!(patched.is_write() && !requests[0].is_write());
    server.forget_requests();
    assert_eq!(server.requests(), []);
}
