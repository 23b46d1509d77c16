//! What the page asks for beside what scripts do.

use crate::world::{World, key, ring, said, secret};
use immune_dashboard::Config;
use immune_domain::baseline::{Moments, Profile, State};
use immune_domain::detection::Evidence;
use immune_domain::fleet::{Incident, Shared, Sign};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, Timestamp};
use immune_runtime::access::Role;
use immune_runtime::clock::{Clock, System};
use immune_store::conformance::samples::{self, at};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn profile(agent: &str) -> Profile {
    let moments = Moments {
        count: 20,
        mean: 1_000.0,
        stddev: 100.0,
    };
    Profile {
        key: key(agent),
        version: 1,
        state: State::Active,
        sample_count: 20,
        moments: [moments; 3],
        updated_at: Timestamp::EPOCH,
        of: Default::default(),
        is_frozen: false,
        known: None,
    }
}

fn vitals(key: &AgentKey, n: i64) -> Vitals {
    let mut vitals = samples::vitals(key, &format!("e{n}"), at(n));
    vitals.latency_ms = 1_000.0 + n as f64;
    vitals
}

/// Scenario: a healthy agent, one that is suspect, one with a case, one that was only registered, one that a client
/// holds, and one of another run.
/// Guarantees: the whole run in one answer, in the order of ids, compressed for those who can read that, with the
/// event after which changes follow.
#[tokio::test]
async fn the_fleet_comes_in_one_answer() {
    let world = World::start().await;
    for agent in ["d", "b", "a", "c"] {
        world
            .stores
            .vitals
            .append(&[vitals(&key(agent), 1)])
            .await
            .unwrap();
    }
    let other = AgentKey::new("other", "z");
    world.stores.vitals.append(&[vitals(&other, 1)]).await.unwrap();
    world.fleet.profiles.lock().unwrap().push(profile("a"));
    world.fleet.suspects.lock().unwrap().push("b".to_owned());
    world.fleet.open_case(&key("c"), 8.0);
    let register = json!({ "agent_id": "e", "agent_type": "research", "model": "m" });
    world.post("/api/v1/agents/register", register).await;
    let enter = json!({ "agent_id": "d", "action": "enter", "severity": 7.5 });
    let (status, body) = world.post("/api/v1/events/quarantine", enter).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    let fleet = world.read("/api/fleet").await;
    let shown: Vec<_> = fleet["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| {
            let text = |name: &str| agent[name].as_str().unwrap_or("-").to_owned();
            (
                text("id"),
                text("status"),
                agent["suspect"] == true,
                agent["severity"].as_f64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("a", "healthy", false, 0.0),
        ("b", "healthy", true, 4.5),
        ("c", "quarantined", false, 8.0),
        ("d", "quarantined", false, 0.0),
        ("e", "healthy", false, 0.0),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(id, status, suspect, severity)| (id.to_owned(), status.to_owned(), suspect, severity))
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(
        (&fleet["sequence"], &fleet["truncated"], &fleet["total"]),
        (&json!(4), &json!(false), &json!(5))
    );
    let first = &fleet["agents"][0];
    assert_eq!(
        first["baseline"],
        json!({ "state": "active", "samples": 20, "samples_min": 15 })
    );
    assert_eq!(
        first["latest"],
        json!({ "latency": 1_001, "tokens": 777, "tools": 3 })
    );
    assert_eq!(
        (&first["type"], &first["executions"]),
        (&json!("research"), &json!(1))
    );
    let ill = &fleet["agents"][2];
    assert_eq!(
        (&ill["case_id"], &ill["phase"]),
        (&json!("case-1"), &json!("confirmed"))
    );
    assert_eq!(ill["diagnosis"], "prompt_drift");
}

/// Scenario: the sentinel sees a fleet incident in this run and one in another.
/// Guarantees: this run's is told, with its share and what it is a sign of; no more is told without one.
#[tokio::test]
async fn fleet_incidents_are_told() {
    let world = World::start().await;
    assert_eq!(world.read("/api/incidents").await, json!([]));
    let incident = |id: &str, run: &str| Incident {
        id: id.to_owned(),
        run: run.into(),
        what: [Sign::LatencyUp].into_iter().collect(),
        shared: Shared::Model("m-1".into()),
        departing: 12,
        active: 30,
        opened_at: at(7),
        closed_at: None,
        held_back: 3,
    };
    *world.fleet.incidents.lock().unwrap() =
        vec![incident("here", "default"), incident("elsewhere", "other")];
    assert_eq!(
        world.read("/api/incidents").await,
        json!([{
            "id": "here", "what": ["latency_up"], "shared": "model", "name": "m-1", "departing": 12, "active": 30,
            "share": 0.4, "opened_at": at(7).as_epoch_seconds(), "closed_at": null, "held_back": 3,
            "diagnosis": "external_cause",
            "because": "12 of 30 agents of model m-1 depart in latency (up): 40 %",
        }])
    );
}

/// Scenario: a large and a small answer are asked for by one who reads gzip, and live events.
/// Guarantees: only the large JSON is compressed.
#[tokio::test]
async fn large_answers_are_compressed() {
    let world = World::start().await;
    let batch: Vec<Vitals> = (0..50).map(|n| vitals(&key(&format!("agent-{n}")), 1)).collect();
    world.stores.vitals.append(&batch).await.unwrap();
    let gzip = [("Accept-Encoding", "gzip")];
    for (path, is_compressed) in [
        ("/api/fleet", true),
        ("/api/status", false),
        ("/api/events", false),
    ] {
        let response = world.send(Method::GET, path, &gzip, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        let encoding = response
            .headers()
            .get("content-encoding")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(
            encoding.as_deref() == Some("gzip"),
            is_compressed,
            "{path}: {encoding:?}"
        );
    }
}

/// Scenario: a list shows some agents again and again.
/// Guarantees: the latest executions of each, and the band; profiles are not asked for at every look; mistakes are
/// named.
#[tokio::test]
async fn sparks_come_for_the_rows_that_are_shown() {
    let world = World::start().await;
    let batch: Vec<Vitals> = (0..40).map(|n| vitals(&key("a"), n)).collect();
    world.stores.vitals.append(&batch).await.unwrap();
    world.stores.vitals.append(&[vitals(&key("b"), 1)]).await.unwrap();
    world.fleet.profiles.lock().unwrap().push(profile("a"));
    for _ in 0..3 {
        let sparks = world
            .read("/api/sparks?agents=a&agents=b&agents=nobody&agents=a")
            .await;
        assert_eq!(sparks.as_object().unwrap().len(), 2);
        let points = sparks["a"]["latency"].as_array().unwrap();
        assert_eq!(points.len(), 30);
        assert_eq!(points[29], json!([at(39).as_epoch_seconds(), 1_039.0]));
        assert_eq!(sparks["a"]["band"], json!([750.0, 1_250.0]));
        assert_eq!(sparks["b"]["band"], Value::Null);
    }
    assert_eq!(
        world.fleet.profiles_asked.load(Ordering::SeqCst),
        3,
        "twice for one that nobody knows"
    );
    let many: Vec<String> = (0..101).map(|n| format!("agents=a{n}")).collect();
    for query in ["", "agents=%01", &many.join("&")] {
        let (status, body) = world.get(&format!("/api/sparks?{query}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
}

/// Scenario: an agent ran for ten minutes, changed its model, and had a case whose evidence lies within; then it ran
/// more often than can be shown one by one.
/// Guarantees: steps that begin at even times, what lies within the stretch and nothing else, the band, the case, the
/// change; many executions are summed up only.
#[tokio::test]
async fn vitals_over_time_are_summed_up() {
    let world = World::start().await;
    let batch: Vec<Vitals> = (0..600)
        .step_by(10)
        .map(|second| {
            let mut record = vitals(&key("a"), second);
            record.success = second != 0;
            if second >= 300 {
                record.context.model = Some("model-2".into());
            }
            record
        })
        .collect();
    world.stores.vitals.append(&batch).await.unwrap();
    world.fleet.profiles.lock().unwrap().push(profile("a"));
    let mut case = world.fleet.open_case(&key("a"), 8.0);
    (case.opened_at, case.infection.evidence) = (at(400), [395, 900].map(evidence).to_vec());
    *world.fleet.cases.lock().unwrap() = vec![case];
    let path = |from: i64, to: i64, buckets: u32| {
        let (from, to) = (at(from).as_epoch_seconds(), at(to).as_epoch_seconds());
        format!("/api/agents/a/series?from={from}&to={to}&buckets={buckets}")
    };
    let series = world.read(&path(5, 600, 10)).await;
    assert_eq!(series["bucket_seconds"], 60.0);
    assert_eq!(series["from"], at(0).as_epoch_seconds());
    let points = series["points"].as_array().unwrap();
    assert_eq!(points.len(), 10);
    let first = json!({
        "at": at(0).as_epoch_seconds(), "count": 6, "latency": 1_025.0, "tokens": 777.0, "tools": 3.0,
        "retries": null, "failures": 1,
    });
    assert_eq!(points[0], first);
    assert_eq!(series["executions"].as_array().unwrap().len(), 60);
    let change =
        json!({ "at": at(300).as_epoch_seconds(), "kind": "model", "from": "model-1", "to": "model-2" });
    assert_eq!(series["changes"], json!([change]));
    assert_eq!(series["cases"][0]["case_id"], "case-1");
    assert_eq!(
        (&series["cases"][0]["closed_at"], &series["truncated"]),
        (&Value::Null, &json!(false))
    );
    let anomalies = series["anomalies"].as_array().unwrap();
    assert_eq!(anomalies.len(), 1);
    assert_eq!(anomalies[0]["execution_id"], "e395");
    assert_eq!(
        (&series["band"][0]["low"], &series["threshold_stddev"]),
        (&json!(750.0), &json!(2.5))
    );
    let earlier = world.read(&path(0, 100, 10)).await;
    assert_eq!(earlier["cases"], json!([]), "the case was not open yet");
    let many: Vec<Vitals> = (0..600)
        .map(|n| {
            samples::vitals(
                &key("a"),
                &format!("more-{n}"),
                at(n / 2).plus(Duration::from_millis(1)),
            )
        })
        .collect();
    world.stores.vitals.append(&many).await.unwrap();
    let series = world.read(&path(0, 600, 10)).await;
    assert_eq!(series["executions"], json!([]));
    assert_eq!(series["changes"][0]["at"], at(300).as_epoch_seconds());
    for (query, status) in [
        ("from=2&to=1", StatusCode::BAD_REQUEST),
        ("from=1&to=100000000", StatusCode::BAD_REQUEST),
        ("buckets=0", StatusCode::BAD_REQUEST),
        ("from=yesterday", StatusCode::BAD_REQUEST),
    ] {
        let (answered, body) = world.get(&format!("/api/agents/a/series?{query}")).await;
        assert_eq!(answered, status, "{query}: {body}");
    }
    assert_eq!(
        world.get("/api/agents/nobody/series").await.0,
        StatusCode::NOT_FOUND
    );
}

fn evidence(second: i64) -> Evidence {
    Evidence {
        execution: format!("e{second}").into(),
        trace_id: Some("0af7".to_owned()),
        timestamp: at(second),
        latency_ms: 9_000.0,
        token_count: Some(1),
        tool_calls: None,
        retries: None,
        success: true,
    }
}

/// Scenario: rules for every run, for this run and for another one.
/// Guarantees: what holds here, in numbers and in words, and nothing of the other run.
#[tokio::test]
async fn policy_is_shown() {
    let rules = json!({ "rules": [
        { "name": "elsewhere", "match": { "run": "other*" }, "set": { "threshold_stddev": 9.0 } },
        { "name": "careful", "match": { "agent_type": "data" }, "set": { "threshold_stddev": 2.0, "mode": "observe" } },
    ]});
    let policies: immune_domain::policy::Policies = serde_json::from_value(rules).unwrap();
    let world = World::changed(Config::default(), Default::default(), |d| {
        d.policies = policies.into()
    })
    .await;
    let shown = world.read("/api/policy").await;
    assert_eq!(shown["defaults"]["settings"]["threshold_stddev"], 2.5);
    let rules = shown["rules"].as_array().unwrap();
    assert_eq!(rules.len(), 1);
    assert_eq!(
        (
            &rules[0]["name"],
            &rules[0]["effective"]["settings"]["threshold_stddev"]
        ),
        (&json!("careful"), &json!(2.0))
    );
    assert!(
        rules[0]["whom"].as_str().unwrap().contains("\"data\""),
        "{rules:?}"
    );
    let words = rules[0]["effective"]["words"].to_string();
    assert!(
        words.contains("watched only") && words.contains("more than 2 standard deviations"),
        "{words}"
    );
}

/// Guarantees: each role's replicas, where records live, what comes in, and whether the guard sees.
#[tokio::test]
async fn system_says_how_it_is() {
    let world = World::start().await;
    let system = world.read("/api/system").await;
    assert_eq!(system["healthy"], true, "{system}");
    assert_eq!(
        system["backends"],
        json!({ "bus": "local", "workflow": "memory", "vitals": "memory" })
    );
    let sentinel = &system["roles"][2];
    assert_eq!(
        (&sentinel["role"], &sentinel["status"]),
        (&json!("sentinel"), &json!("serving"))
    );
    let replica = json!({
        "address": "in-process", "status": "serving", "partitions": 1, "lag_seconds": 0.02, "idle_seconds": 1.0,
    });
    assert_eq!(sentinel["replicas"], json!([replica]));
    assert_eq!(system["blind"]["is_blind"], false);
    *world.fleet.silent_seconds.lock().unwrap() = None;
    let blind = &world.read("/api/system").await["blind"];
    assert_eq!(
        (&blind["is_blind"], &blind["cause"]),
        (&json!(true), &json!("telemetry_stopped"))
    );
}

/// Scenario: a case is looked at while another agent of the same kind, and one with the same MCP server, are ill.
/// Guarantees: who is affected, when it escalates, what happens next.
#[tokio::test]
async fn a_case_says_who_is_affected() {
    let world = World::start().await;
    for (agent, kind, server) in [
        ("a", "data", "files"),
        ("b", "data", "web"),
        ("c", "other", "files"),
        ("d", "data", "x"),
    ] {
        let mut record = vitals(&key(agent), 1);
        record.context.agent_type = Some(kind.to_owned());
        record.context.mcp_servers = vec![server.to_owned()];
        record.context.workload = vec![("namespace.name".into(), "prod".into())];
        world.stores.vitals.append(&[record]).await.unwrap();
    }
    for agent in ["a", "b", "c"] {
        world.fleet.open_case(&key(agent), 8.0);
    }
    let case = world.read("/api/cases/case-1").await;
    let affected = &case["affected"];
    assert_eq!(
        (&affected["namespace"], &affected["mcp_servers"]),
        (&json!("prod"), &json!(["files"]))
    );
    assert_eq!(affected["same_type"], json!({ "count": 1, "agents": ["b"] }));
    assert_eq!(
        affected["same_mcp_server"],
        json!({ "count": 1, "agents": ["c"] })
    );
    let escalates = case["state_details"]["escalates_at"].as_f64().unwrap();
    assert_eq!(case["expires_at"].as_f64(), Some(escalates));
    assert!(escalates > System.now().as_epoch_seconds());
    assert!(
        case["next"].as_str().unwrap().starts_with("Waits for a person"),
        "{case}"
    );
}

/// Scenario: a person whose key is bound to one run decides a case of another.
/// Guarantees: for that person the case does not exist, and it is as it was.
#[tokio::test]
async fn a_case_of_another_run_cannot_be_decided() {
    let world = World::with(Config::default(), ring(&[("olga", Role::Operator, &["default"])])).await;
    let id = world.fleet.open_case(&AgentKey::new("other", "a"), 8.0).id;
    let secret = secret("olga");
    let headers = [("X-API-Key", secret.as_str())];
    let path = format!("/api/cases/{id}/approve");
    let (status, body) = said(world.send(Method::POST, &path, &headers, Some(json!({}))).await).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    assert_eq!(world.fleet.cases.lock().unwrap()[0].version, 1);
}
