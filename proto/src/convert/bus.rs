//! Records of the vitals bus.
//!
//! Not `From` and `TryFrom`: a batch of the bus is a slice, which is nobody's own type here.

use super::{WireError, id, nested, required};
use crate::v1;
use crate::v1::bus_record::{Record as Wire, Retracted};
use immune_bus::Record;

/// The message of a batch.
pub fn encode(records: &[Record]) -> v1::BusBatch {
    v1::BusBatch {
        records: records.iter().map(v1::BusRecord::from).collect(),
    }
}

/// The records of a message, in order.
///
/// # Errors
/// When a record cannot be a domain value; the field's path begins at the batch: `records[3].vitals.latency_ms`.
pub fn decode(batch: v1::BusBatch) -> Result<Vec<Record>, WireError> {
    super::list("records", batch.records)
}

impl From<&Record> for v1::BusRecord {
    fn from(record: &Record) -> Self {
        let record = match record {
            Record::Vitals(vitals) => Wire::Vitals(vitals.into()),
            Record::Retracted(key, execution) => Wire::Retracted(Retracted {
                key: Some(key.into()),
                execution_id: execution.to_string(),
            }),
        };
        v1::BusRecord { record: Some(record) }
    }
}

impl TryFrom<v1::BusRecord> for Record {
    type Error = WireError;

    fn try_from(wire: v1::BusRecord) -> Result<Self, Self::Error> {
        match required("record", wire.record)? {
            Wire::Vitals(vitals) => nested("vitals", Some(vitals)).map(Record::Vitals),
            Wire::Retracted(retracted) => nested("retracted", Some(retracted)),
        }
    }
}

impl TryFrom<Retracted> for Record {
    type Error = WireError;

    fn try_from(wire: Retracted) -> Result<Self, Self::Error> {
        Ok(Record::Retracted(
            nested("key", wire.key)?,
            id("execution_id", wire.execution_id)?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use immune_domain::ExecutionId;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn record() -> impl Strategy<Value = Record> {
        (arbitrary::vitals(), any::<bool>()).prop_map(|(vitals, is_retracted)| match is_retracted {
            true => Record::Retracted(vitals.key, vitals.execution),
            false => Record::Vitals(vitals),
        })
    }

    proptest! {
        /// Guarantees: a batch comes back as it was, in order.
        #[test]
        fn batches_survive_the_wire(records in vec(record(), 0..8)) {
            prop_assert_eq!(decode(encode(&records)), Ok(records));
        }
    }

    /// Scenario: records that lack what they must have, as the second of a batch.
    /// Guarantees: the refusal names the place.
    #[test]
    fn refusals_name_the_field() {
        let key = immune_domain::AgentKey::new("r", "a");
        let good = v1::BusRecord::from(&Record::Retracted(key, ExecutionId::new("e")));
        let refused = |record| {
            let records = vec![good.clone(), v1::BusRecord { record }];
            decode(v1::BusBatch { records })
                .expect_err("not a batch")
                .to_string()
        };
        assert_eq!(refused(None), "records[1].record: is missing");
        let retracted = Retracted::default();
        assert_eq!(
            refused(Some(Wire::Retracted(retracted))),
            "records[1].retracted.key: is missing"
        );
        assert_eq!(
            refused(Some(Wire::Vitals(v1::Vitals::default()))),
            "records[1].vitals.key: is missing"
        );
    }
}
