//! Guarantees of the translation of cases.

use super::super::arbitrary;
use super::*;
use crate::v1::case_state as wire_state;
use proptest::prelude::*;

proptest! {
    /// Guarantees: nothing of a case is lost or changed on the wire, whatever state it is in.
    #[test]
    fn round_trip(case in arbitrary::case()) {
        prop_assert_eq!(Case::try_from(v1::Case::from(&case)), Ok(case));
    }

    /// Guarantees: a case survives encoding to bytes, too.
    #[test]
    fn round_trip_in_bytes(case in arbitrary::case()) {
        use prost::Message;
        let bytes = v1::Case::from(&case).encode_to_vec();
        let wire = v1::Case::decode(bytes.as_slice()).expect("what was encoded decodes");
        prop_assert_eq!(Case::try_from(wire), Ok(case));
    }

    /// Guarantees: a refusal names the path down to the field, through state and list.
    #[test]
    fn refuses_by_path(case in arbitrary::case()) {
        type Spoil = fn(&mut v1::Case);
        let spoiled: [(&str, Spoil); 6] = [
            ("state: is missing", |w| w.state = None),
            ("state.state: is missing", |w| w.state = Some(v1::CaseState { state: None })),
            ("state.released.by: is missing", |w| {
                let released = wire_state::Released {
                    at: Some(time::to_wire(immune_domain::Timestamp::EPOCH)),
                    by: None,
                    reason: String::new(),
                };
                w.state = Some(v1::CaseState { state: Some(wire_state::State::Released(released)) });
            }),
            ("state.healed.action: \"pray\" is not a healing action", |w| {
                let healed = wire_state::Healed {
                    at: Some(time::to_wire(immune_domain::Timestamp::EPOCH)),
                    action: "pray".to_owned(),
                };
                w.state = Some(v1::CaseState { state: Some(wire_state::State::Healed(healed)) });
            }),
            ("attempts[0].healing_id: is missing", |w| w.attempts = vec![v1::Attempt::default()]),
            ("timeline[1].at: is missing", |w| {
                let entry = v1::TimelineEntry {
                    at: Some(time::to_wire(immune_domain::Timestamp::EPOCH)),
                    ..v1::TimelineEntry::default()
                };
                w.timeline = vec![entry, v1::TimelineEntry::default()];
            }),
        ];
        for (message, spoil) in spoiled {
            let mut wire = v1::Case::from(&case);
            spoil(&mut wire);
            prop_assert_eq!(Case::try_from(wire).expect_err(message).to_string(), message);
        }
    }
}
