//! A real HTTP server on loopback that answers as a script says.
#![allow(dead_code, reason = "each test binary uses a part")]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use immune_domain::AgentKey;
use immune_levers::{Ask, Order};
use immune_levers_lifecycle::{Base, Config};
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// How the server answers one request.
pub enum Answer {
    Json(u16, Value),
    /// Status, one header, body.
    Raw(u16, Option<(&'static str, String)>, Vec<u8>),
    /// A body that has no end.
    Endless,
    /// No answer at all.
    Never,
}

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Path and query, undecoded.
    pub path: String,
    pub headers: HeaderMap,
    pub body: Value,
}

type Script = dyn Fn(usize, &Request) -> Answer + Send + Sync;

#[derive(Clone)]
pub struct Platform {
    pub url: String,
    seen: Arc<Mutex<Vec<Request>>>,
    script: Arc<Script>,
}

impl Platform {
    /// Serves the script: it gets the number of the request, from 0, and the request.
    pub async fn start(script: impl Fn(usize, &Request) -> Answer + Send + Sync + 'static) -> Platform {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let platform = Platform {
            url,
            seen: Arc::default(),
            script: Arc::new(script),
        };
        let router = Router::new().fallback(answer).with_state(platform.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        platform
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    State(platform): State<Platform>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let request = Request {
        method,
        path: uri.to_string(),
        headers,
        body,
    };
    let n = {
        let mut seen = platform.seen.lock().unwrap();
        seen.push(request.clone());
        seen.len() - 1
    };
    match (platform.script)(n, &request) {
        Answer::Json(status, value) => {
            let builder = Response::builder()
                .status(status)
                .header("content-type", "application/json");
            builder.body(Body::from(value.to_string())).unwrap()
        }
        Answer::Raw(status, header, body) => {
            let mut builder = Response::builder().status(status);
            if let Some((name, value)) = header {
                builder = builder.header(name, value);
            }
            builder.body(Body::from(body)).unwrap()
        }
        Answer::Endless => {
            let chunks = tokio_stream::iter(std::iter::repeat_with(|| {
                Ok::<_, std::io::Error>(vec![b' '; 4_096])
            }));
            Response::new(Body::from_stream(chunks))
        }
        Answer::Never => pending().await,
    }
}

/// Quick enough for a test, slow enough for a busy machine.
pub fn config(url: &str) -> Config {
    Config {
        bases: vec![Base {
            url: url.to_owned(),
            ..Base::default()
        }],
        deadline_seconds: 3.0,
        request_seconds: 1.0,
        retries_max: 3,
        backoff_seconds: 0.01,
        backoff_seconds_max: 0.05,
        settle_seconds: 0.2,
        ..Config::default()
    }
}

pub fn ask(agent: &str, order: Order) -> Ask {
    Ask {
        key: AgentKey::new("r", agent),
        case: "case-1".into(),
        idempotency_key: "key-1".to_owned(),
        order,
        reason: "because".to_owned(),
        workload: BTreeMap::new(),
        parameters: BTreeMap::from([
            ("probation_executions".to_owned(), Value::from(5)),
            ("severity".to_owned(), Value::from(7.5)),
        ]),
    }
}
