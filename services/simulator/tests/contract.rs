//! The simulated platform and the lever's client, held against `proto/lifecycle.openapi.yaml`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Lever, Order};
use immune_levers_lifecycle::Lifecycle;
use immune_simulator::{Faults, Handle};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use world::{ask, lever, quick, start};

fn contract() -> Value {
    serde_norway::from_str(include_str!("../../../proto/lifecycle.openapi.yaml")).unwrap()
}

/// Follows a reference.
fn resolve<'a>(contract: &'a Value, node: &'a Value) -> &'a Value {
    match node["$ref"].as_str() {
        Some(path) => contract
            .pointer(path.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{path}")),
        None => node,
    }
}

/// The part of JSON Schema that the contract uses; a keyword that it does not know fails.
fn check(contract: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolve(contract, schema);
    for (keyword, rule) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "description" => {}
            "type" => {
                let is_so = match rule.as_str().unwrap() {
                    "object" => value.is_object(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    other => panic!("type {other} is not known to this test"),
                };
                if !is_so {
                    wrong.push(format!("{at}: {value} is no {rule}"));
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    wrong.push(format!("{at}: {value} is not one of {rule}"));
                }
            }
            "minLength" => {
                if value
                    .as_str()
                    .is_some_and(|text| (text.len() as u64) < rule.as_u64().unwrap())
                {
                    wrong.push(format!("{at}: too short"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap().iter().filter_map(Value::as_str) {
                    if value.get(name).is_none() {
                        wrong.push(format!("{at}.{name}: missing"));
                    }
                }
            }
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(contract, schema, value, &format!("{at}.{name}"), wrong);
                    }
                }
            }
            other => panic!("{at}: keyword {other} is not known to this test"),
        }
    }
}

/// One request to the simulated platform; its answer must be one that the contract names, as it names it.
async fn tried(
    simulation: &Handle,
    method: Method,
    template: &str,
    ids: (&str, &str),
    body: Option<Value>,
) -> u16 {
    let contract = contract();
    let operation = &contract["paths"][template][method.as_str().to_ascii_lowercase()];
    assert!(
        operation.is_object(),
        "{method} {template} is not in the contract"
    );
    let url = simulation.lifecycle_base_url() + &template.replace(ids.0, ids.1);
    let mut request = Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .unwrap()
        .request(method.clone(), url);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let told = resolve(&contract, &operation["responses"][status.to_string()]);
    assert!(
        told.is_object(),
        "{method} {template} answers {status}, which the contract does not name"
    );
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let schema = &told["content"][&kind]["schema"];
    assert!(
        schema.is_object(),
        "{method} {template} answers {status} as {kind}, which the contract does not name"
    );
    let body: Value = response.json().await.unwrap();
    let mut wrong = Vec::new();
    check(&contract, schema, &body, &status.to_string(), &mut wrong);
    assert!(wrong.is_empty(), "{method} {template}: {wrong:?} in {body}");
    status
}

/// Scenario: every operation of the contract, in every way the simulated platform can answer it.
/// Guarantees: status, content type and body are those of the contract, and no operation is left untried.
#[tokio::test]
async fn the_server_answers_as_the_contract_says() {
    // Installs the TLS provider that the test's own client needs too.
    let simulation = start(quick()).await;
    let _ = lever(&simulation.lifecycle_base_url());
    let order = |action: &str, key: &str| json!({ "action": action, "case_id": "c", "idempotency_key": key, "reason": "r", "parameters": {} });
    let (act, agent, operation) = (
        "/agents/{agent_id}/actions",
        "/agents/{agent_id}",
        "/operations/{operation_id}",
    );
    let data = ("{agent_id}", "data-1");
    let actions = contract()["components"]["schemas"]["Action"]["enum"]
        .as_array()
        .unwrap()
        .clone();
    for (n, action) in actions.iter().enumerate() {
        let body = order(action.as_str().unwrap(), &format!("key-{n}"));
        assert_eq!(
            tried(&simulation, Method::POST, act, data, Some(body)).await,
            200,
            "{action}"
        );
    }
    let post = async |ids, body| tried(&simulation, Method::POST, act, ids, Some(body)).await;
    assert_eq!(post(data, order("quarantine", "key-0")).await, 409);
    assert_eq!(post(data, order("explode", "new")).await, 400);
    assert_eq!(post(data, order("release", "")).await, 400);
    assert_eq!(post(data, json!([])).await, 400);
    assert_eq!(
        post(("{agent_id}", "no%2Fbody"), order("release", "new")).await,
        404
    );
    let get = async |path, ids| tried(&simulation, Method::GET, path, ids, None).await;
    assert_eq!(get(agent, data).await, 200);
    assert_eq!(get(agent, ("{agent_id}", "nobody")).await, 404);
    assert_eq!(get(operation, ("{operation_id}", "op-0")).await, 200);
    assert_eq!(get(operation, ("{operation_id}", "op-99")).await, 404);
    let takes = std::time::Duration::from_secs(60);
    simulation.set_faults(Faults {
        answers_later: true,
        takes,
        ..Faults::default()
    });
    assert_eq!(post(data, order("release", "later")).await, 202);
    let later = format!("op-{}", actions.len());
    assert_eq!(
        tried(
            &simulation,
            Method::GET,
            operation,
            ("{operation_id}", &later),
            None
        )
        .await,
        202
    );
    simulation.set_faults(Faults {
        breaks_next: 3,
        ..Faults::default()
    });
    assert_eq!(post(data, order("release", "broken")).await, 500);
    assert_eq!(get(agent, data).await, 500);
    assert_eq!(get(operation, ("{operation_id}", "op-0")).await, 500);

    let contract = contract();
    let paths: BTreeSet<&str> = contract["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        paths,
        BTreeSet::from([act, agent, operation]),
        "an operation that this test does not try"
    );
}

/// Scenario: every order that the lever can give.
/// Guarantees: the client's requests are those of the contract, and all its actions are in use.
#[tokio::test]
async fn the_client_asks_as_the_contract_says() {
    type Seen = Arc<Mutex<Vec<(String, Value)>>>;
    async fn note(seen: axum::extract::State<Seen>, uri: axum::http::Uri, body: String) -> axum::Json<Value> {
        if !body.is_empty() {
            seen.lock()
                .unwrap()
                .push((uri.path().to_owned(), serde_json::from_str(&body).unwrap()));
        }
        axum::Json(json!({ "outcome": "failed" }))
    }
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(note).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });

    let lever: Lifecycle = lever(&url);
    let containments =
        [Containment::Contained, Containment::Probation, Containment::Free].map(Order::Contain);
    for (n, order) in Action::ALL
        .map(Order::Heal)
        .into_iter()
        .chain(containments)
        .enumerate()
    {
        lever.ask(&ask("ns/a", &format!("key-{n}"), order)).await;
    }
    let contract = contract();
    let schema = &contract["components"]["schemas"]["Order"];
    let mut used = BTreeSet::new();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 9);
    for (path, body) in seen.iter() {
        assert_eq!(path, "/agents/ns%2Fa/actions");
        let mut wrong = Vec::new();
        check(&contract, schema, body, "order", &mut wrong);
        assert!(wrong.is_empty(), "{wrong:?} in {body}");
        used.insert(body["action"].as_str().unwrap().to_owned());
    }
    let actions = contract["components"]["schemas"]["Action"]["enum"]
        .as_array()
        .unwrap();
    let actions: BTreeSet<String> = actions
        .iter()
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    assert_eq!(used, actions);
}
