//! The webhook as an API server meets it: over TLS, with RBAC behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails at the line that was wrong"
)]

use immune_resources::admission::rules::REVIEWS;
use immune_resources::admission::seal::SEAL;
use immune_resources::admission::{Config, Key, Metrics, PATH, VERB, Webhook};
use immune_resources::cases::{Marked, Seal};
use immune_runtime::clock::System;
use immune_test_kubernetes::{ApiServer, Failure, PolicyRule, When, rule};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const OWN: &str = "system:serviceaccount:immune:quarantine";
const KEY: [u8; 32] = [b'k'; 32];

struct World {
    server: ApiServer,
    client: reqwest::Client,
    url: String,
    shutdown: CancellationToken,
    _files: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    async fn start() -> Self {
        let server = ApiServer::start().await;
        let granted = REVIEWS
            .iter()
            .map(|one| rule(&[one.group], &[one.resource], one.verbs))
            .collect();
        server.set_access(granted);
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let at = |name: &str| files.path().join(name);
        std::fs::write(at("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(at("tls.key"), made.signing_key.serialize_pem()).unwrap();
        std::fs::write(at("seal"), KEY).unwrap();
        let config = Config {
            listen: "127.0.0.1:0".to_owned(),
            certificate_file: at("tls.crt"),
            key_file: at("tls.key"),
            seal_key_file: at("seal"),
            service_account: OWN.to_owned(),
        };
        let bound = Webhook::bind(&config, server.client(), Arc::new(System), Metrics::default()).await;
        let webhook = bound.unwrap().unwrap();
        let url = format!("https://localhost:{}{PATH}", webhook.address().port());
        let shutdown = CancellationToken::new();
        tokio::spawn(webhook.run(shutdown.clone()));
        let ca = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([ca]).build().unwrap();
        World {
            server,
            client,
            url,
            shutdown,
            _files: files,
        }
    }

    /// What the webhook makes of a change of annotations by a user.
    async fn change(&self, user: &str, before: Value, after: Value) -> Value {
        self.answer(&review(user, before, after)).await
    }

    async fn answer(&self, review: &Value) -> Value {
        let answer = self.client.post(&self.url).json(review).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(
            (&answer["response"]["uid"], &answer["kind"]),
            (&json!("r1"), &json!("AdmissionReview"))
        );
        answer["response"].clone()
    }
}

/// A change of annotations by a user, as the API server shows it.
fn review(user: &str, before: Value, after: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r1", "operation": "UPDATE", "name": "c1", "namespace": "agents",
            "kind": { "group": "immune.io", "version": "v1alpha1", "kind": "AgentCase" },
            "resource": { "group": "immune.io", "version": "v1alpha1", "resource": "agentcases" },
            "userInfo": { "username": user, "groups": ["staff"], "uid": "p1", "extra": { "scopes": ["a", "b"] } },
            "object": object(after), "oldObject": object(before),
        },
    })
}

fn object(annotations: Value) -> Value {
    json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "AgentCase",
        "metadata": { "name": "c1", "namespace": "agents", "uid": "u1", "annotations": annotations },
        "spec": { "run": "default", "agent": "a", "caseId": "c1" },
    })
}

fn may_decide() -> PolicyRule {
    rule(&["immune.io"], &["agentcases"], &[VERB])
}

fn approve() -> Value {
    json!({ "immune.io/decision": "approve", "immune.io/reason": "seen" })
}

