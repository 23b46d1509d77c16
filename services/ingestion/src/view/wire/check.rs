//! Whether bytes are a request that can be walked over, and what it would weigh as structs.
//!
//! One pass, without an allocation. What it accepts prost accepts, with the same content. What it does not is
//! malformed, or in one of the forms that no encoder writes and that would make the walk slow for all: groups,
//! a message in two pieces that have to be merged, values within values beyond [`NESTED_MAX`].

use super::fields::{BYTES, FIXED32, FIXED64, Fields, Unusual, VARINT};
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use std::mem::size_of;

/// Values within values that are looked into. Each is two messages; prost refuses the 101st message within messages.
const NESTED_MAX: u32 = 32;

/// The weight of an `ExportTraceServiceRequest` as structs, bytes: the sum of the structs that stand in lists.
///
/// # Errors
/// When the bytes are not to be walked over, or when they weigh more than `weight_max`.
pub(super) fn request(wire: &[u8], weight_max: usize) -> Result<usize, Unusual> {
    let mut scale = Scale {
        weight: 0,
        max: weight_max,
    };
    let mut fields = Fields::of(wire);
    while let Some((number, written)) = fields.key()? {
        match (number, written) {
            (1, BYTES) => scale.resource_spans(fields.bytes()?)?,
            (1, _) => return Err(Unusual),
            (_, _) => fields.skip(written)?,
        }
    }
    Ok(scale.weight)
}

struct Scale {
    weight: usize,
    max: usize,
}

/// A field that may come once.
#[inline]
fn once(was_there: &mut bool) -> Result<(), Unusual> {
    if std::mem::replace(was_there, true) {
        return Err(Unusual);
    }
    Ok(())
}

#[inline]
fn text(bytes: &[u8]) -> Result<(), Unusual> {
    if is_ascii(bytes) || std::str::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    Err(Unusual)
}

/// Most texts are ASCII, and most are short. Eight bytes at a time, the last eight perhaps twice: the standard library
/// looks at what is left of a text byte by byte, which makes the whole check a sixth slower.
#[inline]
fn is_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let all = words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word));
    let last = match bytes.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => rest.iter().fold(0, |all, byte| all | u64::from(*byte)),
    };
    (all | last) & 0x8080_8080_8080_8080 == 0
}

impl Scale {
    #[inline]
    fn add(&mut self, bytes: usize) -> Result<(), Unusual> {
        self.weight += bytes;
        if self.weight > self.max {
            return Err(Unusual);
        }
        Ok(())
    }

