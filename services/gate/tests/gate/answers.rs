//! What is answered, through the life of a case.

use crate::world::{World, by_headers, by_principal, denial, http_client, until};
use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::google::protobuf::value::Kind;
use immune_domain::policy::{Mode, Policies};
use immune_proto::v1::Decision;
use serde_json::{Value, json};
use tonic::Code;

/// Scenario: an agent falls ill; Envoy asks.
/// Guarantees: the answer is denied with the reason of the REST endpoint, the case in body, headers and metadata.
#[tokio::test]
async fn a_denial_carries_reason_and_case() {
    let world = World::start(json!({})).await;
    assert!(world.door.may_act("a").await);
    let case = world.ward.falls_ill("a").await;
    world.door.until("a", false).await;
    let answer = world.door.ask("a").await.unwrap();
    let (body, headers) = denial(&answer);
    let reason = world.ward.admission("a").await.reason;
    assert_eq!(
        body,
        json!({
            "type": "urn:immune:problem:gate.contained",
            "title": "Forbidden",
            "status": 403,
            "detail": reason,
            "agent_id": "a",
            "run_id": "default",
            "case_id": case,
            "severity": 8.5,
            "diagnosis": "prompt_drift",
        })
    );
    assert_eq!(headers["x-immune-case"], case);
    assert_eq!(headers["x-immune-reason"], reason);
    assert_eq!(headers["content-type"], "application/problem+json");
    let status = answer.status.unwrap();
    assert_eq!(
        (status.code, status.message),
        (Code::PermissionDenied as i32, reason.clone())
    );
    let metadata = answer.dynamic_metadata.unwrap().fields;
    let text = |name: &str| match metadata[name].kind.clone().unwrap() {
        Kind::StringValue(text) => text,
        kind => panic!("{name} is {kind:?}"),
    };
    assert_eq!(text("case_id"), case);
    assert_eq!(text("diagnosis"), "prompt_drift");
    assert_eq!(text("answer"), "denied_contained");
    assert_eq!((text("run_id"), text("agent_id")), ("default".into(), "a".into()));
    assert_eq!(metadata["severity"].kind, Some(Kind::NumberValue(8.5)));

    let plain = world.door.ask_plainly("a").await;
    assert_eq!(plain.status(), 403);
    assert_eq!(plain.headers()["content-type"], "application/problem+json");
    assert_eq!(plain.headers()["x-immune-case"], case.as_str());
    assert_eq!(plain.headers()["x-immune-reason"], reason.as_str());
    assert_eq!(plain.headers()["cache-control"], "no-store");
    assert_eq!(plain.json::<Value>().await.unwrap(), body);
}

/// Scenario: an ill agent is contained, approved, healed and on probation; another is released by a person; a third is
/// contained in one run and asks from another.
/// Guarantees: contained agents are denied, those on probation and released ones may act; runs are apart; agents that
/// nobody knows may act.
#[tokio::test]
async fn through_the_life_of_a_case() {
    let world = World::start(json!({})).await;
    let [healed, released] = [
        world.ward.falls_ill("healed").await,
        world.ward.falls_ill("released").await,
    ];
    for agent in ["healed", "released"] {
        world.door.until(agent, false).await;
    }
    world.ward.decide(&released, Decision::Release).await;
    world.door.until("released", true).await;
    world.ward.decide(&healed, Decision::Approve).await;
    assert!(!world.door.may_act("healed").await, "approved is not healed");
    world.ward.heals(&healed).await;
    world.door.until("healed", true).await;
    let phase = world.ward.case(&healed).await.quarantine.phase;
    assert_eq!(phase.as_str(), "probation");

    world.ward.falls_ill("third").await;
    world.door.until("third", false).await;
    let elsewhere = by_headers(&[("x-agent-id", "third"), ("x-run-id", "another")]);
    let answer = world
        .door
        .grpc()
        .await
        .check(elsewhere)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.status.unwrap().code, 0);
    assert!(world.door.may_act("nobody knows me").await);
}

/// Scenario: an agent is rejected by a person, so that it stays contained.
/// Guarantees: it stays out.
#[tokio::test]
async fn rejected_agents_stay_out() {
    let world = World::start(json!({})).await;
    let case = world.ward.falls_ill("a").await;
    world.door.until("a", false).await;
    world.ward.decide(&case, Decision::Reject).await;
    until("the rejection is known", async || {
        world.ward.case(&case).await.state.as_str() == "rejected"
    })
    .await;
    assert!(!world.door.may_act("a").await);
}

