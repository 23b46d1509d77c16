//! The walk over the bytes of a request that was checked. Nothing is copied; what no rule asks for is stepped over.
//!
//! The bytes are known to be well-formed, so what is said of malformed ones (nothing, the default) is never said. A
//! field that may come once and does so several times has its last value, as the encoding wants it.

use super::fields::{BYTES, FIXED32, FIXED64, Fields, Unusual, VARINT};
use crate::view::{AttributeView, List, RequestView, ResourceView, ScopeView, SpanView, Value};

/// The messages in one field of a message.
#[derive(Debug, Clone, Copy)]
struct Each<'r> {
    fields: Fields<'r>,
    number: u32,
}

impl<'r> Each<'r> {
    #[inline]
    fn of(message: &'r [u8], number: u32) -> Self {
        Each {
            fields: Fields::of(message),
            number,
        }
    }
}

impl<'r> Iterator for Each<'r> {
    type Item = &'r [u8];

    #[inline]
    fn next(&mut self) -> Option<&'r [u8]> {
        while let Ok(Some((number, written))) = self.fields.key() {
            if (number, written) == (self.number, BYTES) {
                return self.fields.bytes().ok();
            }
            self.fields.skip(written).ok()?;
        }
        None
    }
}

#[inline]
fn text(bytes: &[u8]) -> &str {
    // Checked before; asking again is what it takes to get a text without a copy.
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Handle of an `ExportTraceServiceRequest`.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r>(pub(super) &'r [u8]);

impl<'r> RequestView<'r> for Request<'r> {
    type Resource = Resource<'r>;

    fn resources(self) -> impl Iterator<Item = Resource<'r>> {
        Each::of(self.0, 1).map(Resource)
    }
}

/// Handle of a `ResourceSpans`.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'r>(&'r [u8]);

impl<'r> ResourceView<'r> for Resource<'r> {
    type Attribute = Attribute<'r>;
    type Scope = Scope<'r>;

    fn attributes(self) -> impl Iterator<Item = Attribute<'r>> {
        let resource = Each::of(self.0, 1).next().unwrap_or_default();
        Each::of(resource, 1).map(Attribute::of)
    }

    fn scopes(self) -> impl Iterator<Item = Scope<'r>> {
        Each::of(self.0, 2).map(Scope)
    }
}

/// Handle of a `ScopeSpans`.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'r>(&'r [u8]);

impl<'r> ScopeView<'r> for Scope<'r> {
    type Span = Span<'r>;

    fn name(self) -> &'r str {
        let scope = Each::of(self.0, 1).next().unwrap_or_default();
        text(Each::of(scope, 1).last().unwrap_or_default())
    }

    fn spans(self) -> impl Iterator<Item = Span<'r>> {
        Each::of(self.0, 2).map(Span::of)
    }
}

/// Handle of a `Span`: its own fields, and where its attributes and events are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Span<'r> {
    trace_id: &'r [u8],
    span_id: &'r [u8],
    parent_span_id: &'r [u8],
    name: &'r [u8],
    /// From the first attribute to the end of the last; other fields may lie between.
    attributes: &'r [u8],
    /// From the first event to the end of the last.
    events: &'r [u8],
    status: &'r [u8],
    start: u64,
    end: u64,
    kind: i32,
    flags: u32,
    dropped_attributes: u32,
}

impl<'r> Span<'r> {
    fn of(wire: &'r [u8]) -> Self {
        let mut span = Span::default();
        // Never an error: the bytes were checked.
        let _ = span.read(wire);
        span
    }

    fn read(&mut self, wire: &'r [u8]) -> Result<(), Unusual> {
        let mut attributes = Stretch::default();
        let mut events = Stretch::default();
        let mut fields = Fields::of(wire);
        loop {
            let from = wire.len() - fields.left();
            let Some((number, written)) = fields.key()? else {
                break;
            };
            // Numbers are narrowed as prost does it: the upper bits are ignored.
            match (number, written) {
                (9, BYTES) => {
                    fields.skip(BYTES)?;
                    attributes.reach(from, wire.len() - fields.left());
                }
                (1, BYTES) => self.trace_id = fields.bytes()?,
                (2, BYTES) => self.span_id = fields.bytes()?,
                (4, BYTES) => self.parent_span_id = fields.bytes()?,
                (5, BYTES) => self.name = fields.bytes()?,
                (6, VARINT) => self.kind = fields.varint()? as i32,
                (7, FIXED64) => self.start = fields.fixed64()?,
                (8, FIXED64) => self.end = fields.fixed64()?,
                (10, VARINT) => self.dropped_attributes = fields.varint()? as u32,
                (11, BYTES) => {
                    fields.skip(BYTES)?;
                    events.reach(from, wire.len() - fields.left());
                }
                (15, BYTES) => self.status = fields.bytes()?,
                (16, FIXED32) => self.flags = fields.fixed32()?,
                (_, _) => fields.skip(written)?,
            }
        }
        self.attributes = &wire[attributes.from..attributes.to];
        self.events = &wire[events.from..events.to];
        Ok(())
    }
}

