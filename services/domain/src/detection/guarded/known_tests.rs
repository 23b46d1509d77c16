use super::super::tests::{execution, healthy};
use super::*;

fn known(count: u32) -> Known {
    let mut known = Known::default();
    for i in 0..count {
        let mut vitals = healthy(i);
        vitals.context.task_type = (i % 5 == 0).then(|| format!("kind {}", i % 3));
        known.learn(&Told::of(&vitals));
    }
    known
}

/// Scenario: a detector begins from what sixty executions have taught; tokens rise sixfold. Another begins from what ten
/// have taught, which is too little.
/// Guarantees: the first judges from its first execution on and finds the fault as quickly as one that learned itself; the
/// second learns its fifteen.
#[test]
fn begins_where_another_left_off() {
    let mut guard = Guard::begin(&known(60));
    assert!(guard.observe(&healthy(0)).score < super::super::ALARM && guard.is_ready());
    for _ in 0..5 {
        guard.observe(&execution(1_000.0, Some(3_000), Some(3), true));
    }
    assert!(guard.is_infected());
    let mut young = Guard::begin(&known(10));
    let readies = (0..).position(|i| {
        young.observe(&healthy(i));
        young.is_ready()
    });
    assert_eq!(readies, Some(SEED as usize));
}

/// Scenario: what is known is written and read; then with a byte cut off, another form, a mean that is no number, more
/// failures than executions, and an empty text.
/// Guarantees: it comes back to the last bit; what none of ours can be is refused, and nothing panics.
#[test]
fn survives_being_stored() {
    for count in [0, 1, 2, 200] {
        let known = known(count);
        let again = Known::from_bytes(&known.to_bytes()).expect("our own bytes");
        assert_eq!(again.to_bytes(), known.to_bytes());
        let text = serde_json::to_string(&known).expect("bytes");
        let read: Known = serde_json::from_str(&text).expect("what was written");
        assert_eq!(read.to_bytes(), known.to_bytes());
    }
    let bytes = known(60).to_bytes();
    for length in 0..bytes.len() {
        let is_whole = (length >= 89) && (length - 89).is_multiple_of(20);
        assert_eq!(
            Known::from_bytes(&bytes[..length]).is_some(),
            is_whole,
            "{length}"
        );
    }
    let with = |at: usize, number: f32| {
        let mut bytes = bytes.clone();
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        Known::from_bytes(&bytes)
    };
    assert!(with(13 + 4, f32::NAN).is_none());
    assert!(with(13, 1e9).is_none());
    assert!(with(13 + 60, 1e3).is_none());
    assert_eq!(Known::from_bytes(&[&[2], &bytes[1..]].concat()), None);
    assert!(serde_json::from_str::<Known>(r#""""#).is_err());
}

/// Scenario: a detector that begins from what is known is shown twenty sick executions that are on record, then live
/// healthy ones; another one is frozen and shown three hundred of a slowly rising level.
/// Guarantees: what is on record accuses and teaches nothing; healthy live ones teach again; a frozen one never learns.
#[test]
fn what_is_recalled_teaches_nothing() {
    let known = known(60);
    let mut guard = Guard::begin(&known);
    for _ in 0..20 {
        guard.recall(&execution(9_000.0, Some(3_000), Some(3), true));
    }
    assert!(guard.is_infected());
    assert_eq!(guard.known, known.reference);
    guard.restart();
    for i in 0..40 {
        guard.observe(&healthy(i));
    }
    assert!(!guard.is_infected());
    assert_ne!(guard.known, known.reference);

    let mut frozen = Guard::begin(&known);
    frozen.freeze(true);
    for i in 0..300_u32 {
        frozen.observe(&execution(1_000.0 + f64::from(i), Some(500), Some(3), true));
    }
    assert_eq!(frozen.known, known.reference);
}