    fn resource_spans(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        self.add(size_of::<ResourceSpans>())?;
        let mut has_resource = false;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => {
                    once(&mut has_resource)?;
                    self.resource(fields.bytes()?)?;
                }
                (2, BYTES) => self.scope_spans(fields.bytes()?)?,
                (3, BYTES) => text(fields.bytes()?)?,
                (1..=3, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn resource(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => self.key_value(fields.bytes()?, NESTED_MAX)?,
                // How much was dropped.
                (2, VARINT) => fields.skip(VARINT)?,
                (3, BYTES) => self.entity(fields.bytes()?)?,
                (1..=3, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn entity(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        self.add(size_of::<EntityRef>())?;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1 | 2, BYTES) => text(fields.bytes()?)?,
                (3 | 4, BYTES) => {
                    self.add(size_of::<String>())?;
                    text(fields.bytes()?)?;
                }
                (1..=4, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        self.add(size_of::<ScopeSpans>())?;
        let mut has_scope = false;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => {
                    once(&mut has_scope)?;
                    self.scope(fields.bytes()?)?;
                }
                (2, BYTES) => self.span(fields.bytes()?)?,
                (3, BYTES) => text(fields.bytes()?)?,
                (1..=3, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn scope(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1 | 2, BYTES) => text(fields.bytes()?)?,
                (3, BYTES) => self.key_value(fields.bytes()?, NESTED_MAX)?,
                // How much was dropped.
                (4, VARINT) => fields.skip(VARINT)?,
                (1..=4, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn span(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        self.add(size_of::<Span>())?;
        let mut has_status = false;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (9, BYTES) => self.key_value(fields.bytes()?, NESTED_MAX)?,
                // Ids.
                (1 | 2 | 4, BYTES) => fields.skip(BYTES)?,
                (3 | 5, BYTES) => text(fields.bytes()?)?,
                // The kind, and how much was dropped.
                (6 | 10 | 12 | 14, VARINT) => fields.skip(VARINT)?,
                // Start, end, flags.
                (7 | 8, FIXED64) | (16, FIXED32) => fields.skip(written)?,
                (11, BYTES) => self.event(fields.bytes()?)?,
                (13, BYTES) => self.link(fields.bytes()?)?,
                (15, BYTES) => {
                    once(&mut has_status)?;
                    status(fields.bytes()?)?;
                }
                (1..=16, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn event(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        self.add(size_of::<Event>())?;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                // The time.
                (1, FIXED64) => fields.skip(FIXED64)?,
                (2, BYTES) => text(fields.bytes()?)?,
                (3, BYTES) => self.key_value(fields.bytes()?, NESTED_MAX)?,
                // How much was dropped.
                (4, VARINT) => fields.skip(VARINT)?,
                (1..=4, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn link(&mut self, wire: &[u8]) -> Result<(), Unusual> {
        self.add(size_of::<Link>())?;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                // Ids.
                (1 | 2, BYTES) => fields.skip(BYTES)?,
                (3, BYTES) => text(fields.bytes()?)?,
                (4, BYTES) => self.key_value(fields.bytes()?, NESTED_MAX)?,
                // How much was dropped.
                (5, VARINT) => fields.skip(VARINT)?,
                // Flags.
                (6, FIXED32) => fields.skip(FIXED32)?,
                (1..=6, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    /// `nested` values may stand within each other here.
    fn key_value(&mut self, wire: &[u8], nested: u32) -> Result<(), Unusual> {
        self.add(size_of::<KeyValue>())?;
        let mut has_value = false;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => text(fields.bytes()?)?,
                (2, BYTES) => {
                    once(&mut has_value)?;
                    self.any_value(fields.bytes()?, nested)?;
                }
                // The index of a key.
                (3, VARINT) => fields.skip(VARINT)?,
                (1..=3, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn any_value(&mut self, wire: &[u8], nested: u32) -> Result<(), Unusual> {
        let mut has_value = false;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            if number <= 8 {
                once(&mut has_value)?;
            }
            match (number, written) {
                (1, BYTES) => text(fields.bytes()?)?,
                // Truth, integer, index of a text; floating point; bytes.
                (2 | 3 | 8, VARINT) | (4, FIXED64) | (7, BYTES) => fields.skip(written)?,
                (5, BYTES) => self.array(fields.bytes()?, nested)?,
                (6, BYTES) => self.map(fields.bytes()?, nested)?,
                (1..=8, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn array(&mut self, wire: &[u8], nested: u32) -> Result<(), Unusual> {
        let nested = nested.checked_sub(1).ok_or(Unusual)?;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => {
                    self.add(size_of::<AnyValue>())?;
                    self.any_value(fields.bytes()?, nested)?;
                }
                (1, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }

    fn map(&mut self, wire: &[u8], nested: u32) -> Result<(), Unusual> {
        let nested = nested.checked_sub(1).ok_or(Unusual)?;
        let mut fields = Fields::of(wire);
        while let Some((number, written)) = fields.key()? {
            match (number, written) {
                (1, BYTES) => self.key_value(fields.bytes()?, nested)?,
                (1, _) => return Err(Unusual),
                (_, _) => fields.skip(written)?,
            }
        }
        Ok(())
    }
}

fn status(wire: &[u8]) -> Result<(), Unusual> {
    let mut fields = Fields::of(wire);
    while let Some((number, written)) = fields.key()? {
        match (number, written) {
            (2, BYTES) => text(fields.bytes()?)?,
            // The code.
            (3, VARINT) => fields.skip(VARINT)?,
            (2 | 3, _) => return Err(Unusual),
            (_, _) => fields.skip(written)?,
        }
    }
    Ok(())
}
