//! Answers: read whole where there is one message, handed on where there is a stream.

use super::connect::words;
use super::replica::Ticket;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::body::Body;
use tonic::{Code, Status};

/// The largest answer of one message, bytes. Clients take 4 MiB unless they are told otherwise.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// An answer of one message.
pub(super) struct Whole {
    pub(super) response: Response<Body>,
    pub(super) says: Says,
}

/// What an answer says of the replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// It did its part, whatever the answer is.
    Answer,
    /// It cannot do its part now.
    Unavailable,
    /// It did not do its part in time.
    Late,
}

impl Says {
    /// By a head or trailers. The status is in the head when there is nothing else.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let code = headers
            .get("grpc-status")
            .map(|code| Code::from_bytes(code.as_bytes()));
        match code {
            Some(Code::Unavailable) => Says::Unavailable,
            Some(Code::DeadlineExceeded) => Says::Late,
            Some(_) | None => Says::Answer,
        }
    }
}

/// Reads an answer to its end, so that one which breaks off is noticed while the call can still be repeated.
pub(super) async fn whole(response: Response<Incoming>) -> Result<Whole, String> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| words(&*error))?;
    let is_gateway = matches!(
        parts.status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    );
    let says = match is_gateway {
        true => Says::Unavailable,
        false => Says::of(body.trailers().unwrap_or(&parts.headers)),
    };
    Ok(Whole {
        response: Response::from_parts(parts, Body::new(body)),
        says,
    })
}

/// A stream of answers. The call is under way until its reader drops it, and a stream that breaks off says that the
/// role is away.
pub(super) fn streamed(response: Response<Incoming>, ticket: Ticket, from: String) -> Response<Body> {
    response.map(|body| {
        Body::new(Streamed {
            body,
            from,
            _ticket: ticket,
        })
    })
}

struct Streamed {
    body: Incoming,
    from: String,
    _ticket: Ticket,
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        Pin::new(&mut this.body).poll_frame(cx).map(|frame| {
            frame.map(|frame| {
                frame.map_err(|error| {
                    Status::unavailable(format!(
                        "the stream of {} broke off: {}",
                        this.from,
                        words(&error)
                    ))
                })
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
