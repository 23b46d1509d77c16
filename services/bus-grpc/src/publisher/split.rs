//! A batch as messages of bounded size.

use super::link::Part;
use immune_bus::Record;
use immune_proto::convert::bus::encode;
use immune_proto::v1;
use prost::Message;
use std::sync::Arc;

/// What a record costs beside its own bytes: the field's number and its length.
const FRAME_BYTES: usize = 6;

/// The records in order, in parts of at most so many bytes as encoded. A record that is larger is a part alone.
pub(super) fn split(records: &[Record], bytes_max: usize) -> Vec<Part> {
    let mut parts = Vec::with_capacity(1);
    let (mut open, mut bytes) = (Vec::new(), 0);
    for record in encode(records).records {
        let size = record.encoded_len() + FRAME_BYTES;
        if bytes + size > bytes_max && !open.is_empty() {
            parts.push(part(std::mem::take(&mut open), bytes));
            bytes = 0;
        }
        bytes += size;
        open.push(record);
    }
    if !open.is_empty() {
        parts.push(part(open, bytes));
    }
    parts
}

fn part(records: Vec<v1::BusRecord>, bytes: usize) -> Part {
    Part {
        batch: Arc::new(v1::BusBatch { records }),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_bus::conformance::vitals;
    use immune_proto::convert::bus::decode;

    /// Scenario: a batch of records, of which one alone is over the limit.
    /// Guarantees: every record once, in order; no part over the limit but the one of the large record.
    #[test]
    fn parts_are_bounded_and_complete() {
        let mut records: Vec<Record> = (0..100).map(|n| Record::Vitals(vitals("a", n))).collect();
        let mut large = vitals("large", 100);
        large.context.tools = vec!["t".repeat(2000)];
        records.insert(50, Record::Vitals(large));
        let parts = split(&records, 1024);
        assert!(parts.len() > 10, "{} parts", parts.len());
        for part in &parts {
            assert!(part.batch.encoded_len() <= part.bytes);
            assert!(part.bytes <= 1024 || part.batch.records.len() == 1);
        }
        let again: Vec<Record> = parts
            .into_iter()
            .flat_map(|part| decode(Arc::unwrap_or_clone(part.batch)).unwrap())
            .collect();
        assert_eq!(again, records);
        assert!(split(&[], 1024).is_empty());
    }
}
