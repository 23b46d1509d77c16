//! What the tests of the server share.
#![allow(dead_code, reason = "each test file uses its own part")]

use immune_test_kubernetes::ApiServer;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

/// A Deployment of one container, with its pods' labels.
pub fn deployment(name: &str, replicas: i32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name, "namespace": "agents", "labels": { "app": name } },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name, "tier": "agent" } },
                "spec": { "containers": [
                    { "name": "main", "image": "agent:1", "env": [{ "name": "MODE", "value": "calm" }] },
                ] },
            },
        },
    })
}

/// A server with the namespace `agents` and in it this Deployment, and the client's view of that namespace.
pub async fn with_deployment(replicas: i32) -> (ApiServer, Api<Deployment>) {
    let server = ApiServer::start().await;
    server.put(deployment("web", replicas));
    let api = Api::namespaced(server.client(), "agents");
    (server, api)
}

/// An object as the client's type.
pub fn typed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("the object is of its type")
}

/// The status that a request was refused with.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, kube::Error>) -> (u16, String) {
    match answer.expect_err("it is refused") {
        kube::Error::Api(status) => (status.code, status.reason.clone()),
        other => panic!("no refusal: {other}"),
    }
}
