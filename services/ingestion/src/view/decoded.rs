//! The view over prost's decoded structs.

use super::{AttributeView, List, RequestView, ResourceView, ScopeView, SpanView, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

impl<'r> RequestView<'r> for &'r ExportTraceServiceRequest {
    type Resource = &'r ResourceSpans;

    fn resources(self) -> impl Iterator<Item = &'r ResourceSpans> {
        self.resource_spans.iter()
    }
}

impl<'r> ResourceView<'r> for &'r ResourceSpans {
    type Attribute = &'r KeyValue;
    type Scope = &'r ScopeSpans;

    fn attributes(self) -> impl Iterator<Item = &'r KeyValue> {
        let attributes = self
            .resource
            .as_ref()
            .map_or(&[][..], |resource| &resource.attributes);
        attributes.iter()
    }

    fn scopes(self) -> impl Iterator<Item = &'r ScopeSpans> {
        self.scope_spans.iter()
    }
}

impl<'r> ScopeView<'r> for &'r ScopeSpans {
    type Span = &'r Span;

    fn name(self) -> &'r str {
        self.scope.as_ref().map_or("", |scope| &scope.name)
    }

    fn spans(self) -> impl Iterator<Item = &'r Span> {
        self.spans.iter()
    }
}

impl<'r> SpanView<'r> for &'r Span {
    type Attribute = &'r KeyValue;

    fn trace_id(self) -> &'r [u8] {
        &self.trace_id
    }

    fn span_id(self) -> &'r [u8] {
        &self.span_id
    }

    fn parent_span_id(self) -> &'r [u8] {
        &self.parent_span_id
    }

    fn name(self) -> &'r str {
        &self.name
    }

    fn kind(self) -> i32 {
        self.kind
    }

    fn flags(self) -> u32 {
        self.flags
    }

    fn start(self) -> u64 {
        self.start_time_unix_nano
    }

    fn end(self) -> u64 {
        self.end_time_unix_nano
    }

    fn status(self) -> i32 {
        self.status.as_ref().map_or(0, |status| status.code)
    }

    fn attributes(self) -> impl Iterator<Item = &'r KeyValue> {
        self.attributes.iter()
    }

    fn dropped_attributes(self) -> u32 {
        self.dropped_attributes_count
    }

    fn event_attributes(self) -> impl Iterator<Item = &'r KeyValue> {
        self.events.iter().flat_map(|event| &event.attributes)
    }
}

impl<'r> AttributeView<'r> for &'r KeyValue {
    fn key(self) -> &'r [u8] {
        self.key.as_bytes()
    }

    fn value(self) -> Value<'r> {
        value(self.value.as_ref())
    }
}

fn value(value: Option<&AnyValue>) -> Value<'_> {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => Value::Text(text),
        Some(any_value::Value::BoolValue(yes)) => Value::Bool(*yes),
        Some(any_value::Value::IntValue(n)) => Value::Int(*n),
        Some(any_value::Value::DoubleValue(x)) => Value::Double(*x),
        Some(any_value::Value::ArrayValue(array)) => Value::List(List::of_decoded(Items(&array.values))),
        Some(
            any_value::Value::KvlistValue(_)
            | any_value::Value::BytesValue(_)
            | any_value::Value::StringValueStrindex(_),
        )
        | None => Value::Other,
    }
}

/// Elements of an array.
#[derive(Debug, Clone, Copy)]
pub(super) struct Items<'r>(&'r [AnyValue]);

impl<'r> Items<'r> {
    pub(super) fn texts(self) -> impl Iterator<Item = &'r str> {
        self.0.iter().filter_map(|item| match item.value.as_ref() {
            Some(any_value::Value::StringValue(text)) => Some(text.as_str()),
            Some(_) | None => None,
        })
    }
}
