//! What the rules see of an export request: borrowed, read once, front to back.
//!
//! The rules know these traits and nothing else. Two representations stand behind them: the bytes on the wire
//! ([`wire`]), and the structs that JSON and unusual requests are decoded to ([`decoded`]). A view is a cheap handle
//! (`Copy`); what it lends lives as long as the request (`'r`), not as long as the handle.
//!
//! To add a view: implement the five traits for handles over your representation; `tests/truth` then holds it to
//! the same captures as the others.

pub mod decoded;
pub mod wire;

/// One `ExportTraceServiceRequest`.
pub trait RequestView<'r>: Copy {
    /// Handle of the spans of one resource.
    type Resource: ResourceView<'r>;
    /// The resources, in wire order.
    fn resources(self) -> impl Iterator<Item = Self::Resource>;
}

/// One `ResourceSpans`.
pub trait ResourceView<'r>: Copy {
    /// Handle of an attribute.
    type Attribute: AttributeView<'r>;
    /// Handle of the spans of one scope.
    type Scope: ScopeView<'r>;
    /// Attributes of the resource, in wire order, repeated keys included.
    fn attributes(self) -> impl Iterator<Item = Self::Attribute>;
    /// The scopes, in wire order.
    fn scopes(self) -> impl Iterator<Item = Self::Scope>;
}

/// One `ScopeSpans`.
pub trait ScopeView<'r>: Copy {
    /// Handle of a span.
    type Span: SpanView<'r>;
    /// Name of the instrumentation scope, empty when absent.
    fn name(self) -> &'r str;
    /// The spans, in wire order, which is not their order in time.
    fn spans(self) -> impl Iterator<Item = Self::Span>;
}

/// One `Span`. Times are nanoseconds since the Unix epoch as the sender wrote them, 0 when absent.
pub trait SpanView<'r>: Copy {
    /// Handle of an attribute.
    type Attribute: AttributeView<'r>;
    /// 16 bytes when valid.
    fn trace_id(self) -> &'r [u8];
    /// 8 bytes when valid.
    fn span_id(self) -> &'r [u8];
    /// Empty for a root, else 8 bytes when valid.
    fn parent_span_id(self) -> &'r [u8];
    /// Name of the span.
    fn name(self) -> &'r str;
    /// `SpanKind` by number.
    fn kind(self) -> i32;
    /// `SpanFlags`: bits 0x100 and 0x200 tell whether the parent is in another process.
    fn flags(self) -> u32;
    /// Start.
    fn start(self) -> u64;
    /// End.
    fn end(self) -> u64;
    /// `Status.code` by number, 0 when unset.
    fn status(self) -> i32;
    /// Attributes, in wire order, repeated keys included.
    fn attributes(self) -> impl Iterator<Item = Self::Attribute>;
    /// How many attributes the sender's limits cut away.
    fn dropped_attributes(self) -> u32;
    /// Attributes of the span's events, those of one event after those of another.
    fn event_attributes(self) -> impl Iterator<Item = Self::Attribute>;
}

/// One `KeyValue`.
pub trait AttributeView<'r>: Copy {
    /// The key: the bytes of a text.
    fn key(self) -> &'r [u8];
    /// The value. Most are never asked for.
    fn value(self) -> Value<'r>;
}

impl<'r> AttributeView<'r> for (&'r str, Value<'r>) {
    fn key(self) -> &'r [u8] {
        self.0.as_bytes()
    }

    fn value(self) -> Value<'r> {
        self.1
    }
}

/// Span kind SERVER.
pub const KIND_SERVER: i32 = 2;
/// Span kind CLIENT.
pub const KIND_CLIENT: i32 = 3;
/// Status code ERROR.
pub const STATUS_ERROR: i32 = 2;
/// Flag: the sender says whether the parent is remote.
pub const FLAG_HAS_IS_REMOTE: u32 = 0x100;
/// Flag: the parent is in another process.
pub const FLAG_IS_REMOTE: u32 = 0x200;

/// An attribute's value, borrowed.
#[derive(Debug, Clone, Copy)]
pub enum Value<'r> {
    /// Text.
    Text(&'r str),
    /// True or false.
    Bool(bool),
    /// Integer.
    Int(i64),
    /// Floating point, possibly NaN.
    Double(f64),
    /// An array.
    List(List<'r>),
    /// Bytes, maps and empty values, which no rule reads.
    Other,
}

impl<'r> Value<'r> {
    /// The text, or the first text of a list: several finish reasons are one per choice, and the first is the one
    /// that frameworks act on. `None` when empty or not text.
    pub fn text(self) -> Option<&'r str> {
        match self {
            Value::Text(text) => Some(text).filter(|text| !text.is_empty()),
            Value::List(list) => list.texts().find(|text| !text.is_empty()),
            Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Other => None,
        }
    }

    /// A count: an integer, a floating number without a fraction worth keeping, or its decimal text. `None` when
    /// negative or not a number.
    pub fn count(self) -> Option<u64> {
        match self {
            Value::Int(n) => u64::try_from(n).ok(),
            Value::Double(x) if x.is_finite() && (0.0..1e15).contains(&x) => Some(x.round() as u64),
            Value::Text(text) => text.trim().parse().ok(),
            Value::Double(_) | Value::Bool(_) | Value::List(_) | Value::Other => None,
        }
    }

    /// A finite, non-negative number.
    pub fn number(self) -> Option<f64> {
        let number = match self {
            Value::Int(n) => n as f64,
            Value::Double(x) => x,
            Value::Text(text) => text.trim().parse().ok()?,
            Value::Bool(_) | Value::List(_) | Value::Other => return None,
        };
        (number.is_finite() && number >= 0.0).then_some(number)
    }

    /// True when the value says yes: the boolean, or the word.
    pub fn is_true(self) -> bool {
        match self {
            Value::Bool(yes) => yes,
            Value::Text(text) => text.eq_ignore_ascii_case("true"),
            Value::Int(_) | Value::Double(_) | Value::List(_) | Value::Other => false,
        }
    }
}

/// An array value.
#[derive(Debug, Clone, Copy)]
pub struct List<'r>(Items<'r>);

#[derive(Debug, Clone, Copy)]
enum Items<'r> {
    Decoded(decoded::Items<'r>),
    Wire(wire::Items<'r>),
}

impl<'r> List<'r> {
    fn of_decoded(items: decoded::Items<'r>) -> Self {
        List(Items::Decoded(items))
    }

    fn of_wire(items: wire::Items<'r>) -> Self {
        List(Items::Wire(items))
    }

    /// The texts in the array; other elements are passed over.
    pub fn texts(self) -> impl Iterator<Item = &'r str> {
        let (decoded, wire) = match self.0 {
            Items::Decoded(items) => (Some(items), None),
            Items::Wire(items) => (None, Some(items)),
        };
        let decoded = decoded.into_iter().flat_map(decoded::Items::texts);
        decoded.chain(wire.into_iter().flat_map(wire::Items::texts))
    }
}
