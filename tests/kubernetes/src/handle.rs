//! One request: recorded, failed where asked for, and answered.

use crate::access::Access;
use crate::answer::{Answer, refused, streamed, whole};
use crate::call::{Call, Told};
use crate::cluster::Cluster;
use crate::faults::{Failure, Faults};
use crate::path;
use crate::refusal::Refusal;
use crate::request::{Query, Request};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Largest body that is taken, in bytes; the real server's limit is 3 MiB.
const BODY_MAX: usize = 3 << 20;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) cluster: Arc<Mutex<Cluster>>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) access: Mutex<Access>,
    pub(crate) requests: Mutex<Vec<Request>>,
    /// Revision, and a number that grows when all watches shall end.
    pub(crate) changed: watch::Sender<(u64, u64)>,
}

impl State {
    /// Lets controllers act, and tells watches.
    pub(crate) fn settle(&self, cluster: &mut Cluster) {
        if cluster.has_controllers {
            crate::controllers::settle(cluster);
        }
        let revision = cluster.revision;
        self.changed.send_modify(|(seen, _)| *seen = revision);
    }
}

/// The connection ends without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on demand")
    }
}

impl std::error::Error for Cut {}

pub(crate) async fn handle(state: Arc<State>, request: hyper::Request<Incoming>) -> Result<Answer, Cut> {
    let (parts, body) = request.into_parts();
    let header = |name| {
        let value = parts.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };
    let (accept, content_type, agent) = (header(ACCEPT), header(CONTENT_TYPE), header(USER_AGENT));
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        let why = format!("limit is {BODY_MAX}");
        return Ok(refused(&Refusal::new(413, "RequestEntityTooLarge", why)));
    };
    let body = body.to_bytes();
    let body: Result<Value, _> = match body.is_empty() {
        true => Ok(Value::Null),
        false => serde_json::from_slice(&body),
    };
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let target = path::parse(parts.uri.path());
    let sent = body.as_ref().cloned().unwrap_or_default();
    let asked = Request::new(
        &parts.method,
        parts.uri.path(),
        target.as_ref(),
        &query,
        &content_type,
        sent,
    );
    state.requests.lock().unwrap().push(asked.clone());

    let failure = state.faults.lock().unwrap().take(&asked);
    match &failure {
        Some(Failure::Cut) => return Err(Cut),
        Some(Failure::Hang) => std::future::pending().await,
        Some(Failure::Slow(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    if let Some(refusal) = failure.as_ref().and_then(|failure| failure.refusal(&asked)) {
        return Ok(refused(&refusal));
    }
    let Ok(body) = body else {
        return Ok(refused(&Refusal::bad_request("the body is not JSON")));
    };
    let call = Call {
        state: &state,
        asked: &asked,
        query: &query,
        body,
        agent: agent.split('/').next().unwrap_or("unknown"),
        is_partial: accept.contains("as=PartialObjectMetadata"),
        is_lie: failure == Some(Failure::Lie),
    };
    let told = call.answer(target);
    match failure {
        Some(Failure::CutAfter) => return Err(Cut),
        Some(Failure::HangAfter) => std::future::pending().await,
        _ => {}
    }
    Ok(match told {
        Ok(Told::Value(code, value)) => whole(code, &value),
        Ok(Told::Watch(watch)) => streamed(*watch),
        Err(refusal) => refused(&refusal),
    })
}