/// Scenario: somebody whom RBAC lets decide, by name or by group, in this namespace or another; and a stranger.
/// Guarantees: only who may here is sealed, with the name that the API server knows; the stranger is told what it takes.
#[tokio::test]
async fn who_may_decide_is_sealed() {
    let world = World::start().await;
    world.server.allow("ada", Some("agents"), may_decide());
    world.server.allow("bob", Some("elsewhere"), may_decide());
    for stranger in ["bob", "mallory"] {
        let answer = world.change(stranger, json!({}), approve()).await;
        assert_eq!(answer["allowed"], false);
        let words = answer["status"]["message"].as_str().unwrap();
        assert!(
            words.contains(&format!("{stranger} may not decide in namespace agents")),
            "{words}"
        );
        assert!(
            words.contains("the verb decide on agentcases.immune.io"),
            "{words}"
        );
        assert_eq!(answer["patch"], Value::Null);
    }
    let answer = world.change("ada", json!({}), approve()).await;
    assert_eq!(
        (&answer["allowed"], &answer["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    // Bytes as numbers, which Go reads as well as base64.
    let patch: Vec<u8> = serde_json::from_value(answer["patch"].clone()).unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    let mut annotations: BTreeMap<String, String> = serde_json::from_value(approve()).unwrap();
    for step in patch.as_array().unwrap() {
        let name = step["path"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
            .replace("~1", "/");
        annotations.insert(name, step["value"].as_str().unwrap().to_owned());
    }
    assert!(annotations.contains_key(SEAL));
    let marked = Marked {
        uid: "u1",
        name: "c1",
        namespace: "agents",
        case: "c1",
        annotations: &annotations,
    };
    let sealed = Key::new(&KEY).unwrap().open(&marked).unwrap();
    assert_eq!((sealed.by.as_str(), sealed.reason.as_str()), ("ada", "seen"));

    world.server.allow("staff", None, may_decide());
    assert_eq!(
        world.change("mallory", json!({}), approve()).await["allowed"],
        true
    );
}

/// Guarantees: RBAC is asked about the whole user, as the API server has named it, and about this object and verb.
#[tokio::test]
async fn the_whole_user_is_asked_about() {
    let world = World::start().await;
    world.change("ada", json!({}), approve()).await;
    let asked = world.server.requests();
    let [question] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(
        question.body["spec"],
        json!({
            "user": "ada", "groups": ["staff"], "uid": "p1", "extra": { "scopes": ["a", "b"] },
            "resourceAttributes": {
                "group": "immune.io", "version": "v1alpha1", "resource": "agentcases", "verb": "decide",
                "namespace": "agents", "name": "c1",
            },
        })
    );
}

/// Scenario: a dry run of a decision, by somebody who may and by a stranger.
/// Guarantees: both learn whether they may, and no seal leaves the house for what is not stored.
#[tokio::test]
async fn a_dry_run_seals_nothing() {
    let world = World::start().await;
    world.server.allow("ada", Some("agents"), may_decide());
    for (user, may) in [("ada", true), ("mallory", false)] {
        let mut review = review(user, json!({}), approve());
        review["request"]["dryRun"] = json!(true);
        let answer = world.answer(&review).await;
        assert_eq!(
            (&answer["allowed"], &answer["patch"]),
            (&json!(may), &Value::Null),
            "{user}"
        );
    }
}

/// Scenario: somebody announces a review and never sends it.
/// Guarantees: others are answered meanwhile, and it ends.
#[tokio::test]
async fn a_review_that_never_comes_keeps_nobody_waiting() {
    let world = World::start().await;
    let never = reqwest::Body::wrap_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request = world
        .client
        .post(&world.url)
        .header("content-type", "application/json");
    let slow = tokio::spawn(request.body(never).send());
    assert_eq!(world.change("ada", json!({}), json!({})).await["allowed"], true);
    let live = world
        .client
        .get(world.url.replace(PATH, "/livez"))
        .send()
        .await
        .unwrap();
    assert_eq!(live.status(), 200);
    let ended = tokio::time::timeout(Duration::from_secs(30), slow).await.unwrap();
    let status = ended.unwrap().unwrap().status();
    assert_eq!(status, 408);
}

/// Scenario: RBAC cannot be asked: refused, away, silent.
/// Guarantees: nobody decides, and the answer comes in time with what else can be done; what is no decision goes on.
#[tokio::test]
async fn nobody_decides_while_nobody_can_be_asked() {
    let world = World::start().await;
    world.server.allow("ada", Some("agents"), may_decide());
    for failure in [Failure::Forbidden, Failure::Internal, Failure::Cut, Failure::Hang] {
        world
            .server
            .fail_next(When::verb("create").on("subjectaccessreviews"), failure.clone());
        let answer = world.change("ada", json!({}), approve()).await;
        assert_eq!(answer["allowed"], false, "{failure:?}");
        let words = answer["status"]["message"].as_str().unwrap();
        assert!(
            words.contains("cannot be asked now whether ada may decide"),
            "{words}"
        );
    }
    world.server.fail_next(When::any().times(9), Failure::Cut);
    assert_eq!(
        world.change("ada", json!({}), json!({ "note": "x" })).await["allowed"],
        true
    );
    world.server.heal();
    assert_eq!(world.change("ada", json!({}), approve()).await["allowed"], true);
}

/// Scenario: what is no review: no JSON, another type, far too much, another path, no TLS.
/// Guarantees: refused, and the next good one is answered.
#[tokio::test]
async fn what_is_no_review_is_refused() {
    let world = World::start().await;
    let post = |body: Vec<u8>| {
        let request = world
            .client
            .post(&world.url)
            .header("content-type", "application/json");
        request.body(body).send()
    };
    for body in [b"{".to_vec(), b"{}".to_vec(), b"[1]".to_vec()] {
        assert!(post(body).await.unwrap().status().is_client_error());
    }
    // The connection may end while we still send.
    let large = post(vec![b' '; 8 << 20]).await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413));
    let elsewhere = world
        .client
        .get(world.url.replace(PATH, "/metrics"))
        .send()
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), 404);
    let plain = world.client.get(world.url.replace("https", "http")).send().await;
    assert!(plain.is_err());
    let empty = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview" });
    let answer: Value = post(empty.to_string().into_bytes())
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer["response"]["allowed"], false);
    assert_eq!(world.change("ada", json!({}), json!({})).await["allowed"], true);
}

/// Guarantees: the chart grants what is listed; without a file for the key nothing starts, and says which.
#[tokio::test]
async fn what_it_needs_is_told() {
    let path = format!(
        "{}/../../helm/immune/files/rbac/admission.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let in_chart: Vec<PolicyRule> = serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let listed: Vec<_> = REVIEWS
        .iter()
        .map(|one| rule(&[one.group], &[one.resource], one.verbs))
        .collect();
    assert_eq!(in_chart, listed);
    let server = ApiServer::start().await;
    let config = Config {
        listen: "127.0.0.1:0".to_owned(),
        seal_key_file: "/nowhere/seal".into(),
        ..Config::default()
    };
    let bound = Webhook::bind(&config, server.client(), Arc::new(System), Metrics::default()).await;
    let error = bound.err().unwrap().to_string();
    assert!(error.contains("/nowhere/seal"), "{error}");
}
