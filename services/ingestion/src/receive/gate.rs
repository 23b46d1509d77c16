//! What stands before tonic: who sends, how much, how slowly, and what it will weigh.
//!
//! tonic reads and inflates a whole message before any code of ours sees it, counts nothing, and decodes what was
//! never weighed. So the message is read here, as one that comes by HTTP is, and handed on plain. Spans are not for
//! tonic at all: what was read of them goes beside the request, and tonic gets an empty message to decode.

use super::Door;
use super::admission::Ticket;
use super::body::{self, BodyError, Encoding, Form};
use super::caller::{self, Run, Stranger};
use super::message::{Message, MessageError, Traces};
use crate::metrics::Signal;
use crate::service::NotTaken;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use immune_domain::ErrorKind;
use immune_door::Peer;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// When a sender that was shed should come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// What precedes a message: whether it is compressed, and its length.
const HEAD: usize = 5;
const ENCODING: &str = "grpc-encoding";
const ENCODINGS: &str = "grpc-accept-encoding";

/// A request that was let in: the run that it is for, and its share of the limits.
pub(super) struct Pass {
    pub(super) run: Run,
    /// The spans of a request for traces.
    pub(super) traces: Option<Traces>,
    _ticket: Ticket,
}

/// Why a request is not let in.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("message encoding must be gzip, zstd, deflate or identity")]
    Encoding,
    #[error("too many requests are under way; repeat the request later")]
    Full,
    #[error(transparent)]
    Message(#[from] MessageError),
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Refused::Message(error.into())
    }
}

/// Lets a request in with its message read, or refuses it.
pub(super) async fn enter(State(door): State<Door>, request: Request, next: Next) -> Response {
    match read(&door, request).await {
        Ok(request) => undecodable(next.run(request).await),
        Err(refused) => {
            door.service.metrics().refuse(refused.reason());
            let mut response = refused.status().into_http::<Body>();
            if matches!(refused, Refused::Encoding) {
                response
                    .headers_mut()
                    .insert(ENCODINGS, HeaderValue::from_static("identity,gzip,zstd,deflate"));
            }
            response
        }
    }
}

async fn read(door: &Door, request: Request) -> Result<Request, Refused> {
    let admission = &door.admission;
    let (mut head, mut body) = request.into_parts();
    let (peer, now) = (Peer::of(&head.extensions), door.service.now());
    let run = caller::run_of(door.service.door(), &head.headers, peer, now)?;
    let encoding = encoding(&head.headers).ok_or(Refused::Encoding)?;
    let mut ticket = admission.enter().map_err(|_| Refused::Full)?;
    let framed = body::read(&mut body, admission, &mut ticket).await?;
    let (is_compressed, message) = unframed(&framed)?;
    let message = match (is_compressed, encoding) {
        (false, _) => message,
        // The flag without an encoding contradicts itself.
        (true, Encoding::Identity) => return Err(BodyError::Frame.into()),
        (true, Encoding::Gzip | Encoding::Zstd | Encoding::Deflate) => {
            body::inflated(message, encoding, admission, &mut ticket)?
        }
    };
    let (traces, body) = match signal(head.uri.path()) {
        Some(Signal::Traces) => {
            let traces = Traces::read(message, Form::Protobuf, admission, &mut ticket)?;
            (Some(traces), plain(Bytes::new())?)
        }
        Some(signal @ (Signal::Metrics | Signal::Logs)) => {
            body::weigh(&message, Form::Protobuf, signal, admission, &mut ticket)?;
            (None, plain(message)?)
        }
        None => (None, plain(message)?),
    };
    head.headers.remove(ENCODING);
    head.headers.remove(header::CONTENT_LENGTH);
    head.extensions.insert(Arc::new(Pass {
        run,
        traces,
        _ticket: ticket,
    }));
    Ok(Request::from_parts(head, body))
}

