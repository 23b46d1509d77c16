use super::*;
use std::net::IpAddr;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn from(ip: &str) -> Address {
    ip.parse::<IpAddr>().unwrap().into()
}

fn person(subject: &str) -> Person {
    Person {
        subject: subject.to_owned(),
        via: format!("api_key:{subject}"),
    }
}

fn limits() -> Limits {
    Limits::new(Config::default())
}

fn lock(limits: &Limits, address: Address, now: Timestamp) -> Duration {
    for n in 0..100 {
        if let Err(Refusal::LockedOut { retry_after }) = limits.guessed(address, &format!("{now:?} {n}"), now)
        {
            return retry_after;
        }
    }
    panic!("never locked out");
}

/// Scenario: one person asks as often as may be at once, then once more; writes as well; another person asks.
/// Guarantees: the one more waits as long as it is told, reads and writes and people are apart.
#[test]
fn a_burst_then_a_rate() {
    let limits = limits();
    for _ in 0..200 {
        limits.admit(&person("ana"), false, at(0)).unwrap();
    }
    let refused = limits.admit(&person("ana"), false, at(0)).unwrap_err();
    let Refusal::TooMany { retry_after } = refused else {
        panic!("{refused}")
    };
    assert!(retry_after <= Duration::from_millis(20), "{retry_after:?}");
    for _ in 0..50 {
        limits.admit(&person("ana"), true, at(0)).unwrap();
    }
    assert!(limits.admit(&person("ana"), true, at(0)).is_err());
    limits.admit(&person("ben"), false, at(0)).unwrap();
    let later = at(0).plus(retry_after + Duration::from_micros(1));
    limits.admit(&person("ana"), false, later).unwrap();
    assert!(limits.admit(&person("ana"), false, later).is_err());
    assert!(
        limits.admit(&person("ana"), false, at(-100)).is_err(),
        "a clock that is set back gives nothing"
    );
}

/// Scenario: strangers at one address ask more often than they may; one asks from another.
/// Guarantees: an address is limited, its neighbours are not.
#[test]
fn strangers_are_limited_by_address() {
    let limits = limits();
    for _ in 0..100 {
        limits.admit_stranger(from("192.0.2.1"), at(0)).unwrap();
    }
    let refused = limits.admit_stranger(from("192.0.2.1"), at(0)).unwrap_err();
    assert_eq!(refused.problem().status, 429);
    limits.admit_stranger(from("192.0.2.2"), at(0)).unwrap();
    limits.admit_stranger(from("192.0.2.1"), at(1)).unwrap();
}

/// Scenario: an address guesses; it goes on guessing whenever it may; then it is quiet for an hour.
/// Guarantees: the tenth wrong key locks it out, for twice as long each time up to fifteen minutes, also for the right
/// key; quiet begins anew; other addresses do not notice.
#[test]
fn guessing_costs_more_each_time() {
    let (limits, address) = (limits(), from("192.0.2.1"));
    for n in 0..9 {
        limits.guessed(address, &format!("guess {n}"), at(n)).unwrap();
    }
    let refused = limits.guessed(address, "guess 9", at(9)).unwrap_err();
    assert_eq!(
        refused,
        Refusal::LockedOut {
            retry_after: Duration::from_secs(30)
        }
    );
    assert!(
        limits.welcome(address, "api_key:right", at(38)).is_err(),
        "a guess that hits is not told"
    );
    limits
        .welcome(from("192.0.2.2"), "api_key:right", at(38))
        .unwrap();
    limits.welcome(address, "api_key:right", at(39)).unwrap();
    let mut now = 100;
    for expected in [60, 120, 240, 480, 900, 900] {
        assert_eq!(lock(&limits, address, at(now)), Duration::from_secs(expected));
        now += expected as i64;
    }
    assert_eq!(lock(&limits, address, at(now + 3_600)), Duration::from_secs(30));
}

/// Scenario: the same wrong key a thousand times; nine different ones in each minute.
/// Guarantees: neither is guessing at a rate that needs a lock-out.
#[test]
fn a_forgotten_exporter_is_no_guesser() {
    let (limits, address) = (limits(), from("192.0.2.1"));
    for n in 0..1_000 {
        limits.guessed(address, "revoked", at(n / 10)).unwrap();
    }
    for minute in 1..50 {
        for n in 0..9 {
            let guess = format!("{minute} {n}");
            limits.guessed(address, &guess, at(1_000 + minute * 60)).unwrap();
        }
    }
}

/// Scenario: somebody who came in from an address earlier, somebody new and somebody from long ago, while it is locked.
/// Guarantees: only who came in within the last day goes on coming in.
#[test]
fn guesses_lock_no_friend_out() {
    let (limits, address) = (limits(), from("192.0.2.1"));
    limits.welcome(address, "api_key:old", at(-90_000)).unwrap();
    limits.welcome(address, "api_key:friend", at(0)).unwrap();
    lock(&limits, address, at(10));
    limits.welcome(address, "api_key:friend", at(11)).unwrap();
    for via in ["api_key:new", "api_key:old"] {
        assert!(limits.welcome(address, via, at(11)).is_err(), "{via}");
    }
}

/// Guarantees: the defaults are right, and what cannot be meant is named with its path.
#[test]
fn mistakes_are_named() {
    let mut mistakes = Vec::new();
    Config::default().check("access.limits", &mut mistakes);
    assert_eq!(mistakes, Vec::<String>::new());
    let config = Config {
        writes: Rate {
            per_second: 0,
            burst: 1,
        },
        guesses_max: 1_000,
        lockout_seconds_max: 1,
        ..Config::default()
    };
    config.check("access.limits", &mut mistakes);
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    assert!(
        mistakes[0].starts_with("access.limits.writes.per_second = 0"),
        "{mistakes:?}"
    );
}
