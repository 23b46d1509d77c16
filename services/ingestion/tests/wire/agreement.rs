//! The two readers of a request held against each other: everything that the views tell.

use bytes::Bytes;
use immune_ingestion::view::{AttributeView, RequestView, ResourceView, ScopeView, SpanView, Value, wire};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// What became of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Both read it, and say the same.
    Read,
    /// prost takes it, and the check leaves it to prost.
    Left,
    /// Neither takes it.
    Refused,
}

/// Reads a body both ways.
///
/// # Errors
/// The difference, when the check takes what prost refuses, or when the two views tell different things.
pub fn agree(body: &[u8]) -> Result<Outcome, String> {
    let checked = wire::check(Bytes::copy_from_slice(body), usize::MAX);
    match (checked, ExportTraceServiceRequest::decode(body)) {
        (Err(wire::Unusual), Err(_)) => Ok(Outcome::Refused),
        (Err(wire::Unusual), Ok(_)) => Ok(Outcome::Left),
        (Ok(_), Err(error)) => Err(format!("taken, and prost refuses it: {error}")),
        (Ok(checked), Ok(decoded)) => {
            requests(checked.view(), &decoded)?;
            Ok(Outcome::Read)
        }
    }
}

/// Compares two requests by their views.
fn requests<'a, 'b>(one: impl RequestView<'a>, other: impl RequestView<'b>) -> Result<(), String> {
    all("resources", one.resources(), other.resources(), |one, other| {
        all(
            "attributes of a resource",
            one.attributes(),
            other.attributes(),
            attribute,
        )?;
        all("scopes", one.scopes(), other.scopes(), |one, other| {
            same("name of a scope", one.name(), other.name())?;
            all("spans", one.spans(), other.spans(), span)
        })
    })
}

fn span<'a, 'b>(one: impl SpanView<'a>, other: impl SpanView<'b>) -> Result<(), String> {
    same("trace id", one.trace_id(), other.trace_id())?;
    same("span id", one.span_id(), other.span_id())?;
    same("parent", one.parent_span_id(), other.parent_span_id())?;
    same("name", one.name(), other.name())?;
    same("kind", one.kind(), other.kind())?;
    same("flags", one.flags(), other.flags())?;
    same("start", one.start(), other.start())?;
    same("end", one.end(), other.end())?;
    same("status", one.status(), other.status())?;
    same(
        "dropped attributes",
        one.dropped_attributes(),
        other.dropped_attributes(),
    )?;
    all("attributes", one.attributes(), other.attributes(), attribute)?;
    all(
        "attributes of events",
        one.event_attributes(),
        other.event_attributes(),
        attribute,
    )
}

fn attribute<'a, 'b>(one: impl AttributeView<'a>, other: impl AttributeView<'b>) -> Result<(), String> {
    same("key", one.key(), other.key())?;
    match (one.value(), other.value()) {
        (Value::List(one), Value::List(other)) => {
            all("texts of a list", one.texts(), other.texts(), |a, b| {
                same("text of a list", a, b)
            })
        }
        // NaN is a value like any other here.
        (Value::Double(one), Value::Double(other)) => same("bits", one.to_bits(), other.to_bits()),
        (one, other) => same("value", format!("{one:?}"), format!("{other:?}")),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: T, other: T) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    Err(format!("{what}: {one:?} on the wire, {other:?} decoded"))
}

fn all<A, B>(
    what: &str,
    mut one: impl Iterator<Item = A>,
    mut other: impl Iterator<Item = B>,
    compare: impl Fn(A, B) -> Result<(), String>,
) -> Result<(), String> {
    loop {
        match (one.next(), other.next()) {
            (Some(one), Some(other)) => compare(one, other)?,
            (None, None) => return Ok(()),
            (Some(_), None) => return Err(format!("{what}: more on the wire")),
            (None, Some(_)) => return Err(format!("{what}: fewer on the wire")),
        }
    }
}
