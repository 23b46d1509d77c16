//! Points in time: `google.protobuf.Timestamp` on the wire, microseconds in the domain.

use super::WireError;
use immune_domain::Timestamp;

const MICROS: i64 = 1_000_000;

/// The wire's form, exact.
pub fn to_wire(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    // Nanoseconds count forward from the second, also before the epoch.
    prost_types::Timestamp {
        seconds: micros.div_euclid(MICROS),
        nanos: i32::try_from(micros.rem_euclid(MICROS) * 1_000).expect("below a billion"),
    }
}

/// The domain's form of a field that must be there; rounds down to the microsecond.
pub fn from_wire(field: &str, at: Option<prost_types::Timestamp>) -> Result<Timestamp, WireError> {
    let at = super::required(field, at)?;
    let nanos = i64::from(at.nanos);
    if !(0..1_000_000_000).contains(&nanos) {
        return Err(WireError::new(
            field,
            format!("{nanos} nanoseconds are not from 0 to 999999999"),
        ));
    }
    // In 128 bits, because the earliest times overflow on the way although their sum does not.
    let micros = i128::from(at.seconds) * i128::from(MICROS) + i128::from(nanos / 1_000);
    let micros = i64::try_from(micros).map_err(|_| {
        WireError::new(
            field,
            format!("{} seconds are beyond what a time can be", at.seconds),
        )
    })?;
    Ok(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: every time of the domain survives the wire, those before the epoch included.
        #[test]
        fn round_trip(micros: i64) {
            let at = Timestamp::from_micros(micros);
            prop_assert_eq!(from_wire("at", Some(to_wire(at))), Ok(at));
        }
    }

    /// Guarantees: a time that is absent, malformed or too far away is refused by name, never read as another time.
    #[test]
    fn refuses_what_is_no_time() {
        let refused = |at| from_wire("at", at).expect_err("not a time").to_string();
        assert_eq!(refused(None), "at: is missing");
        let wire = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        assert_eq!(
            refused(wire(0, -1)),
            "at: -1 nanoseconds are not from 0 to 999999999"
        );
        assert_eq!(
            refused(wire(0, 1_000_000_000)),
            "at: 1000000000 nanoseconds are not from 0 to 999999999"
        );
        assert!(refused(wire(i64::MAX, 0)).starts_with("at: 9223372036854775807 seconds"));
    }
}
