//! The least that reading spans can take: one walk over the wire bytes that borrows the sixteen fields vitals need and
//! skips the rest. It checks nothing that it does not touch; the product checks everything, and is held against this.

use std::hint::black_box;

/// Bytes that are no request.
#[derive(Debug)]
pub struct Malformed;

type Walked<T> = Result<T, Malformed>;

/// Field tags of `opentelemetry/proto/trace/v1/trace.proto` and `common/v1/common.proto`: number and wire type.
mod tag {
    pub const MESSAGE_1: u64 = 1 << 3 | 2;
    pub const MESSAGE_2: u64 = 2 << 3 | 2;
    pub const PARENT: u64 = 4 << 3 | 2;
    pub const NAME: u64 = 5 << 3 | 2;
    pub const START: u64 = 7 << 3 | 1;
    pub const END: u64 = 8 << 3 | 1;
    pub const ATTRIBUTE: u64 = 9 << 3 | 2;
    pub const STATUS: u64 = 15 << 3 | 2;
    pub const INT: u64 = 3 << 3;
}

/// A place in a message.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    fn next_tag(&mut self) -> Walked<Option<u64>> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        self.varint().map(Some)
    }

    #[inline]
    fn varint(&mut self) -> Walked<u64> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
            if shift > 63 {
                return Err(Malformed);
            }
        }
    }

    #[inline]
    fn take(&mut self, count: usize) -> Walked<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    #[inline]
    fn chunk(&mut self) -> Walked<&'a [u8]> {
        let count = self.varint()?;
        self.take(usize::try_from(count).map_err(|_| Malformed)?)
    }

    #[inline]
    fn skip(&mut self, tag: u64) -> Walked<()> {
        match tag & 7 {
            0 => self.varint().map(drop),
            1 => self.take(8).map(drop),
            2 => self.chunk().map(drop),
            5 => self.take(4).map(drop),
            _ => Err(Malformed),
        }
    }
}

/// Walks over a request; how many spans it has.
pub fn request(bytes: &[u8]) -> Walked<u64> {
    let mut spans = 0;
    messages(bytes, tag::MESSAGE_1, |resource_spans| {
        messages(resource_spans, tag::MESSAGE_2, |scope_spans| {
            messages(scope_spans, tag::MESSAGE_2, |bytes| {
                spans += 1;
                span(bytes)
            })
        })
    })?;
    Ok(spans)
}

fn messages<'a>(bytes: &'a [u8], wanted: u64, mut act: impl FnMut(&'a [u8]) -> Walked<()>) -> Walked<()> {
    let mut cursor = Cursor::new(bytes);
    while let Some(tag) = cursor.next_tag()? {
        if tag == wanted {
            act(cursor.chunk()?)?;
        } else {
            cursor.skip(tag)?;
        }
    }
    Ok(())
}

fn span(bytes: &[u8]) -> Walked<()> {
    let mut cursor = Cursor::new(bytes);
    while let Some(found) = cursor.next_tag()? {
        match found {
            tag::MESSAGE_1 | tag::MESSAGE_2 | tag::PARENT | tag::NAME | tag::STATUS => {
                black_box(cursor.chunk()?);
            }
            tag::START | tag::END => {
                black_box(cursor.take(8)?);
            }
            tag::ATTRIBUTE => attribute(cursor.chunk()?)?,
            other => cursor.skip(other)?,
        }
    }
    Ok(())
}

fn attribute(bytes: &[u8]) -> Walked<()> {
    let mut cursor = Cursor::new(bytes);
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    while let Some(found) = cursor.next_tag()? {
        match found {
            tag::MESSAGE_1 => key = cursor.chunk()?,
            tag::MESSAGE_2 => value = cursor.chunk()?,
            other => cursor.skip(other)?,
        }
    }
    match key {
        b"error.type"
        | b"gen_ai.agent.id"
        | b"gen_ai.agent.name"
        | b"gen_ai.tool.name"
        | b"gen_ai.request.model"
        | b"gen_ai.operation.name"
        | b"gen_ai.conversation.id" => read(value, tag::MESSAGE_1, Cursor::chunk),
        b"gen_ai.usage.input_tokens" | b"gen_ai.usage.output_tokens" => read(value, tag::INT, Cursor::varint),
        _ => Ok(()),
    }
}

/// The field of a value that holds what it is.
#[inline]
fn read<'a, T>(value: &'a [u8], wanted: u64, take: impl Fn(&mut Cursor<'a>) -> Walked<T>) -> Walked<()> {
    let mut cursor = Cursor::new(value);
    while let Some(found) = cursor.next_tag()? {
        if found == wanted {
            black_box(take(&mut cursor)?);
        } else {
            cursor.skip(found)?;
        }
    }
    Ok(())
}
