//! Streams of answers to other processes. They have no end of their own, so the server's end is theirs: the reader is
//! told, and goes on with another replica.

use axum::body::Body;
use http::{HeaderMap, HeaderValue};
use hyper::body::{Body as _, Bytes, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The same stream, until the token is cancelled.
pub(super) fn until(body: Body, end: &CancellationToken) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Until {
        body: Some(body),
        end: Box::pin(end.clone().cancelled_owned()),
    })
}

struct Until {
    /// `None` after the end.
    body: Option<Body>,
    end: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl hyper::body::Body for Until {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        // What is there already goes out first.
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        if this.end.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.body = None;
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert("grpc-status", HeaderValue::from_static("14"));
        trailers.insert(
            "grpc-message",
            HeaderValue::from_static("this replica is stopping"),
        );
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }
}
