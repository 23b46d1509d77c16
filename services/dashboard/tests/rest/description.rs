//! The API's description of itself.

use crate::world::World;
use immune_dashboard::openapi;
use serde_json::Value;

/// Every `$ref` of a document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(target) if name == "$ref" => found.push(target.clone()),
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_) => {
                        references(value, found);
                    }
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Guarantees: OpenAPI 3.1, every reference resolves, operations have unique names, problems and security everywhere
/// but at health and where a chat signs; what is served is what `openapi` returns.
#[tokio::test]
async fn the_description_is_whole() {
    let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut targets = Vec::new();
    references(&document, &mut targets);
    assert!(!targets.is_empty());
    for target in targets {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(
                names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{what} shares its name"
            );
            assert!(
                operation["responses"]["default"]["content"]["application/problem+json"].is_object(),
                "{what}"
            );
            assert_eq!(
                operation["security"].is_array(),
                !["/api/v1/health", "/chat/slack"].contains(&path.as_str()),
                "{what}"
            );
        }
    }
    let world = World::start().await;
    assert_eq!(world.read("/api/openapi.json").await, document);
}

/// Guarantees: a path of the description is a path of the router: each is answered by something else than 404 of the
/// fallback.
#[tokio::test]
async fn described_paths_exist() {
    let world = World::start().await;
    for (method, path, _) in immune_dashboard::TABLE {
        let concrete = path.replace("{agent_id}", "some").replace("{case_id}", "some");
        let method = reqwest::Method::from_bytes(method.as_str().as_bytes()).unwrap();
        let response = world.send(method.clone(), &concrete, &[], None).await;
        assert_ne!(response.status().as_u16(), 405, "{method} {path}");
        if response.status().as_u16() == 404 {
            let problem: Value = response.json().await.unwrap();
            assert_ne!(
                problem["type"], "urn:immune:problem:request.no_such_path",
                "{method} {path}"
            );
        }
    }
}
