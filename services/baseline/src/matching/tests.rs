use super::*;

const X: u64 = 1;
const NOW: Timestamp = Timestamp::EPOCH;

fn matching() -> Matching {
    Matching::new(Duration::from_secs(60))
}

fn spot(index: usize) -> Spot {
    Spot { entry: 0, index }
}

fn verdict(matching: &mut Matching, identity: u64, revision: u32, teaches: bool) -> Met {
    matching.verdict(identity, revision, teaches, true, NOW)
}

fn taught(latency_ms: f64) -> Taught {
    Taught {
        sample: [Some(latency_ms), None, None],
        life: 1,
    }
}

/// A record that is judged and teaches.
fn teach(matching: &mut Matching, identity: u64, revision: u32, latency_ms: f64) -> Settled {
    let came = matching.record(identity, revision, spot(0), NOW);
    assert_eq!(came, Came::Waits);
    assert_eq!(verdict(matching, identity, revision, true), Met::Record(spot(0)));
    let settled = matching.settle(identity, revision);
    matching.taught(identity, taught(latency_ms));
    settled
}

const FIRST: Settled = Settled::Counts {
    forget: None,
    is_first: true,
};

/// Guarantees: an execution counts once when record and verdict are here, in either order; repeats change nothing.
#[test]
fn both_orders_match_once() {
    let mut matching = matching();
    assert_eq!(teach(&mut matching, X, 0, 5.0), FIRST);
    assert_eq!(verdict(&mut matching, 2, 0, true), Met::Nothing);
    assert_eq!(
        verdict(&mut matching, 2, 0, false),
        Met::Judged,
        "the first word stands"
    );
    assert_eq!(
        matching.record(2, 0, spot(3), NOW),
        Came::Judged { teaches: true }
    );
    assert_eq!(matching.settle(2, 0), FIRST);
    for identity in [X, 2] {
        assert_eq!(matching.record(identity, 0, spot(9), NOW), Came::Repeated);
        assert_eq!(verdict(&mut matching, identity, 0, true), Met::Judged);
    }
}

/// Scenario: late spans correct an execution that has taught.
/// Guarantees: the first lesson is taken back when the correction takes effect.
#[test]
fn a_correction_replaces_the_lesson() {
    let mut matching = matching();
    teach(&mut matching, X, 0, 5.0);
    let forget = Some(taught(5.0));
    let second = Settled::Counts {
        forget,
        is_first: false,
    };
    assert_eq!(teach(&mut matching, X, 1, 6.0), second);
    assert_eq!(matching.retract(X), Some(taught(6.0)));
}

/// Scenario: a record and its correction are judged, and the correction takes effect first.
/// Guarantees: the record that was outrun teaches nothing.
#[test]
fn an_outrun_record_is_void() {
    let mut matching = matching();
    matching.record(X, 0, spot(0), NOW);
    matching.record(X, 1, spot(1), NOW);
    assert_eq!(verdict(&mut matching, X, 1, true), Met::Record(spot(1)));
    assert_eq!(matching.settle(X, 1), FIRST);
    assert_eq!(verdict(&mut matching, X, 0, true), Met::Record(spot(0)));
    assert_eq!(matching.settle(X, 0), Settled::Void);
}

/// Scenario: a correction of an execution that was learned elsewhere, and one after that.
/// Guarantees: neither teaches, because the first lesson cannot be taken back here.
#[test]
fn corrections_of_what_is_not_remembered_do_not_count() {
    let mut matching = matching();
    assert_eq!(matching.record(X, 1, spot(0), NOW), Came::Orphaned);
    assert_eq!(verdict(&mut matching, X, 1, true), Met::Judged);
    assert_eq!(matching.record(X, 2, spot(0), NOW), Came::Void);
    matching.record(2, 0, spot(0), NOW);
    matching.disown(2);
    assert_eq!(matching.record(2, 1, spot(0), NOW), Came::Void);
}

/// Guarantees: a verdict counts for its own revision only, and those of several revisions may come before them.
#[test]
fn verdicts_count_for_their_revision() {
    let mut matching = matching();
    assert_eq!(verdict(&mut matching, X, 0, true), Met::Nothing);
    assert_eq!(verdict(&mut matching, X, 2, false), Met::Nothing);
    assert_eq!(
        matching.record(X, 0, spot(0), NOW),
        Came::Judged { teaches: true }
    );
    assert_eq!(matching.record(X, 1, spot(1), NOW), Came::Waits);
    assert_eq!(
        matching.record(X, 2, spot(2), NOW),
        Came::Judged { teaches: false }
    );
    assert_eq!(verdict(&mut matching, X, 1, true), Met::Record(spot(1)));
}

/// Guarantees: a verdict without its record is kept only while there is room; one with its record needs none.
#[test]
fn early_verdicts_need_room() {
    let mut matching = matching();
    matching.record(X, 0, spot(0), NOW);
    assert_eq!(matching.verdict(X, 0, true, false, NOW), Met::Record(spot(0)));
    assert_eq!(matching.verdict(2, 0, true, false, NOW), Met::Refused);
    assert_eq!(
        (matching.early(), verdict(&mut matching, 2, 0, true)),
        (0, Met::Nothing)
    );
    assert_eq!(matching.early(), 1);
}

/// Guarantees: a withdrawn execution unteaches, its records need no verdict any more, and it never teaches again, also
/// when the withdrawal comes first.
#[test]
fn withdrawn_executions_do_not_count() {
    let mut matching = matching();
    teach(&mut matching, X, 0, 5.0);
    matching.record(X, 1, spot(4), NOW);
    assert_eq!(matching.withdraw(X, NOW), [spot(4)]);
    assert_eq!(matching.retract(X), Some(taught(5.0)));
    assert_eq!(matching.retract(X), None);
    assert_eq!(matching.withdraw(2, NOW), []);
    for identity in [X, 2] {
        assert_eq!(matching.record(identity, 2, spot(0), NOW), Came::Void);
        assert_eq!(verdict(&mut matching, identity, 2, true), Met::Judged);
    }
}

/// Scenario: a hundred executions that have settled, and one that waits, longer than anything is remembered.
/// Guarantees: what is remembered is bounded by count and by age, the oldest go first; what waits is kept.
#[test]
fn memory_is_bounded() {
    let mut matching = matching();
    matching.record(X, 0, spot(0), NOW);
    for identity in 100..200 {
        teach(&mut matching, identity, 0, 1.0);
    }
    matching.expire(10, NOW);
    assert_eq!(matching.len(), 10);
    assert_eq!(matching.record(199, 0, spot(0), NOW), Came::Repeated);
    let later = NOW.plus(Duration::from_secs(61));
    matching.expire(10, later);
    assert_eq!(matching.len(), 1);
    assert_eq!(matching.verdict(X, 0, true, true, later), Met::Record(spot(0)));
    matching.settle(X, 0);
    matching.expire(10, later.plus(Duration::from_secs(61)));
    assert!(matching.is_empty());
}