/// The one message of a call, and whether it is compressed.
fn unframed(framed: &Bytes) -> Result<(bool, Bytes), BodyError> {
    let (head, message) = framed.split_first_chunk::<HEAD>().ok_or(BodyError::Frame)?;
    let [flag, length @ ..] = *head;
    let is_whole = usize::try_from(u32::from_be_bytes(length)).is_ok_and(|length| length == message.len());
    match (flag, is_whole) {
        (0 | 1, true) => Ok((flag == 1, framed.slice(HEAD..))),
        (_, _) => Err(BodyError::Frame),
    }
}

/// A body of one message that is not compressed.
fn plain(message: Bytes) -> Result<Body, BodyError> {
    let length = u32::try_from(message.len())
        .map_err(|_| BodyError::Frame)?
        .to_be_bytes();
    let head = Bytes::from([&[0], &length[..]].concat());
    let parts = [head, message].map(Ok::<_, std::convert::Infallible>);
    Ok(Body::from_stream(futures::stream::iter(parts)))
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match headers.get(ENCODING) {
        Some(value) => Encoding::of(value.to_str().ok()?),
        None => Some(Encoding::Identity),
    }
}

/// What a method receives; other methods are unknown, and nothing is decoded for them.
fn signal(path: &str) -> Option<Signal> {
    match path {
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export" => Some(Signal::Traces),
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => Some(Signal::Metrics),
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => Some(Signal::Logs),
        _ => None,
    }
}

/// What tonic says of messages that it cannot decode, in OTLP's terms: `INTERNAL` would be our fault. No handler
/// here answers with it.
fn undecodable(mut response: Response) -> Response {
    let code = response
        .headers()
        .get(Status::GRPC_STATUS)
        .map(|value| Code::from_bytes(value.as_bytes()));
    if code == Some(Code::Internal) {
        let otherwise = HeaderValue::from(Code::InvalidArgument as i32);
        response.headers_mut().insert(Status::GRPC_STATUS, otherwise);
    }
    response
}

impl Refused {
    /// A word of a closed list, for metrics.
    fn reason(&self) -> &'static str {
        match self {
            Refused::Stranger(_) => "not_allowed",
            Refused::Encoding => "content_encoding",
            Refused::Full => "overloaded",
            Refused::Message(error) => error.reason(),
        }
    }

    /// OTLP: `RESOURCE_EXHAUSTED` is repeated by senders only when it comes with `RetryInfo`; `INVALID_ARGUMENT` and
    /// `UNIMPLEMENTED` never are.
    fn status(&self) -> Status {
        let message = self.to_string();
        match self {
            Refused::Stranger(Stranger::NoKey | Stranger::UnknownKey) => Status::unauthenticated(message),
            Refused::Stranger(Stranger::WrongRole | Stranger::WrongRun) => Status::permission_denied(message),
            Refused::Stranger(Stranger::BadRun) => Status::invalid_argument(message),
            Refused::Stranger(Stranger::Later { refusal, retry_after }) => {
                let is_away = refusal.kind() == ErrorKind::Unavailable;
                let code = if is_away {
                    Code::Unavailable
                } else {
                    Code::ResourceExhausted
                };
                later(code, message, *retry_after)
            }
            Refused::Encoding => Status::unimplemented(message),
            Refused::Full | Refused::Message(MessageError::Body(BodyError::Full)) => {
                later(Code::ResourceExhausted, message, COME_BACK)
            }
            Refused::Message(MessageError::Body(BodyError::TooLarge { .. } | BodyError::TooHeavy { .. })) => {
                Status::resource_exhausted(message)
            }
            Refused::Message(MessageError::Body(BodyError::Slow { .. })) => {
                Status::deadline_exceeded(message)
            }
            Refused::Message(
                MessageError::Undecodable(_)
                | MessageError::Body(BodyError::Broken | BodyError::Compression | BodyError::Frame),
            ) => Status::invalid_argument(message),
        }
    }
}

/// What the sender of a request that was not taken is told.
pub(super) fn not_taken(reason: NotTaken) -> Status {
    let code = match reason {
        NotTaken::Overloaded => Code::ResourceExhausted,
        NotTaken::Unavailable | NotTaken::Stopping => Code::Unavailable,
    };
    later(code, reason.to_string(), COME_BACK)
}

fn later(code: Code, message: String, after: Duration) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_retry_info(Some(after)))
}
