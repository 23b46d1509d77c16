//! Errors as RFC 9457 problems.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use immune_domain::ErrorKind;
use serde::{Deserialize, Serialize};

/// An RFC 9457 problem. `type` is a code word as a URN (`urn:immune:problem:quarantine.case_already_decided`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// What kind of problem, as a URN.
    #[serde(rename = "type")]
    pub type_: String,
    /// The kind in words; the same for every problem of a type.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time and what to do next.
    pub detail: String,
    /// The fields that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Seconds after which the same request may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// Path of the field in the body, or the name of the query parameter or header.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Problem {
    /// A problem of a kind, with a code word and a sentence for the client.
    pub fn new(kind: ErrorKind, code_word: &str, detail: impl Into<String>) -> Self {
        let status = status(kind);
        Problem {
            type_: format!("urn:immune:problem:{code_word}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_seconds: kind.is_retryable().then_some(1),
        }
    }

    /// A problem with a status that no error kind stands for (405, 413, 415).
    pub fn with_status(status: StatusCode, code_word: &str, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(ErrorKind::Invalid, code_word, detail);
        problem.status = status.as_u16();
        problem.title = status.canonical_reason().unwrap_or("Error").to_owned();
        problem
    }

    /// A problem with fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{} {}", only.field, only.problem),
            many => format!("{} fields are wrong", many.len()),
        };
        Problem {
            errors,
            ..Problem::new(ErrorKind::Invalid, "request.invalid", detail)
        }
    }

    /// The problem that another role's status stands for. Internal messages stay inside.
    pub fn from_status(status: &tonic::Status) -> Self {
        let kind = crate::grpc::kind(status);
        let word = crate::grpc::code_word(status).unwrap_or("request.refused");
        match kind {
            ErrorKind::Internal => Problem::new(
                kind,
                word,
                "something went wrong; the server's log has the details",
            ),
            ErrorKind::Invalid
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Overloaded
            | ErrorKind::Unavailable
            | ErrorKind::Timeout => Problem::new(kind, word, status.message()),
        }
    }
}

fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = self.retry_after_seconds;
        let mut response = (status, axum::Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
