//! The parts of OTLP/JSON that are read, and their way into prost's structs.

use super::fields;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use serde::Deserialize;

macro_rules! model {
    ($($(#[$doc:meta])* $name:ident { $($(#[$how:meta])* $field:ident: $type:ty),+ $(,)? })+) => {
        $($(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name { $($(#[$how])* $field: $type),+ })+
    };
}

model! {
    /// `ExportTraceServiceRequest`.
    Traces { #[serde(deserialize_with = "fields::nullable")] resource_spans: Vec<ResourceSpans> }
    ResourceSpans {
        resource: Option<Resource>,
        #[serde(deserialize_with = "fields::nullable")] scope_spans: Vec<ScopeSpans>,
        #[serde(deserialize_with = "fields::nullable")] schema_url: String,
    }
    ScopeSpans {
        scope: Option<Scope>,
        #[serde(deserialize_with = "fields::nullable")] spans: Vec<Span>,
        #[serde(deserialize_with = "fields::nullable")] schema_url: String,
    }
    Span {
        #[serde(deserialize_with = "fields::hex")] trace_id: Vec<u8>,
        #[serde(deserialize_with = "fields::hex")] span_id: Vec<u8>,
        #[serde(deserialize_with = "fields::hex")] parent_span_id: Vec<u8>,
        #[serde(deserialize_with = "fields::nullable")] trace_state: String,
        #[serde(deserialize_with = "fields::unsigned")] flags: u64,
        #[serde(deserialize_with = "fields::nullable")] name: String,
        #[serde(deserialize_with = "fields::kind")] kind: i32,
        #[serde(deserialize_with = "fields::unsigned")] start_time_unix_nano: u64,
        #[serde(deserialize_with = "fields::unsigned")] end_time_unix_nano: u64,
        #[serde(deserialize_with = "fields::nullable")] attributes: Vec<KeyValue>,
        #[serde(deserialize_with = "fields::unsigned")] dropped_attributes_count: u64,
        #[serde(deserialize_with = "fields::nullable")] events: Vec<Event>,
        status: Option<Status>,
    }
    Event {
        #[serde(deserialize_with = "fields::unsigned")] time_unix_nano: u64,
        #[serde(deserialize_with = "fields::nullable")] name: String,
        #[serde(deserialize_with = "fields::nullable")] attributes: Vec<KeyValue>,
    }
    Status {
        #[serde(deserialize_with = "fields::nullable")] message: String,
        #[serde(deserialize_with = "fields::status")] code: i32,
    }
    /// `ExportLogsServiceRequest`.
    Logs { #[serde(deserialize_with = "fields::nullable")] resource_logs: Vec<ResourceLogs> }
    ResourceLogs {
        resource: Option<Resource>,
        #[serde(deserialize_with = "fields::nullable")] scope_logs: Vec<ScopeLogs>,
    }
    ScopeLogs {
        scope: Option<Scope>,
        #[serde(deserialize_with = "fields::nullable")] log_records: Vec<LogRecord>,
    }
    LogRecord {
        #[serde(deserialize_with = "fields::unsigned")] time_unix_nano: u64,
        #[serde(deserialize_with = "fields::unsigned")] observed_time_unix_nano: u64,
        #[serde(deserialize_with = "fields::nullable")] attributes: Vec<KeyValue>,
        #[serde(deserialize_with = "fields::nullable")] event_name: String,
        #[serde(deserialize_with = "fields::hex")] trace_id: Vec<u8>,
        #[serde(deserialize_with = "fields::hex")] span_id: Vec<u8>,
    }
    Resource { #[serde(deserialize_with = "fields::nullable")] attributes: Vec<KeyValue> }
    Scope {
        #[serde(deserialize_with = "fields::nullable")] name: String,
        #[serde(deserialize_with = "fields::nullable")] version: String,
        #[serde(deserialize_with = "fields::nullable")] attributes: Vec<KeyValue>,
    }
    KeyValue {
        #[serde(deserialize_with = "fields::nullable")] key: String,
        value: Option<AnyValue>,
    }
    AnyValue {
        string_value: Option<String>,
        bool_value: Option<bool>,
        #[serde(deserialize_with = "fields::signed")] int_value: Option<i64>,
        #[serde(deserialize_with = "fields::float")] double_value: Option<f64>,
        array_value: Option<ArrayValue>,
    }
    ArrayValue { #[serde(deserialize_with = "fields::nullable")] values: Vec<AnyValue> }
}

fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(B::from).collect()
}

impl From<Traces> for ExportTraceServiceRequest {
    fn from(from: Traces) -> Self {
        ExportTraceServiceRequest {
            resource_spans: all(from.resource_spans),
        }
    }
}

impl From<ResourceSpans> for trace::ResourceSpans {
    fn from(from: ResourceSpans) -> Self {
        trace::ResourceSpans {
            resource: from.resource.map(Into::into),
            scope_spans: all(from.scope_spans),
            schema_url: from.schema_url,
        }
    }
}

impl From<ScopeSpans> for trace::ScopeSpans {
    fn from(from: ScopeSpans) -> Self {
        trace::ScopeSpans {
            scope: from.scope.map(Into::into),
            spans: all(from.spans),
            schema_url: from.schema_url,
        }
    }
}

impl From<Span> for trace::Span {
    fn from(from: Span) -> Self {
        trace::Span {
            trace_id: from.trace_id,
            span_id: from.span_id,
            trace_state: from.trace_state,
            parent_span_id: from.parent_span_id,
            flags: from.flags as u32,
            name: from.name,
            kind: from.kind,
            start_time_unix_nano: from.start_time_unix_nano,
            end_time_unix_nano: from.end_time_unix_nano,
            attributes: all(from.attributes),
            dropped_attributes_count: u32::try_from(from.dropped_attributes_count).unwrap_or(u32::MAX),
            events: all(from.events),
            status: from.status.map(|status| trace::Status {
                message: status.message,
                code: status.code,
            }),
            ..trace::Span::default()
        }
    }
}

impl From<Event> for trace::span::Event {
    fn from(from: Event) -> Self {
        trace::span::Event {
            time_unix_nano: from.time_unix_nano,
            name: from.name,
            attributes: all(from.attributes),
            ..trace::span::Event::default()
        }
    }
}

impl From<Logs> for ExportLogsServiceRequest {
    fn from(from: Logs) -> Self {
        ExportLogsServiceRequest {
            resource_logs: all(from.resource_logs),
        }
    }
}

impl From<ResourceLogs> for logs::ResourceLogs {
    fn from(from: ResourceLogs) -> Self {
        logs::ResourceLogs {
            resource: from.resource.map(Into::into),
            scope_logs: all(from.scope_logs),
            ..logs::ResourceLogs::default()
        }
    }
}

impl From<ScopeLogs> for logs::ScopeLogs {
    fn from(from: ScopeLogs) -> Self {
        logs::ScopeLogs {
            scope: from.scope.map(Into::into),
            log_records: all(from.log_records),
            ..logs::ScopeLogs::default()
        }
    }
}

impl From<LogRecord> for logs::LogRecord {
    fn from(from: LogRecord) -> Self {
        logs::LogRecord {
            time_unix_nano: from.time_unix_nano,
            observed_time_unix_nano: from.observed_time_unix_nano,
            attributes: all(from.attributes),
            event_name: from.event_name,
            trace_id: from.trace_id,
            span_id: from.span_id,
            ..logs::LogRecord::default()
        }
    }
}

impl From<Resource> for resource::Resource {
    fn from(from: Resource) -> Self {
        resource::Resource {
            attributes: all(from.attributes),
            ..resource::Resource::default()
        }
    }
}

impl From<Scope> for common::InstrumentationScope {
    fn from(from: Scope) -> Self {
        common::InstrumentationScope {
            name: from.name,
            version: from.version,
            attributes: all(from.attributes),
            ..common::InstrumentationScope::default()
        }
    }
}

impl From<KeyValue> for common::KeyValue {
    fn from(from: KeyValue) -> Self {
        common::KeyValue {
            key: from.key,
            value: from.value.map(Into::into),
            ..common::KeyValue::default()
        }
    }
}

impl From<AnyValue> for common::AnyValue {
    fn from(from: AnyValue) -> Self {
        let text = from.string_value.map(any_value::Value::StringValue);
        let value = text
            .or(from.bool_value.map(any_value::Value::BoolValue))
            .or(from.int_value.map(any_value::Value::IntValue))
            .or(from.double_value.map(any_value::Value::DoubleValue))
            .or(from.array_value.map(|array| {
                any_value::Value::ArrayValue(common::ArrayValue {
                    values: all(array.values),
                })
            }));
        common::AnyValue { value }
    }
}