/// Scenario: policy only observes when an agent falls ill; and it comes to observe one that is contained.
/// Guarantees: neither is denied.
#[tokio::test]
async fn observed_agents_are_never_denied() {
    let world = World::start(json!({})).await;
    world.ward.falls_ill("before").await;
    world.door.until("before", false).await;
    let mut observe = Policies::default();
    observe.defaults.mode = Mode::Observe;
    world.policies.replace(observe);
    assert!(world.door.may_act("before").await);
    world.ward.falls_ill("after").await;
    // News of it come in order, so that those of a later case say that they have been read.
    world.policies.replace(Policies::default());
    world.ward.falls_ill("later").await;
    world.door.until("later", false).await;
    assert!(world.door.may_act("after").await);
}

/// Scenario: agents write headers of ours, in any spelling, over both protocols.
/// Guarantees: the gateway is told to remove them, and not to remove those that name the agent.
#[tokio::test]
async fn forged_headers_are_removed() {
    let identity = json!([{ "header": { "name": "x-immune-agent" } }]);
    let world = World::start(json!({ "identity": identity })).await;
    let forged = [
        ("x-immune-agent", "a"),
        ("x-immune-reason", "fine"),
        ("x-immune-trust", "me"),
        ("x-other", "stays"),
    ];
    let answer = world
        .door
        .grpc()
        .await
        .check(by_headers(&forged))
        .await
        .unwrap()
        .into_inner();
    let Some(HttpResponse::OkResponse(ok)) = answer.http_response else {
        panic!("not allowed");
    };
    let expected = ["x-immune-case", "x-immune-reason", "x-immune-trust"];
    assert_eq!(ok.headers_to_remove, expected);
    let mut request = http_client().get(world.door.url("/check"));
    for (name, value) in forged {
        request = request.header(name.to_ascii_uppercase(), value);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(
        answer.headers()["x-envoy-auth-headers-to-remove"],
        expected.join(",").as_str()
    );
}

/// Scenario: requests that say nothing of an agent, or nothing clear, or have no attributes at all; a connection
/// instead of a request.
/// Guarantees: each is answered with its own word; a connection is judged by its certificate.
#[tokio::test]
async fn requests_without_an_agent() {
    let identity = json!([
        { "spiffe": { "pattern": "spiffe://example.org/{agent}" } },
        { "header": { "name": "x-agent-id" } },
    ]);
    let world = World::start(json!({ "identity": identity })).await;
    let mut client = world.door.grpc().await;
    for (headers, word) in [
        (&[][..], "gate.unidentified"),
        (&[("x-agent-id", "a,b")], "gate.malformed"),
        (&[("x-agent-id", "")], "gate.malformed"),
    ] {
        let answer = client.check(by_headers(headers)).await.unwrap().into_inner();
        let (body, _) = denial(&answer);
        assert_eq!(body["type"], format!("urn:immune:problem:{word}"));
    }
    let status = client.check(CheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);

    world.ward.falls_ill("a").await;
    world.door.until("a", false).await;
    for (principal, code) in [
        ("spiffe://example.org/a", Code::PermissionDenied),
        ("spiffe://example.org/b", Code::Ok),
    ] {
        let answer = client.check(by_principal(principal)).await.unwrap().into_inner();
        assert_eq!(answer.status.unwrap().code, code as i32);
    }
}

/// Scenario: checks of every kind.
/// Guarantees: each is counted once under its answer, and its time is measured.
#[tokio::test]
async fn checks_are_counted() {
    let world = World::start(json!({})).await;
    world.ward.falls_ill("a").await;
    world.door.until("a", false).await;
    let count = |answer: &'static str| {
        let labels = immune_gate::metrics::AnswerLabels { answer };
        world.door.metrics.checks.get_or_create(&labels).get()
    };
    let before = ["allowed", "denied_contained", "denied_unidentified"].map(count);
    assert!(!world.door.may_act("a").await);
    assert!(world.door.may_act("b").await);
    assert_eq!(
        http_client()
            .get(world.door.url("/check"))
            .send()
            .await
            .unwrap()
            .status(),
        403
    );
    let after = ["allowed", "denied_contained", "denied_unidentified"].map(count);
    assert_eq!(after, [before[0] + 2, before[1] + 2, before[2] + 1]);
    until("the gauge tells", async || {
        world.door.metrics.contained.get() == 1
    })
    .await;
}
