use super::*;
use immune_test_kubernetes::{ApiServer, Failure, When};
use serde_json::Value;
use std::sync::Arc;

/// How long these tests wait for an outcome.
const WAIT: Duration = Duration::from_secs(20);

/// A cluster with one open case, `c1`.
async fn cluster() -> Arc<ApiServer> {
    let server = ApiServer::start().await;
    server.put(serde_json::to_value(immune_resources::cases::crd()).expect("a definition"));
    server.put(case("c1", json!({ "state": "awaiting_approval" })));
    Arc::new(server)
}

fn case(name: &str, status: Value) -> Value {
    json!({
        "apiVersion": "immune.io/v1alpha1", "kind": "AgentCase",
        "metadata": { "name": name, "namespace": "agents" },
        "spec": { "run": "default", "agent": "a", "caseId": name }, "status": status,
    })
}

fn errand(server: &ApiServer, name: &str, decision: Decision) -> Errand {
    Errand {
        api: Api::namespaced(server.client(), "agents"),
        server: server.url().to_owned(),
        name: name.to_owned(),
        decision,
    }
}

/// As the mirror does: once a decision is there, says what came of it and takes it away.
fn mirror(server: &Arc<ApiServer>, said: Option<Value>) {
    let server = server.clone();
    tokio::spawn(async move {
        let has_decision = |server: &ApiServer| {
            let case = server.get("AgentCase", "agents", "c1");
            case.is_some_and(|case| case["metadata"]["annotations"][DECISION].is_string())
        };
        server.until("a decision is written", has_decision).await;
        server.change("AgentCase", "agents", "c1", |case| {
            if let Some(said) = said {
                case["status"]["decision"] = said;
            }
            case["metadata"]["annotations"] = json!({});
        });
    });
}

fn decided(what: &str, outcome: &str, detail: &str) -> Value {
    json!({ "what": what, "by": "ada", "outcome": outcome, "detail": detail, "id": what })
}

/// Scenario: a decision on a case on whose object another one was made before; it is carried out, is the first of two,
/// or is refused.
/// Guarantees: the annotations are written, and what is told is what came of this one, with who decided.
#[tokio::test]
async fn what_came_of_it_is_told() {
    for (outcome, detail, is_good) in [
        ("done", "", true),
        ("first_of_two", "somebody else must say so, too", true),
        ("refused", "the case is healing", false),
    ] {
        let server = cluster().await;
        let earlier = json!({ "state": "awaiting_approval", "decision": decided("reject", "done", "") });
        server.put(case("c1", earlier));
        mirror(&server, Some(decided("approve", outcome, detail)));
        let told = errand(&server, "c1", Decision::Approve).run("seen", WAIT).await;
        assert_eq!(told.is_ok(), is_good, "{told:?}");
        let told = told.unwrap_or_else(|error| error.to_string());
        assert!(
            told.starts_with(&format!("c1: approve by ada: {outcome}")),
            "{told}"
        );
        assert!(told.ends_with(detail), "{told}");
        let requests = server.requests();
        let patches: Vec<_> = requests
            .iter()
            .filter(|request| request.verb == "patch")
            .collect();
        assert_eq!(
            patches[0].body["metadata"]["annotations"],
            json!({ "immune.io/decision": "approve", "immune.io/reason": "seen" })
        );
        let verbs =
            |request: &&immune_test_kubernetes::Request| matches!(request.verb.as_str(), "get" | "patch");
        assert!(requests.iter().all(|request| verbs(&request)), "{requests:?}");
    }
}

/// Scenario: no such case, a closed one, no right, a webhook that says no, no cluster.
/// Guarantees: each is one sentence that says what it is, and nothing is written on a closed case.
#[tokio::test]
async fn what_cannot_be_is_told() {
    let server = cluster().await;
    let closed = json!({ "state": "healed", "closedAt": "2026-01-01T00:00:00Z" });
    server.put(case("old", closed));
    let tell = async |name: &str| {
        let said = errand(&server, name, Decision::Approve).run("", WAIT).await;
        said.expect_err("it cannot be").to_string()
    };
    let said = tell("nope").await;
    assert!(said.starts_with("there is no AgentCase \"nope\""), "{said}");
    let said = tell("old").await;
    assert!(said.contains("closed (healed)"), "{said}");
    assert!(!server.requests().iter().any(|request| request.verb == "patch"));
    server.fail_next(When::verb("patch"), Failure::Forbidden);
    let said = tell("c1").await;
    assert!(said.contains("forbidden"), "{said}");
    let refusal = Failure::Admission("ada may not decide in namespace agents".to_owned());
    server.fail_next(When::verb("patch"), refusal);
    let said = tell("c1").await;
    assert!(said.contains("ada may not decide in namespace agents"), "{said}");
    server.fail_next(When::any(), Failure::Cut);
    let said = tell("c1").await;
    assert!(
        said.starts_with(&format!("cannot reach the cluster at {}", server.url())),
        "{said}"
    );
}

/// Scenario: the decision is taken away without an answer, nothing comes of it, the case goes, or the API server is away
/// for a moment while it is waited for.
/// Guarantees: the person learns that the decision is written and what to look at; a short outage is waited out.
#[tokio::test]
async fn waiting_ends() {
    let server = cluster().await;
    mirror(&server, None);
    let said = errand(&server, "c1", Decision::Approve).run("", WAIT).await;
    let said = said.expect_err("nobody has sealed it").to_string();
    assert!(said.contains("nobody has sealed it"), "{said}");

    let said = errand(&server, "c1", Decision::Approve)
        .run("", Duration::ZERO)
        .await;
    let said = said.expect_err("nobody carries it out").to_string();
    assert!(said.contains("nothing came of it within 0 s"), "{said}");

    let server = cluster().await;
    server.fail_next(When::verb("get").after(1).times(2), Failure::Cut);
    mirror(&server, Some(decided("heal-now", "done", "")));
    let said = errand(&server, "c1", Decision::HealNow).run("", WAIT).await;
    assert_eq!(said.expect("it is carried out"), "c1: heal-now by ada: done");

    let server = cluster().await;
    server.fail_next(When::verb("get").after(1).times(99), Failure::Cut);
    let said = errand(&server, "c1", Decision::Approve)
        .run("", Duration::ZERO)
        .await;
    let said = said.expect_err("it cannot be read").to_string();
    assert!(
        said.starts_with("the decision is written; what came of it cannot be read"),
        "{said}"
    );
}

/// Guarantees: what the webhook would refuse is told before anything is asked.
#[test]
fn reasons_are_checked() {
    for decision in [Decision::Reject, Decision::Release] {
        let said = check(decision, " ").expect_err("no reason").to_string();
        assert!(said.contains("takes a reason: add --reason TEXT"), "{said}");
        assert!(check(decision, "known").is_ok());
    }
    assert!(check(Decision::Approve, "").is_ok());
    assert!(check(Decision::HealNow, &"x".repeat(REASON_MAX)).is_ok());
    assert!(check(Decision::HealNow, &"x".repeat(REASON_MAX + 1)).is_err());
}
