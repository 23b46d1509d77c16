//! Answers as they go over the wire.

use crate::refusal::Refusal;
use crate::watch::Watch;
use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::Value;
use std::convert::Infallible;

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A JSON object.
pub(crate) fn whole(code: u16, value: &Value) -> Answer {
    let body = Full::new(Bytes::from(value.to_string())).boxed_unsync();
    Response::builder()
        .status(code)
        .header(CONTENT_TYPE, "application/json")
        .body(body)
        .expect("the parts of an answer are valid")
}

/// A `Status` that says why not.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let mut answer = whole(refusal.code, &refusal.status());
    if let Some(seconds) = refusal.retry_after_seconds {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// The lines of a watch, one by one.
pub(crate) fn streamed(watch: Watch) -> Answer {
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(line)), watch))
    });
    Response::builder()
        .header(CONTENT_TYPE, "application/json")
        .body(StreamBody::new(lines).boxed_unsync())
        .expect("the parts of an answer are valid")
}
