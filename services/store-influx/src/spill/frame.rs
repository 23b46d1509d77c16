//! Frames: some operations as one checked piece.

use crate::op::{self, Op};
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use flate2::{Compression, Crc};
use std::io::{self, Read, Write};

/// Operations in a frame at most.
const OPS_MAX: usize = 500;
/// Bytes of a payload at most, packed or unpacked; what claims more is damaged.
const PAYLOAD_BYTES_MAX: u64 = 256 * 1_024 * 1_024;
/// Bytes of length and checksum.
pub(super) const HEAD: u64 = 8;

fn checksum(payload: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(payload);
    crc.sum()
}

/// The frames of a batch.
pub(super) fn pack(batch: &[Op]) -> Result<Vec<u8>, serde_json::Error> {
    let mut frames = Vec::new();
    for ops in batch.chunks(OPS_MAX) {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        for op in ops {
            gzip.write_all(&op::save(op)?).map_err(serde_json::Error::io)?;
            gzip.write_all(b"\n").map_err(serde_json::Error::io)?;
        }
        let payload = gzip.finish().map_err(serde_json::Error::io)?;
        frames.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        frames.extend_from_slice(&checksum(&payload).to_le_bytes());
        frames.extend_from_slice(&payload);
    }
    Ok(frames)
}

/// The next frame of a reader: its operations and its bytes. `None` where there is no whole frame.
pub(super) fn unpack(reader: &mut impl Read) -> io::Result<Option<(Vec<Op>, u64)>> {
    let mut head = [0; HEAD as usize];
    if !fill(reader, &mut head)? {
        return Ok(None);
    }
    let (length, sum) = head.split_at(4);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u32, |n, byte| n << 8 | u32::from(*byte))
    };
    let length = u64::from(number(length));
    if length > PAYLOAD_BYTES_MAX {
        return Ok(None);
    }
    let mut payload = Vec::new();
    reader.take(length).read_to_end(&mut payload)?;
    if payload.len() as u64 != length || checksum(&payload) != number(sum) {
        return Ok(None);
    }
    Ok(parse(&payload).map(|ops| (ops, HEAD + length)))
}

fn parse(payload: &[u8]) -> Option<Vec<Op>> {
    let mut lines = Vec::new();
    let mut gzip = GzDecoder::new(payload).take(PAYLOAD_BYTES_MAX);
    gzip.read_to_end(&mut lines).ok()?;
    let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| op::load(line).ok()).collect()
}

/// Whether there were bytes enough.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}
