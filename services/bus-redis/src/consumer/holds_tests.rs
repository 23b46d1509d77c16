//! What a replica knows, step by step.

use super::holds::Holds;
use super::tenure::{Advance, Granted, Life, News, Reading, Tenure};
use crate::place::{Id, Position};
use immune_bus::Begin;
use immune_domain::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

fn at(ms: u64, number: u64) -> Position {
    Position {
        id: Id { ms, count: 0 },
        number,
    }
}

fn granted(acked: Option<Position>, last: Position) -> Granted {
    Granted {
        fence: 7,
        acked,
        last,
    }
}

/// A partition that was gained and begun, and where it is read.
fn begun(acked: Option<Position>, last: Position, begin: &Begin) -> (Holds, Reading) {
    let holds = Holds::default();
    holds.gain(3, granted(acked, last), Instant::now() + Duration::from_secs(60));
    assert_eq!(holds.news(), Some(News::Gained(3)));
    assert!(!holds.begin(3, begin));
    let reading = holds.reading()[0];
    (holds, reading)
}

/// Guarantees: a loss that the consumer never heard the beginning of is not told; one that it did is told once, and
/// a gain after it comes after it.
#[tokio::test]
async fn losses_pair_with_gains() {
    let holds = Holds::default();
    let later = Instant::now() + Duration::from_secs(60);
    holds.gain(1, granted(None, Position::START), later);
    holds.give_up(1, Instant::now());
    assert_eq!(holds.news(), None);
    assert_eq!(holds.leavers(None).len(), 1);

    holds.gain(2, granted(None, Position::START), later);
    assert_eq!(holds.news(), Some(News::Gained(2)));
    holds.expire(later);
    holds.gain(2, granted(None, Position::START), later + Duration::from_secs(1));
    assert!(!holds.begin(2, &Begin::After(None)));
    assert!(
        holds.reading().is_empty(),
        "the beginning was of the tenure before"
    );
    assert_eq!(holds.news(), Some(News::Lost(2)));
    assert_eq!(holds.news(), Some(News::Gained(2)));
    assert_eq!(holds.news(), None);
    assert_eq!(holds.turnover(), (3, 2));
}

/// Scenario: a partition is given up while the consumer works on its entries.
/// Guarantees: nothing of it is delivered any more, what is acknowledged until the consumer hears of it still counts,
/// and it is given back only then.
#[tokio::test]
async fn giving_up_waits_for_the_consumer() {
    let (holds, reading) = begun(None, at(5, 5), &Begin::After(None));
    let now = Instant::now();
    assert_eq!(holds.advance(&reading, at(1, 1)), Advance::Next);
    assert!(holds.admits(reading.tenure, now));
    holds.give_up(3, now);
    assert!(!holds.admits(reading.tenure, now));
    assert_eq!(holds.advance(&reading, at(2, 2)), Advance::Void);
    assert!(holds.leavers(None).is_empty());
    assert_eq!(holds.renewals(false).len(), 1, "the lease is kept meanwhile");
    holds.ack(reading.tenure, at(1, 1));
    assert_eq!(holds.news(), Some(News::Lost(3)));
    let leavers = holds.leavers(None);
    assert_eq!((leavers[0].acked, leavers[0].fence), (Some(at(1, 1)), 7));
    assert!(holds.held().is_empty());
}

/// Guarantees: acknowledgements move forward only, those of another tenure do nothing, and what Redis has is not
/// sent again.
#[tokio::test]
async fn acknowledgements() {
    let (holds, reading) = begun(Some(at(1, 1)), at(9, 9), &Begin::After(None));
    for n in 2..=4 {
        holds.advance(&reading, at(n, n));
    }
    assert!(holds.renewals(true).is_empty());
    let other = Tenure {
        number: reading.tenure.number + 1,
        ..reading.tenure
    };
    holds.ack(other, at(4, 4));
    assert!(holds.renewals(true).is_empty());
    holds.ack(reading.tenure, at(3, 3));
    holds.ack(reading.tenure, at(2, 2));
    let renewals = holds.renewals(true);
    assert_eq!(renewals[0].acked, Some(at(3, 3)));
    assert!(!holds.extend(&renewals[0], Instant::now(), at(9, 9)));
    assert!(holds.renewals(true).is_empty());
    assert_eq!(holds.oldest_open_ms(), Some(2));
    holds.ack(reading.tenure, at(4, 4));
    assert_eq!(holds.oldest_open_ms(), None);
}

/// Guarantees: numbers tell how many entries are missing; without numbers nothing is claimed.
#[tokio::test]
async fn gaps() {
    let (holds, reading) = begun(Some(at(100, 10)), at(999, 99), &Begin::After(None));
    assert_eq!(holds.advance(&reading, at(110, 11)), Advance::Next);
    let gap = Advance::Gap {
        entries: 8,
        since_ms: 110,
    };
    assert_eq!(holds.advance(&reading, at(500, 20)), gap);
    assert_eq!(
        holds.advance(&reading, at(500, 20)),
        Advance::Void,
        "it was read already"
    );
    assert_eq!(holds.advance(&reading, at(600, 3)), Advance::Renumbered);
    let since = Begin::Again {
        since: Timestamp::from_micros(50_000),
    };
    let (holds, reading) = begun(Some(at(100, 10)), at(999, 99), &since);
    assert_eq!(reading.position, Position::before(50));
    assert_eq!(holds.advance(&reading, at(60, 6)), Advance::Next);
}

/// Scenario: Redis says that its last entry is one from before what was read.
/// Guarantees: reading goes on behind it, answers to questions from before are void, and it is noticed once; an
/// answer that is merely older than what was read says nothing.
#[tokio::test]
async fn lost_entries() {
    let (holds, reading) = begun(Some(at(5, 5)), at(9, 9), &Begin::After(None));
    let asked_before = holds.renewals(false)[0];
    for n in 6..=9 {
        holds.advance(&reading, at(n, n));
    }
    let until = Instant::now() + Duration::from_secs(60);
    assert!(!holds.extend(&asked_before, until, at(8, 8)));
    let asked = holds.renewals(false)[0];
    assert!(holds.extend(&asked, until, at(7, 7)));
    assert_eq!(holds.advance(&reading, at(10, 10)), Advance::Void);
    let again = holds.reading()[0];
    assert_eq!(again.position, at(7, 7));
    assert!(!holds.extend(&asked, until, at(7, 7)));
    assert_eq!(holds.advance(&again, at(8, 8)), Advance::Next);

    let (_, reading) = begun(None, at(7, 7), &Begin::After(Some(at(9, 9).to_string())));
    assert_eq!(reading.position, at(7, 7));
}

/// Guarantees: a tenure is not trusted from its last moment on, and the end of the consumer gives everything back.
#[tokio::test]
async fn ends() {
    let (holds, reading) = begun(None, at(1, 1), &Begin::After(None));
    let until = holds.deadline().expect("a partition is held");
    assert!(holds.admits(reading.tenure, until - Duration::from_millis(1)));
    assert!(!holds.admits(reading.tenure, until));
    holds.advance_life(Life::Closing);
    assert!(holds.leavers(None).is_empty());
    holds.advance_life(Life::Ended);
    holds.advance_life(Life::Open);
    assert_eq!(holds.life(), Life::Ended);
    assert_eq!(holds.leavers(None).len(), 1);
}
