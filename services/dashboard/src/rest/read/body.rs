//! JSON bodies: one object, of a bounded size, named fields.

use crate::app::App;
use crate::problems::{Answer, field};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use immune_runtime::http::problem::Problem;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A body that must be a JSON object.
#[derive(Debug, Clone)]
pub(crate) struct JsonObject(pub Map<String, Value>);

/// The same, where no body at all is an object without fields.
#[derive(Debug, Clone)]
pub(crate) struct OptionalObject(pub Map<String, Value>);

/// A body as it came, for what is signed byte by byte.
#[derive(Debug, Clone)]
pub(crate) struct Raw(pub Bytes);

impl FromRequest<Arc<App>> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        read(&parts.headers, body, app.config.body_bytes_max)
            .await
            .map(Raw)
    }
}

impl FromRequest<Arc<App>> for JsonObject {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        require_json(&parts.headers)?;
        let bytes = read(&parts.headers, body, app.config.body_bytes_max).await?;
        object(&bytes).map(JsonObject)
    }
}

impl FromRequest<Arc<App>> for OptionalObject {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Answer<Self> {
        let (parts, body) = request.into_parts();
        let bytes = read(&parts.headers, body, app.config.body_bytes_max).await?;
        if bytes.is_empty() {
            return Ok(OptionalObject(Map::new()));
        }
        require_json(&parts.headers)?;
        object(&bytes).map(OptionalObject)
    }
}

/// Only JSON: a form of another site can send other types without being asked, this one it cannot.
fn require_json(headers: &HeaderMap) -> Answer<()> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = given
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    let detail = "the body must be application/json, and the Content-Type must say so";
    Err(Problem::with_status(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "request.content_type",
        detail,
    ))
}

async fn read(headers: &HeaderMap, body: Body, bytes_max: usize) -> Answer<Bytes> {
    let encoding = headers.get(header::CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "compressed bodies are not read here; send the JSON as it is";
        return Err(Problem::with_status(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "request.content_encoding",
            detail,
        ));
    }
    match Limited::new(body, bytes_max).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::with_status(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request.too_large",
            format!("the body has more than {bytes_max} bytes"),
        )),
        Err(_) => Err(field("body", "ended before it was complete")),
    }
}

fn object(bytes: &[u8]) -> Answer<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            Err(field("body", "is not a JSON object"))
        }
        Err(error) => Err(unreadable(bytes, &error)),
    }
}

/// Names the field at which reading stopped: `NaN` and `1e999` are the usual reasons, and no JSON.
fn unreadable(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => {
            let mut breaks = bytes
                .iter()
                .enumerate()
                .filter(|(_, byte)| **byte == b'\n')
                .map(|(i, _)| i + 1);
            breaks.nth(line - 2).unwrap_or(0)
        }
    };
    let stopped_at = (line_start + error.column()).min(bytes.len());
    let name = last_name(&bytes[..stopped_at]).unwrap_or_else(|| "body".to_owned());
    field(
        name,
        format!(
            "is not readable as JSON at line {} column {}",
            error.line(),
            error.column()
        ),
    )
}

/// The last `"name":` before the end of a text.
fn last_name(bytes: &[u8]) -> Option<String> {
    let colon = bytes.iter().rposition(|byte| *byte == b':')?;
    let before = bytes[..colon].trim_ascii_end();
    let inner = before.strip_suffix(b"\"")?;
    let open = inner.iter().rposition(|byte| *byte == b'"')?;
    let name = std::str::from_utf8(&inner[open + 1..]).ok()?;
    (name.len() <= 64 && !name.chars().any(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: what is no JSON is refused with the field at which it stops being JSON.
    #[test]
    fn names_the_field_that_is_no_json() {
        let named = |text: &str| object(text.as_bytes()).unwrap_err().errors[0].field.clone();
        assert_eq!(named(r#"{"agent_id": "a", "latency_ms": NaN}"#), "latency_ms");
        assert_eq!(named("{\"agent_id\": \"a\",\n \"cost\": -Infinity}"), "cost");
        assert_eq!(named(r#"{"severity": 1e999}"#), "severity");
        assert_eq!(named("[1]"), "body");
        assert_eq!(named(""), "body");
        assert_eq!(named(&"[".repeat(10_000)), "body");
        assert!(object(br#"{"a": 1}"#).is_ok());
    }
}
