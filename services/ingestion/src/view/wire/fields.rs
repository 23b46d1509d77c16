//! Fields of a protobuf message, read off its bytes.
//!
//! The encoding: <https://protobuf.dev/programming-guides/encoding/>. What is refused here, prost refuses too, but
//! for groups: nobody sends them, and prost knows how to pass them over.

/// Bytes that are no message of the expected type, or one in a form that is left to prost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusual;

/// An integer of variable length.
pub(super) const VARINT: u8 = 0;
/// Eight bytes.
pub(super) const FIXED64: u8 = 1;
/// Text, bytes, or a message, after its length.
pub(super) const BYTES: u8 = 2;
/// Four bytes.
pub(super) const FIXED32: u8 = 5;

/// The fields of a message that are not read yet: a key, then its value, and so on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'r> {
    rest: &'r [u8],
}

impl<'r> Fields<'r> {
    /// The fields of a message.
    #[inline(always)]
    pub(super) fn of(message: &'r [u8]) -> Self {
        Fields { rest: message }
    }

    /// How many bytes are not read yet.
    #[inline(always)]
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    /// The next field's number, and how its value is written; `None` after the last. The value must be read next.
    #[inline(always)]
    pub(super) fn key(&mut self) -> Result<Option<(u32, u8)>, Unusual> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Unusual)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Unusual);
        }
        Ok(Some((number, (key & 7) as u8)))
    }

    /// A value with a length.
    #[inline(always)]
    pub(super) fn bytes(&mut self) -> Result<&'r [u8], Unusual> {
        let length = usize::try_from(self.varint()?).map_err(|_| Unusual)?;
        let (value, rest) = self.rest.split_at_checked(length).ok_or(Unusual)?;
        self.rest = rest;
        Ok(value)
    }

    /// A value of eight bytes, little-endian.
    #[inline(always)]
    pub(super) fn fixed64(&mut self) -> Result<u64, Unusual> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A value of four bytes, little-endian.
    #[inline(always)]
    pub(super) fn fixed32(&mut self) -> Result<u32, Unusual> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Passes a value over.
    #[inline(always)]
    pub(super) fn skip(&mut self, written: u8) -> Result<(), Unusual> {
        match written {
            VARINT => drop(self.varint()?),
            FIXED64 => drop(self.fixed64()?),
            BYTES => drop(self.bytes()?),
            FIXED32 => drop(self.fixed32()?),
            // Groups, and what is not defined.
            _ => return Err(Unusual),
        }
        Ok(())
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unusual> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Unusual)?;
        self.rest = rest;
        Ok(*array)
    }

    /// An integer of variable length.
    #[inline(always)]
    pub(super) fn varint(&mut self) -> Result<u64, Unusual> {
        match *self.rest {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.rest = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    /// At most ten bytes, of which the last holds a single bit. Leading zeros are allowed.
    #[cold]
    #[inline(never)]
    fn long_varint(&mut self) -> Result<u64, Unusual> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                if index == 9 && *byte > 1 {
                    return Err(Unusual);
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(Unusual)
    }
}