/// Where fields of one number are, as offsets.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    from: usize,
    to: usize,
}

impl Stretch {
    #[inline]
    fn reach(&mut self, from: usize, to: usize) {
        if self.to == 0 {
            self.from = from;
        }
        self.to = to;
    }
}

impl<'r> SpanView<'r> for Span<'r> {
    type Attribute = Attribute<'r>;

    fn trace_id(self) -> &'r [u8] {
        self.trace_id
    }

    fn span_id(self) -> &'r [u8] {
        self.span_id
    }

    fn parent_span_id(self) -> &'r [u8] {
        self.parent_span_id
    }

    fn name(self) -> &'r str {
        text(self.name)
    }

    fn kind(self) -> i32 {
        self.kind
    }

    fn flags(self) -> u32 {
        self.flags
    }

    fn start(self) -> u64 {
        self.start
    }

    fn end(self) -> u64 {
        self.end
    }

    fn status(self) -> i32 {
        status(self.status).unwrap_or_default()
    }

    fn attributes(self) -> impl Iterator<Item = Attribute<'r>> {
        Each::of(self.attributes, 9).map(Attribute::of)
    }

    fn dropped_attributes(self) -> u32 {
        self.dropped_attributes
    }

    fn event_attributes(self) -> impl Iterator<Item = Attribute<'r>> {
        Each::of(self.events, 11).flat_map(|event| Each::of(event, 3).map(Attribute::of))
    }
}

/// Handle of a `KeyValue`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attribute<'r> {
    key: &'r [u8],
    /// An `AnyValue`; an empty one says as little as none.
    value: &'r [u8],
}

impl<'r> Attribute<'r> {
    #[inline]
    fn of(wire: &'r [u8]) -> Self {
        let mut attribute = Attribute::default();
        // As for spans.
        let _ = attribute.read(wire);
        attribute
    }

    #[inline]
    fn read(&mut self, wire: &'r [u8]) -> Result<(), Unusual> {
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => self.key = fields.bytes()?,
                (2, BYTES) => self.value = fields.bytes()?,
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }
}

impl<'r> AttributeView<'r> for Attribute<'r> {
    #[inline]
    fn key(self) -> &'r [u8] {
        self.key
    }

    fn value(self) -> Value<'r> {
        value(self.value).unwrap_or(Value::Other)
    }
}

/// The code of a `Status`.
fn status(wire: &[u8]) -> Result<i32, Unusual> {
    let mut code = 0;
    let mut fields = Fields::of(wire);
    while let Some((number, written)) = fields.key()? {
        match (number, written) {
            (3, VARINT) => code = fields.varint()? as i32,
            (_, _) => fields.skip(written)?,
        }
    }
    Ok(code)
}

/// What an `AnyValue` holds; checked ones hold at most one value.
fn value(wire: &[u8]) -> Result<Value<'_>, Unusual> {
    let mut fields = Fields::of(wire);
    while let Some((number, written)) = fields.key()? {
        let value = match (number, written) {
            (1, BYTES) => Value::Text(text(fields.bytes()?)),
            (2, VARINT) => Value::Bool(fields.varint()? != 0),
            (3, VARINT) => Value::Int(fields.varint()? as i64),
            (4, FIXED64) => Value::Double(f64::from_bits(fields.fixed64()?)),
            (5, BYTES) => Value::List(List::of_wire(Items(fields.bytes()?))),
            (6..=8, _) => Value::Other,
            (_, _) => {
                fields.skip(written)?;
                continue;
            }
        };
        return Ok(value);
    }
    Ok(Value::Other)
}

/// Elements of an array: an `ArrayValue`.
#[derive(Debug, Clone, Copy)]
pub(in crate::view) struct Items<'r>(&'r [u8]);

impl<'r> Items<'r> {
    pub(in crate::view) fn texts(self) -> impl Iterator<Item = &'r str> {
        Each::of(self.0, 1).filter_map(|item| match value(item) {
            Ok(Value::Text(text)) => Some(text),
            Ok(Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::List(_) | Value::Other)
            | Err(Unusual) => None,
        })
    }
}
