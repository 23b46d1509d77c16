//! InfluxDB 2.x and 3.x by their documents: a server that records requests and gives documented answers. (The store
//! is tested against a real 1.x; these tests hold the form of what is sent and the meaning of what is answered.)
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use immune_domain::ErrorKind;
use immune_store::conformance::samples::{agent, at, vitals};
use immune_store_influx::{Config, InfluxStore, Metrics, Secret};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io::Read;
use std::sync::{Arc, Mutex};

/// One request as it came.
#[derive(Debug, Clone)]
struct Request {
    method: Method,
    path: String,
    /// Of the url and of a form in the body.
    parameters: HashMap<String, String>,
    authorization: String,
    headers: HeaderMap,
    /// Unpacked.
    body: String,
}

/// An answer: status, headers, body.
type Answer = (u16, Vec<(&'static str, &'static str)>, String);

#[derive(Default)]
struct Recorder {
    requests: Mutex<Vec<Request>>,
    /// By path, in order; when there is none left, the default.
    answers: Mutex<HashMap<&'static str, VecDeque<Answer>>>,
}

struct Documented {
    recorder: Arc<Recorder>,
    url: String,
    folder: tempfile::TempDir,
}

async fn record(
    State((recorder, version)): State<(Arc<Recorder>, &'static str)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let header = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    let body = if header("content-encoding") == "gzip" {
        let mut text = String::new();
        GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
        text
    } else {
        String::from_utf8(body.to_vec()).unwrap()
    };
    let mut pairs = uri.query().unwrap_or_default().to_owned();
    if header("content-type") == "application/x-www-form-urlencoded" {
        pairs = format!("{pairs}&{body}");
    }
    let parameters = url::form_urlencoded::parse(pairs.as_bytes())
        .into_owned()
        .collect();
    let path = uri.path().to_owned();
    recorder.requests.lock().unwrap().push(Request {
        method,
        path: path.clone(),
        parameters,
        authorization: header("authorization"),
        headers,
        body,
    });
    let planned = recorder
        .answers
        .lock()
        .unwrap()
        .get_mut(path.as_str())
        .and_then(VecDeque::pop_front);
    let (status, headers, body) = planned.unwrap_or_else(|| match path.as_str() {
        "/ping" if version.starts_with('v') => (204, vec![("X-Influxdb-Version", version)], String::new()),
        "/ping" => (
            200,
            vec![("x-influxdb-version", version), ("x-influxdb-build", "Core")],
            format!(r#"{{"version":"{version}","revision":"83b589b883","process_id":"b756d9e0"}}"#),
        ),
        "/query" => (200, Vec::new(), r#"{"results":[{"statement_id":0}]}"#.to_owned()),
        _ => (204, Vec::new(), String::new()),
    });
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

impl Documented {
    async fn start(version: &'static str) -> Self {
        let recorder = Arc::new(Recorder::default());
        let router = Router::new()
            .fallback(record)
            .with_state((recorder.clone(), version));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Documented {
            recorder,
            url,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn store(&self) -> InfluxStore {
        let config = Config {
            url: self.url.clone(),
            database: "the bucket".into(),
            org: "the org".into(),
            token: Some(Secret::new("t0ken")),
            spill_dir: Some(self.folder.path().join("spill")),
            backoff_seconds: 0.01,
            backoff_seconds_max: 0.05,
            ..Config::default()
        };
        InfluxStore::open(config, Metrics::default()).await.unwrap()
    }

    fn answers(&self, path: &'static str, answers: impl IntoIterator<Item = (u16, &'static str)>) {
        let answers = answers
            .into_iter()
            .map(|(status, body)| (status, Vec::new(), body.to_owned()));
        self.recorder
            .answers
            .lock()
            .unwrap()
            .entry(path)
            .or_default()
            .extend(answers);
    }

    fn requests(&self, path: &str) -> Vec<Request> {
        let requests = self.recorder.requests.lock().unwrap();
        requests
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }
}

/// Scenario: a record is appended and read on a 2.x, whose version is found on `/ping`.
/// Guarantees: the write is `/api/v2/write` with org, bucket, nanoseconds, the token's scheme and gzip; the read is
/// `/query` with the database that maps onto the bucket.
#[tokio::test]
async fn version_2_is_spoken_to_by_its_documents() {
    let server = Documented::start("v2.7.1").await;
    let store = server.store().await;
    let key = agent("a b");
    store.vitals().append(&[vitals(&key, "e", at(1))]).await.unwrap();
    assert_eq!(server.requests("/ping").len(), 1);
    let writes = server.requests("/api/v2/write");
    let [write] = writes.as_slice() else {
        panic!("{writes:?}")
    };
    assert_eq!(write.method, Method::POST);
    for (name, value) in [("org", "the org"), ("bucket", "the bucket"), ("precision", "ns")] {
        assert_eq!(
            write.parameters.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert_eq!(write.authorization, "Token t0ken");
    assert_eq!(write.headers["content-encoding"], "gzip");
    assert_eq!(write.headers["content-type"], "text/plain; charset=utf-8");
    assert!(
        write
            .body
            .starts_with("agent_vitals,agent_id=a\\ b,run_id=tests live=1i,execution_id=\"e\","),
        "{}",
        write.body
    );

    assert_eq!(store.vitals().latest(&key).await.unwrap(), None);
    let queries = server.requests("/query");
    let query = queries.last().unwrap();
    assert_eq!(
        (&query.method, query.authorization.as_str()),
        (&Method::GET, "Token t0ken")
    );
    for (name, value) in [("db", "the bucket"), ("epoch", "ns")] {
        assert_eq!(
            query.parameters.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert!(!query.parameters.contains_key("rp"));
    assert!(query.parameters["q"].starts_with("SELECT * FROM agent_vitals WHERE"));
}

/// Scenario: the same on a 3.x.
/// Guarantees: the write is `/api/v3/write_lp` with the unit named, partial writes accepted and the log synced, a
/// bearer token everywhere, `/ping` included; no statement is sent that 3.x lacks.
#[tokio::test]
async fn version_3_is_spoken_to_by_its_documents() {
    let server = Documented::start("3.8.0").await;
    // A database that no write has made yet.
    server.answers("/query", [(404, r#"{"error":"database not found: the bucket"}"#)]);
    let store = server.store().await;
    let (vitals_store, key) = (store.vitals(), agent("a"));
    vitals_store.append(&[vitals(&key, "e", at(1))]).await.unwrap();
    let writes = server.requests("/api/v3/write_lp");
    let [write] = writes.as_slice() else {
        panic!("{writes:?}")
    };
    for (name, value) in [
        ("db", "the bucket"),
        ("precision", "nanosecond"),
        ("accept_partial", "true"),
        ("no_sync", "false"),
    ] {
        assert_eq!(
            write.parameters.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    assert_eq!(write.authorization, "Bearer t0ken");
    assert_eq!(server.requests("/ping")[0].authorization, "Bearer t0ken");

    vitals_store.retract(&[(key.clone(), "e".into())]).await.unwrap();
    let tombstone = server.requests("/api/v3/write_lp").pop().unwrap().body;
    assert!(tombstone.contains("live=0i,execution_id=\"e\""), "{tombstone}");
    assert_eq!(vitals_store.agents(&key.run, None, 10).await.unwrap(), vec![]);
    assert_eq!(vitals_store.purge(at(100)).await.unwrap(), 0);
    let queries = server.requests("/query");
    for query in &queries {
        assert_eq!(
            (&query.method, query.authorization.as_str()),
            (&Method::POST, "Bearer t0ken")
        );
        assert_eq!(query.headers["content-type"], "application/x-www-form-urlencoded");
        let statement = &query.parameters["q"];
        for missing in ["DELETE", "SLIMIT", "SOFFSET", "INTO"] {
            assert!(!statement.contains(missing), "{statement}");
        }
    }
    let names = queries.last().unwrap().parameters["q"].clone();
    assert!(
        names.starts_with("SHOW TAG VALUES") && names.contains("time >= -9"),
        "{names}"
    );
}

/// Scenario: 3.x writes some lines of a request and names those that it refuses.
/// Guarantees: their senders are told why, all others succeed, and the good lines are not refused for their company.
#[tokio::test]
async fn version_3_names_the_lines_that_it_refuses() {
    let server = Documented::start("3.8.0").await;
    let refusal = r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"agent_vitals,...",
        "line_number":2,"error_message":"invalid column type for column 'live'"}]}"#;
    server.answers("/api/v3/write_lp", [(400, refusal)]);
    let store = server.store().await;
    let batch: Vec<_> = (1..=3)
        .map(|n| vitals(&agent("a"), &format!("e{n}"), at(n)))
        .collect();
    let refused = store.vitals().append(&batch).await.unwrap_err();
    let why = refused.source().unwrap().to_string();
    assert!(
        why.contains("tests/a e2") && why.contains("invalid column type"),
        "{why}"
    );
    let writes = server.requests("/api/v3/write_lp");
    assert_eq!(writes.len(), 2);
    assert!(!writes[1].body.contains("\"e2\"") && writes[1].body.contains("\"e3\""));
}

/// Scenario: 2.x rejects the whole batch for its first bad line, answers 413, 429 with a time to wait, 503, 401.
/// Guarantees: the bad line alone is refused; too much is sent in parts; later is tried later, from the spill where
/// it takes long; what a person must mend keeps records in the spill.
#[tokio::test]
async fn version_2_refusals_are_understood() {
    let server = Documented::start("v2.7.1").await;
    let store = server.store().await;
    let key = agent("a");
    let batch = |name: &str| -> Vec<_> {
        (1..=2)
            .map(|n| vitals(&key, &format!("{name}{n}"), at(n)))
            .collect()
    };
    let invalid = r#"{"code":"invalid","message":"unable to parse 'agent_vitals': bad timestamp"}"#;
    server.answers("/api/v2/write", [(400, invalid), (204, ""), (400, invalid)]);
    let refused = store.vitals().append(&batch("bad")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    assert!(
        refused.source().unwrap().to_string().contains("tests/a bad2"),
        "{refused:?}"
    );

    let large = r#"{"code":"request too large","message":"cannot read data: points batch is too large"}"#;
    server.answers("/api/v2/write", [(413, large)]);
    store.vitals().append(&batch("large")).await.unwrap();

    server.answers("/api/v2/write", [(503, ""), (429, "{}")]);
    store.vitals().append(&batch("soon")).await.unwrap();
    let before = server.requests("/api/v2/write").len();

    let denied = r#"{"code":"unauthorized","message":"unauthorized access"}"#;
    server.answers("/api/v2/write", [(401, denied), (401, denied)]);
    store.vitals().append(&batch("denied")).await.unwrap();
    world::until("the spill is brought over", || async {
        let writes = server.requests("/api/v2/write");
        writes.len() >= before + 3 && writes.last().unwrap().body.contains("denied2")
    })
    .await;

    server.answers(
        "/query",
        [(
            404,
            r#"{"code":"not found","message":"no dbrp mapping found: not found"}"#,
        )],
    );
    let missing = store.vitals().ping().await.unwrap_err();
    let why = missing.source().unwrap().to_string();
    assert!(
        why.contains("influx v1 dbrp create") && !why.contains("t0ken"),
        "{why}"
    );
}

/// Scenario: nobody says a version, then `/health` does; then an unknown generation.
/// Guarantees: `/health` is asked second, and an unknown version is a thing to set, not to guess.
#[tokio::test]
async fn the_version_is_never_guessed() {
    let server = Documented::start("v2.7.1").await;
    server.answers("/ping", [(200, "pong"), (200, "{}")]);
    server.answers(
        "/health",
        [
            (200, r#"{"name":"other","version":"9.9"}"#),
            (200, r#"{"name":"influxdb","status":"pass","version":"v2.7.1"}"#),
        ],
    );
    let store = server.store().await;
    let unknown = store.vitals().ping().await.unwrap_err();
    assert!(
        unknown.source().unwrap().to_string().contains("set `version`"),
        "{unknown:?}"
    );
    store.vitals().ping().await.unwrap();
    assert_eq!(server.requests("/health").len(), 2);
}

/// Scenario: 300 senders append one record each at the same time.
/// Guarantees: they share a few requests instead of making one each.
#[tokio::test]
async fn appends_that_come_together_share_requests() {
    let server = Documented::start("v2.7.1").await;
    let store = server.store().await;
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..300_i64 {
        let store = store.vitals();
        senders.spawn(async move {
            store
                .append(&[vitals(&agent("a"), &format!("e{n}"), at(n))])
                .await
        });
    }
    senders
        .join_all()
        .await
        .into_iter()
        .for_each(|result| result.unwrap());
    let writes = server.requests("/api/v2/write");
    let lines: usize = writes.iter().map(|write| write.body.lines().count()).sum();
    assert_eq!(lines, 300);
    assert!(writes.len() <= 30, "{} requests", writes.len());
}
