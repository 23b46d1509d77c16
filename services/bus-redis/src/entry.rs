//! What one entry holds: a batch as protobuf, compressed where that pays.

use immune_bus::{Partition, Record};
use immune_proto::v1;
use prost::Message;
use std::collections::BTreeMap;

/// Name of the field of a payload that is as encoded.
const PLAIN: &[u8] = b"b";
/// Name of the field of a payload that is compressed (zstd).
const COMPRESSED: &[u8] = b"z";
/// Bytes from which on compression is tried.
const COMPRESS_FROM: usize = 256;
/// The quickest level: vitals repeat names, which it finds.
const LEVEL: i32 = 1;
/// The most that a payload may become when it is read, bytes. One record is never near it.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What becomes an entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) partition: u16,
    pub(crate) records: usize,
    pub(crate) form: &'static [u8],
    pub(crate) payload: Vec<u8>,
}

/// The entries of a batch: for each partition one, or several when they would be larger than `bytes_max`.
pub(crate) fn divide(batch: &[Record], partitions: u16, bytes_max: usize) -> Vec<Entry> {
    let mut parts: BTreeMap<u16, Vec<v1::BusRecord>> = BTreeMap::new();
    for record in batch {
        let key = match record {
            Record::Vitals(vitals) => &vitals.key,
            Record::Retracted(key, _) => key,
        };
        let index = Partition::of(key, partitions).index;
        parts.entry(index).or_default().push(record.into());
    }
    let mut entries = Vec::with_capacity(parts.len());
    for (partition, records) in parts {
        let mut part = v1::BusBatch::default();
        let mut bytes = 0;
        for record in records {
            let length = record.encoded_len();
            if bytes > 0 && bytes + length > bytes_max {
                entries.push(entry(partition, &part));
                part.records.clear();
                bytes = 0;
            }
            bytes += length;
            part.records.push(record);
        }
        entries.push(entry(partition, &part));
    }
    entries
}

fn entry(partition: u16, part: &v1::BusBatch) -> Entry {
    let plain = part.encode_to_vec();
    let compressed = if plain.len() >= COMPRESS_FROM {
        zstd::bulk::compress(&plain, LEVEL).ok()
    } else {
        None
    };
    // An eighth less, or the reader's work is not worth it.
    let (form, payload) = match compressed {
        Some(compressed) if compressed.len() + plain.len() / 8 < plain.len() => (COMPRESSED, compressed),
        Some(_) | None => (PLAIN, plain),
    };
    Entry {
        partition,
        records: part.records.len(),
        form,
        payload,
    }
}

/// The records of an entry, and how many of them could not be read.
///
/// # Errors
/// Says why nothing of it could be read.
pub(crate) fn decode(form: &[u8], payload: &[u8]) -> Result<(Vec<Record>, usize), String> {
    let plain;
    let bytes = match form {
        PLAIN => payload,
        COMPRESSED => {
            plain = decompress(payload).map_err(|error| format!("zstd: {error}"))?;
            plain.as_slice()
        }
        _ => return Err(format!("no form is named {:?}", String::from_utf8_lossy(form))),
    };
    let batch = v1::BusBatch::decode(bytes).map_err(|error| error.to_string())?;
    let total = batch.records.len();
    // One by one: a record that cannot be read, of a version to come perhaps, must not take the others along.
    let records: Vec<Record> = batch
        .records
        .into_iter()
        .filter_map(|record| match Record::try_from(record) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::warn!(%error, "unreadable record of the vitals bus");
                None
            }
        })
        .collect();
    let unreadable = total - records.len();
    Ok((records, unreadable))
}

fn decompress(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    // The frame says its size, for which memory is taken before anything is read: it must be believable.
    let size = zstd::bulk::Decompressor::upper_bound(payload).unwrap_or(PAYLOAD_BYTES_MAX);
    zstd::bulk::decompress(payload, size.min(PAYLOAD_BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_bus::conformance::{batch, by_agent, vitals};

    fn all(entries: &[Entry]) -> Vec<Record> {
        let mut records = Vec::new();
        for entry in entries {
            let (some, unreadable) = decode(entry.form, &entry.payload).unwrap();
            assert_eq!((some.len(), unreadable), (entry.records, 0));
            records.extend(some);
        }
        records
    }

    /// Scenario: a publication of many agents.
    /// Guarantees: one entry per partition, whose records are its own and in order.
    #[test]
    fn one_entry_per_partition() {
        let records: Vec<Record> = (0..600)
            .flat_map(|n| batch(&format!("agent-{}", n % 97), n).to_vec())
            .collect();
        let entries = divide(&records, 16, usize::MAX);
        let partitions: Vec<u16> = entries.iter().map(|entry| entry.partition).collect();
        assert_eq!(partitions, (0..16).collect::<Vec<_>>());
        assert_eq!(by_agent(all(&entries)), by_agent(records));
    }

    /// Scenario: more records of one agent than fit into an entry, one of them larger than an entry.
    /// Guarantees: several entries, in order; the large record is alone.
    #[test]
    fn large_publications_are_several_entries() {
        let mut records: Vec<Record> = (0..100).flat_map(|n| batch("a", n).to_vec()).collect();
        let mut large = vitals("a", 1_000);
        large.context.tools = (0..2_000).map(|n| format!("tool-{n}")).collect();
        records.insert(50, Record::Vitals(large));
        let entries = divide(&records, 16, 4_096);
        assert!(entries.len() > 3, "{}", entries.len());
        assert!(entries.iter().any(|entry| entry.records == 1));
        assert_eq!(all(&entries), records);
    }

    /// Scenario: what one entry of 20 executions of an agent weighs.
    /// Guarantees: it is compressed to less than half.
    #[test]
    fn compression_pays() {
        let records: Vec<Record> = (0..20).map(|n| Record::Vitals(vitals("agent", n))).collect();
        let entries = divide(&records, 1, usize::MAX);
        let plain: usize = records
            .iter()
            .map(|record| v1::BusRecord::from(record).encoded_len())
            .sum();
        assert_eq!(entries[0].form, COMPRESSED);
        assert!(
            entries[0].payload.len() * 2 < plain,
            "{} of {plain}",
            entries[0].payload.len()
        );
    }

    /// Scenario: payloads that nobody encoded, and a record without an agent among others.
    /// Guarantees: nothing panics; what can be read is read, the rest is counted.
    #[test]
    fn what_cannot_be_read_is_counted() {
        assert!(decode(b"x", b"").is_err());
        assert!(decode(PLAIN, b"\xff\xff\xff").is_err());
        assert!(decode(COMPRESSED, b"not zstd").is_err());
        let mut part = v1::BusBatch {
            records: vec![(&Record::Vitals(vitals("a", 1))).into(); 3],
        };
        part.records[1].record = None;
        let (records, unreadable) = decode(PLAIN, &part.encode_to_vec()).unwrap();
        assert_eq!((records.len(), unreadable), (2, 1));
    }
}
