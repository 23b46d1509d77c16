//! A world for bodies that are wrong: raw answers, and what must hold after each of them.

use super::telemetry::execution;
use super::{DEADLINE, JSON, PROTOBUF, Plan, World};
use bytes::Bytes;
use http_body_util::Full;
use prost::Message;
use reqwest::Response;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, MutexGuard};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tonic_types::pb::Status as RpcStatus;
use tower::ServiceExt;

pub const MIB: usize = 1024 * 1024;
/// Memory that the whole test process, senders included, may hold after any case. Requests are of up to 17 MiB here
/// and exist a few times over (built, sent, received, decoded), and the allocator keeps some.
const RSS_MAX: usize = 400 * MIB;

/// One case at a time, so that the memory measured is its own.
static ALONE: Mutex<()> = Mutex::const_new(());
pub static SEED: AtomicU64 = AtomicU64::new(1_000_000);

pub struct Case {
    pub world: World,
    _alone: MutexGuard<'static, ()>,
}

impl Case {
    pub async fn start() -> Case {
        Case::of(Plan::default()).await
    }

    pub async fn of(plan: Plan) -> Case {
        let alone = ALONE.lock().await;
        Case {
            world: World::of(plan).await,
            _alone: alone,
        }
    }

    /// Another sender of either protocol is served, memory is within bounds, and the role stops in order.
    pub async fn end(self) {
        self.still_serves().await;
        self.world.stop().await;
    }

    pub async fn still_serves(&self) {
        let seed = SEED.fetch_add(2, Ordering::Relaxed);
        assert_eq!(
            self.world
                .post_traces(&execution(&format!("fine-{seed}"), seed))
                .await
                .status(),
            200
        );
        self.world
            .traces()
            .await
            .export(execution(&format!("well-{seed}"), seed + 1))
            .await
            .expect("success");
        for agent in [format!("fine-{seed}"), format!("well-{seed}")] {
            assert_eq!(self.world.record(&agent).await.token_count, Some(120));
        }
        let rss = rss();
        println!("{} MiB held", rss / MIB);
        assert!(rss < RSS_MAX, "{} MiB held", rss / MIB);
    }

    pub async fn post(&self, content_type: &str, body: Vec<u8>) -> Response {
        self.world
            .post("/v1/traces", content_type, body)
            .send()
            .await
            .expect("an answer")
    }

    pub async fn post_encoded(&self, encoding: &str, body: Vec<u8>) -> Response {
        let post = self
            .world
            .post("/v1/traces", PROTOBUF, body)
            .header("content-encoding", encoding);
        post.send().await.expect("an answer")
    }

    /// What gRPC says to raw bytes of a message.
    pub async fn call(&self, body: &[u8], encoding: Option<&str>) -> Status {
        let mut frame = vec![u8::from(encoding.is_some())];
        frame.extend((body.len() as u32).to_be_bytes());
        frame.extend(body);
        let mut call = http::Request::post("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        if let Some(encoding) = encoding {
            call = call.header("grpc-encoding", encoding);
        }
        let call = call
            .body(tonic::body::Body::new(Full::new(Bytes::from(frame))))
            .expect("a request");
        let channel = Endpoint::new(format!("http://{}", self.world.grpc))
            .expect("an address")
            .connect_lazy();
        let answer = tokio::time::timeout(DEADLINE, channel.oneshot(call))
            .await
            .expect("in time")
            .expect("an answer");
        Status::from_header_map(answer.headers()).expect("a status in the headers")
    }
}

/// Memory held by this process, bytes.
fn rss() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: usize = statm
        .split(' ')
        .nth(1)
        .expect("the second field")
        .parse()
        .expect("a number");
    pages * 4096
}

/// The answer is a `google.rpc.Status` in the form of the request.
pub async fn refused(answer: Response, status: u16, form: &str) {
    assert_eq!(answer.status().as_u16(), status);
    assert_eq!(answer.headers()["content-type"], form);
    let body = answer.bytes().await.expect("a body");
    let (code, message) = if form == JSON {
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        (
            body["code"].as_i64().expect("a code"),
            body["message"].as_str().expect("a message").to_owned(),
        )
    } else {
        let status = RpcStatus::decode(body).expect("google.rpc.Status");
        (i64::from(status.code), status.message)
    };
    assert!(code > 0 && !message.is_empty(), "{code} {message}");
}

/// A message that a sender must not repeat as it is.
pub fn is_final(status: &Status, code: Code) {
    assert_eq!(status.code(), code, "{status:?}");
    assert!(status.get_details_retry_info().is_none(), "{status:?}");
}
