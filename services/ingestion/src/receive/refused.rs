//! Why a request by HTTP is refused, and the answer.

use super::body::{BodyError, Form};
use super::caller::Stranger;
use super::message::MessageError;
use crate::service::NotTaken;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use immune_domain::ErrorKind;
use prost::Message;
use tonic::Code;
use tonic_types::pb::Status as RpcStatus;

pub(super) const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error("no such path: it must end in /v1/traces, /v1/metrics or /v1/logs")]
    Path,
    #[error("no such method: requests are sent by POST")]
    Method,
    #[error("content type must be application/x-protobuf or application/json")]
    ContentType,
    #[error("content encoding must be gzip, zstd, deflate or identity")]
    ContentEncoding,
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("too many requests are under way; repeat the request later")]
    Full,
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

impl From<BodyError> for Refused {
    fn from(error: BodyError) -> Self {
        Refused::Message(error.into())
    }
}

impl Refused {
    /// A word of a closed list, for metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Refused::Path | Refused::Method => "path",
            Refused::ContentType => "content_type",
            Refused::ContentEncoding => "content_encoding",
            Refused::Stranger(_) => "not_allowed",
            Refused::Full | Refused::NotTaken(NotTaken::Overloaded) => "overloaded",
            Refused::Message(error) => error.reason(),
            Refused::NotTaken(NotTaken::Unavailable | NotTaken::Stopping) => "unavailable",
        }
    }

    /// HTTP status, and gRPC's code for the body. OTLP: 429, 502, 503 and 504 are repeated by senders, others not.
    fn statuses(&self) -> (StatusCode, Code) {
        match self {
            Refused::Path => (StatusCode::NOT_FOUND, Code::Unimplemented),
            Refused::Method => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
            Refused::ContentType | Refused::ContentEncoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument)
            }
            Refused::Stranger(Stranger::NoKey | Stranger::UnknownKey) => {
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            }
            Refused::Stranger(Stranger::WrongRole | Stranger::WrongRun) => {
                (StatusCode::FORBIDDEN, Code::PermissionDenied)
            }
            Refused::Stranger(Stranger::Later { refusal, .. })
                if refusal.kind() == ErrorKind::Unavailable =>
            {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Refused::Stranger(Stranger::Later { .. }) => {
                (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
            }
            Refused::Stranger(Stranger::BadRun)
            | Refused::Message(
                MessageError::Undecodable(_)
                | MessageError::Body(BodyError::Broken | BodyError::Compression | BodyError::Frame),
            ) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Refused::Message(MessageError::Body(BodyError::TooLarge { .. } | BodyError::TooHeavy { .. })) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument)
            }
            Refused::Message(MessageError::Body(BodyError::Slow { .. })) => {
                (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded)
            }
            Refused::Full
            | Refused::Message(MessageError::Body(BodyError::Full))
            | Refused::NotTaken(NotTaken::Overloaded) => {
                (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
            }
            Refused::NotTaken(NotTaken::Unavailable | NotTaken::Stopping) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
        }
    }

    /// When to come back, whole seconds.
    fn retry_seconds(&self) -> u64 {
        match self {
            Refused::Stranger(Stranger::Later { retry_after, .. }) => retry_after.as_secs() + 1,
            Refused::Path
            | Refused::Method
            | Refused::ContentType
            | Refused::ContentEncoding
            | Refused::Stranger(_)
            | Refused::Full
            | Refused::Message(_)
            | Refused::NotTaken(_) => 1,
        }
    }

    /// The answer: `google.rpc.Status` in the form of the request, and when to come back.
    pub(super) fn answer(&self, form: Form) -> Response {
        let (status, code) = self.statuses();
        let (code, message) = (code as i32, self.to_string());
        let mut response = match form {
            Form::Protobuf => {
                let body = RpcStatus {
                    code,
                    message,
                    details: Vec::new(),
                }
                .encode_to_vec();
                (status, [(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
            }
            Form::Json => (
                status,
                axum::Json(serde_json::json!({ "code": code, "message": message })),
            )
                .into_response(),
        };
        let headers = response.headers_mut();
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.retry_seconds()));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
