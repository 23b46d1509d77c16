//! A client for REST, as a program of an operator would be.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A client of one server.
#[derive(Clone)]
pub struct Api {
    base: String,
    client: Client,
}

impl Api {
    /// A client of the server at `base` (`http://127.0.0.1:PORT`).
    pub fn new(base: impl Into<String>) -> Self {
        // A second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(Duration::from_secs(10))
            .build()
            .expect("a plain client can be built");
        Api {
            base: base.into(),
            client,
        }
    }

    /// Sends a request; `None` when the server is away.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Option<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    /// A JSON answer with status 200; `None` otherwise.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = self.send(Method::GET, path, None).await?;
        (status == StatusCode::OK).then_some(body)
    }

    /// Posts JSON; the status and the answer, `None` when the server is away.
    pub async fn post(&self, path: &str, body: Value) -> Option<(StatusCode, Value)> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Whether the server and its stores answer.
    pub async fn is_healthy(&self) -> bool {
        self.get("/api/v1/health").await.is_some()
    }

    /// One agent as operators see it.
    pub async fn agent(&self, id: &str) -> Option<Value> {
        self.get(&format!(
            "/api/agents/{}",
            utf8_percent_encode(id, NON_ALPHANUMERIC)
        ))
        .await
    }

    /// Cases of the default run, newest first; all of them, closed ones included.
    pub async fn cases(&self) -> Option<Vec<Value>> {
        let answer = self.get("/api/cases?limit=1000").await?;
        answer.as_array().or_else(|| answer["cases"].as_array()).cloned()
    }

    /// The newest case of an agent.
    pub async fn case_of(&self, agent: &str) -> Option<Value> {
        self.cases()
            .await?
            .into_iter()
            .find(|case| case["agent_id"] == agent)
    }

    /// One whole case.
    pub async fn case(&self, id: &str) -> Option<Value> {
        self.get(&format!("/api/cases/{id}")).await
    }

    /// A decision with a reason.
    pub async fn decide(&self, case: &str, verb: &str) -> Option<(StatusCode, Value)> {
        self.post(
            &format!("/api/cases/{case}/{verb}"),
            json!({ "reason": format!("test says {verb}") }),
        )
        .await
    }
}
