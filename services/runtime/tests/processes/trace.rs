//! A trace goes on in the process that is called.

use super::fake::{Replica, client, connected, get, peers, quick};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;

/// The trace of the current span; `None` without one.
pub fn current() -> Option<String> {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// Scenario: a call within a span, and one outside of any.
/// Guarantees: the role that is called sees the trace of the caller and works within it; without one it begins its
/// own.
#[tokio::test(flavor = "multi_thread")]
async fn the_trace_goes_on() {
    // For the whole process: the replica works on threads of its own.
    let traces = tracing_opentelemetry::layer().with_tracer(SdkTracerProvider::default().tracer("test"));
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(traces)).unwrap();
    let a = Replica::start();
    let peers = peers(&[&a], &quick());
    connected(&peers, 1).await;
    let span = tracing::info_span!("a decision");
    let mine = span.in_scope(current).expect("the span has a trace");
    async { get(&client(&peers)).await.unwrap() }
        .instrument(span)
        .await;
    let seen = a.fake.seen();
    let traceparent = seen.traceparent.expect("it is sent");
    assert!(
        traceparent.starts_with(&format!("00-{mine}-")),
        "{traceparent} for {mine}"
    );
    assert_eq!(seen.trace_of_span.as_deref(), Some(mine.as_str()));

    get(&client(&peers)).await.unwrap();
    let seen = a.fake.seen();
    assert_eq!(seen.traceparent, None);
    assert_ne!(seen.trace_of_span.as_deref(), Some(mine.as_str()));
}
