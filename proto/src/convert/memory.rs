//! Immune memory.

use super::{WireError, nested, time, word};
use crate::v1;
use immune_domain::memory::{Memory, Pin};

/// A pin on the wire: empty means none.
pub fn pin(field: &str, text: &str) -> Result<Option<Pin>, WireError> {
    if text.is_empty() {
        Ok(None)
    } else {
        word(field, text).map(Some)
    }
}

impl From<&Memory> for v1::MemoryRecord {
    fn from(memory: &Memory) -> Self {
        v1::MemoryRecord {
            key: Some((&memory.key).into()),
            diagnosis: memory.diagnosis.to_string(),
            action: memory.action.to_string(),
            successes: memory.successes,
            failures: memory.failures,
            last_at: Some(time::to_wire(memory.last_at)),
            pin: memory.pin.map(Pin::as_str).unwrap_or_default().to_owned(),
        }
    }
}

impl From<Memory> for v1::MemoryRecord {
    fn from(memory: Memory) -> Self {
        v1::MemoryRecord::from(&memory)
    }
}

impl TryFrom<v1::MemoryRecord> for Memory {
    type Error = WireError;

    fn try_from(wire: v1::MemoryRecord) -> Result<Self, Self::Error> {
        Ok(Memory {
            key: nested("key", wire.key)?,
            diagnosis: word("diagnosis", &wire.diagnosis)?,
            action: word("action", &wire.action)?,
            successes: wire.successes,
            failures: wire.failures,
            last_at: time::from_wire("last_at", wire.last_at)?,
            pin: pin("pin", &wire.pin)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::arbitrary;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: nothing of a memory is lost or changed on the wire, pinned or not.
        #[test]
        fn round_trip(memory in arbitrary::memory()) {
            prop_assert_eq!(Memory::try_from(v1::MemoryRecord::from(&memory)), Ok(memory));
        }
    }

    /// Guarantees: a pin that is none is refused, not read as unpinned.
    #[test]
    fn refuses_an_unknown_pin() {
        assert_eq!(pin("pin", ""), Ok(None));
        let error = pin("pin", "maybe").expect_err("not a pin");
        assert_eq!(
            error.to_string(),
            r#"pin: "maybe" is not a pin; known: `prefer` `avoid`"#
        );
    }
}
