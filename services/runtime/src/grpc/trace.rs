//! The trace of a call over process borders: W3C trace context as metadata (w3.org/TR/trace-context).

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

struct Received<'a>(&'a HeaderMap);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Puts the trace of the current span on a call. Without a trace, nothing; what a caller set itself stays.
pub(super) fn inject(headers: &mut HeaderMap) {
    if headers.contains_key("traceparent") {
        return;
    }
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut Headers(headers));
}

/// The span of a call that came in, as a part of the caller's trace.
pub(super) fn span(path: &str, headers: &HeaderMap) -> Span {
    let method = path.strip_prefix('/').unwrap_or(path);
    let span = tracing::info_span!(
        "grpc",
        otel.kind = "server",
        method,
        trace_id = tracing::field::Empty
    );
    let parent = TraceContextPropagator::new().extract(&Received(headers));
    let parent = parent.span().span_context().clone();
    if parent.is_valid() {
        span.record("trace_id", tracing::field::display(parent.trace_id()));
        let context = opentelemetry::Context::new().with_remote_span_context(parent);
        // Fails where no layer keeps traces, and then there is nothing to continue.
        let _ = span.set_parent(context);
    }
    span
}
