//! Bodies as JavaScript and Python write them, and worse.

use super::*;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

fn span(fields: &str) -> Result<opentelemetry_proto::tonic::trace::v1::Span, JsonError> {
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let request = ExportTraceServiceRequest::decode(body.as_bytes())?;
    Ok(request.resource_spans[0].scope_spans[0].spans[0].clone())
}

/// Guarantees: the two spellings of numbers, ids in hex, enums by number and by name.
#[test]
fn numbers_and_ids_of_either_spelling() {
    for number in ["7", "\"7\""] {
        let attribute = format!(r#""attributes":[{{"key":"n","value":{{"intValue":{number}}}}}]"#);
        let read = span(&format!(r#""startTimeUnixNano":{number},{attribute}"#)).expect("valid");
        assert_eq!(read.start_time_unix_nano, 7);
        assert_eq!(
            read.attributes[0].value.as_ref().and_then(|v| v.value.clone()),
            Some(Value::IntValue(7))
        );
    }
    let read = span(r#""traceId":"0AF7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","kind":3"#)
        .expect("valid");
    assert_eq!((read.trace_id.len(), read.span_id.len(), read.kind), (16, 8, 3));
    let read = span(r#""kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}"#).expect("valid");
    assert_eq!((read.kind, read.status.map(|status| status.code)), (2, Some(2)));
}

/// Guarantees: unknown fields are passed over everywhere, `null` is absence, texts of NaN are numbers.
#[test]
fn what_is_unknown_or_null_does_no_harm() {
    let attributes = r#"[{"key":"a","value":{"newValue":{"x":[1]},"stringValue":"t"},"extra":1},
        {"key":"b","value":{"doubleValue":"NaN"}},{"key":"c","value":null},{"key":"d","value":{"kvlistValue":{}}}]"#;
    let read = span(&format!(
        r#""parentSpanId":null,"events":null,"future":{{}},"attributes":{attributes}"#
    ))
    .expect("valid");
    assert!(read.parent_span_id.is_empty() && read.events.is_empty());
    let value = |at: usize| {
        read.attributes[at]
            .value
            .as_ref()
            .and_then(|value| value.value.clone())
    };
    assert_eq!(value(0), Some(Value::StringValue("t".into())));
    assert!(matches!(value(1), Some(Value::DoubleValue(x)) if x.is_nan()));
    assert_eq!((value(2), value(3)), (None, None));
}

/// Guarantees: what is no request is refused, however deep, and an empty one is a request.
#[test]
fn what_is_no_request_is_refused() {
    let deep = format!(r#"{{"resourceSpans":{}"#, "[".repeat(100_000));
    for body in ["", "{", "[]", "null", r#"{"resourceSpans":1}"#, &deep] {
        assert!(
            ExportTraceServiceRequest::decode(body.as_bytes()).is_err(),
            "{:.40}",
            body
        );
    }
    assert!(span(r#""traceId":"xyz""#).is_err());
    assert!(span(r#""startTimeUnixNano":-1"#).is_err());
    assert!(ExportTraceServiceRequest::decode(b"{}").is_ok());
    assert!(ExportLogsServiceRequest::decode(br#"{"resourceLogs":[]}"#).is_ok());
    assert!(ExportMetricsServiceRequest::decode(br#"{"resourceMetrics":[]}"#).is_ok());
}
