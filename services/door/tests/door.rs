//! The door as its users see it: who is let in, and when.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use axum::http::HeaderMap;
use immune_domain::{RunId, Timestamp};
use immune_door::keys::{Created, NewKey};
use immune_door::{Address, Config, Door, Keys, Metrics, Refusal, Setup};
use immune_runtime::access::{ApiKey, Caller, KeyRing, Role};
use immune_runtime::config::Secret;
use immune_store::faults::{Faults, with_faults};
use immune_store::{Stores, memory};
use std::net::IpAddr;

const LOOPBACK: Setup = Setup {
    rest_is_loopback: true,
    otlp_is_loopback: true,
    has_login: false,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn door(stores: &Stores, setup: Setup, config: &Config) -> Door {
    let keys = Keys::new(
        KeyRing::default(),
        Some(stores.access.clone()),
        Metrics::default(),
    );
    Door::new(config, keys, setup, Metrics::default())
}

async fn create(door: &Door, name: &str, role: Role) -> Created {
    let new = NewKey {
        name: name.to_owned(),
        role,
        runs: Vec::<RunId>::new(),
        expires_at: None,
    };
    let created = door.keys().create(new, &Caller::loopback(), false, at(0)).await;
    created.unwrap()
}

fn with_key(key: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-api-key", key.parse().unwrap());
    headers
}

async fn refusal(door: &Door, headers: &HeaderMap, peer: &str, now: Timestamp) -> Refusal {
    door.identify(headers, ip(peer), now).await.unwrap_err()
}

/// Scenario: a loopback server without keys; the first key; a key for telemetry.
/// Guarantees: REST closes with the first key at once, OTLP with the first one for telemetry; nothing is open before
/// the keys were read.
#[tokio::test]
async fn the_door_closes_with_the_first_key() {
    let stores = memory::stores();
    let door = door(&stores, LOOPBACK, &Config::default());
    let nothing = HeaderMap::new();
    assert_eq!(
        refusal(&door, &nothing, "127.0.0.1", at(0)).await,
        Refusal::NoCredential
    );
    assert!(door.identify_sender(&nothing, ip("127.0.0.1"), at(0)).is_err());
    door.keys().refresh().await.unwrap();
    let open = door.identify(&nothing, ip("127.0.0.1"), at(0)).await.unwrap();
    assert_eq!((open.caller, open.session), (Caller::loopback(), None));
    assert_eq!(door.identify_sender(&nothing, ip("127.0.0.1"), at(0)), Ok(None));
    assert_eq!(door.access(), "open_loopback");

    let root = create(&door, "root", Role::Admin).await;
    assert_eq!(
        refusal(&door, &nothing, "127.0.0.1", at(1)).await,
        Refusal::NoCredential
    );
    assert_eq!(door.access(), "keys");
    let headers = with_key(root.secret.expose());
    let known = door.identify(&headers, ip("127.0.0.1"), at(1)).await.unwrap();
    assert_eq!(known.caller.person.subject, "root");
    assert_eq!(door.identify_sender(&nothing, ip("127.0.0.1"), at(1)), Ok(None));

    let agents = create(&door, "agents", Role::Ingest).await;
    let refused = door.identify_sender(&nothing, ip("127.0.0.1"), at(2));
    assert_eq!(refused, Err(Refusal::NoCredential));
    let headers = with_key(agents.secret.expose());
    let sender = door
        .identify_sender(&headers, ip("127.0.0.1"), at(2))
        .unwrap()
        .unwrap();
    assert_eq!(sender.role, Role::Ingest);
}

/// Scenario: servers that listen for other machines, that have a configured key, or a login, without any stored key.
/// Guarantees: none of them is ever open.
#[tokio::test]
async fn only_a_bare_loopback_door_is_open() {
    let stores = memory::stores();
    let nothing = HeaderMap::new();
    let exposed = Setup {
        rest_is_loopback: false,
        otlp_is_loopback: false,
        has_login: false,
    };
    let login = Setup {
        has_login: true,
        ..LOOPBACK
    };
    for setup in [exposed, login] {
        let door = door(&stores, setup, &Config::default());
        door.keys().refresh().await.unwrap();
        assert!(!door.is_open() && !door.could_open());
        assert_eq!(
            refusal(&door, &nothing, "127.0.0.1", at(0)).await,
            Refusal::NoCredential
        );
    }
    let key = ApiKey {
        name: "ada".to_owned(),
        key: Some(Secret::new("0123456789abcdef")),
        key_file: None,
        role: Role::Admin,
        runs: Vec::new(),
    };
    let door = Door::of_keys(KeyRing::load(&[key], "keys", &mut Vec::new()));
    assert!(!door.is_open() && !door.is_open_for_telemetry());
    let mut bearer = HeaderMap::new();
    bearer.insert("authorization", "bearer  0123456789abcdef".parse().unwrap());
    assert!(door.identify(&bearer, ip("10.0.0.1"), at(0)).await.is_ok());
    let mut garbage = HeaderMap::new();
    garbage.insert("x-api-key", axum::http::HeaderValue::from_bytes(b"\xff").unwrap());
    assert_eq!(
        refusal(&door, &garbage, "10.0.0.1", at(0)).await,
        Refusal::UnknownKey
    );
}

/// Scenario: the store is away when the process starts, and somebody presents a stored key.
/// Guarantees: it is not called unknown, which would count as a guess; it is let in as soon as the store answers.
#[tokio::test]
async fn an_unread_key_is_not_an_unknown_one() {
    let stores = memory::stores();
    let made = {
        let door = door(&stores, LOOPBACK, &Config::default());
        create(&door, "root", Role::Admin).await
    };
    let faults = Faults::new(1, 1_000);
    let door = door(&with_faults(stores, &faults), LOOPBACK, &Config::default());
    assert!(door.keys().refresh().await.is_err());
    let headers = with_key(made.secret.expose());
    for _ in 0..20 {
        let refused = refusal(&door, &headers, "127.0.0.1", at(0)).await;
        assert_eq!((refused, refused.problem().status), (Refusal::NotReady, 503));
    }
    faults.set_per_thousand(0);
    door.keys().refresh().await.unwrap();
    assert!(door.identify(&headers, ip("127.0.0.1"), at(0)).await.is_ok());
}

/// Scenario: somebody behind a proxy guesses keys; a colleague behind the same proxy works on; the attacker comes back.
/// Guarantees: the guesser's address is locked out with a time to wait, with the right key too; the colleague's is not;
/// who had come in at the guesser's address before still does; without trust in the proxy, all of this is one address.
#[tokio::test]
async fn guessing_is_locked_out() {
    let config = Config {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        ..Config::default()
    };
    let stores = memory::stores();
    let door = door(&stores, LOOPBACK, &config);
    let (root, second) = (
        create(&door, "root", Role::Admin).await,
        create(&door, "second", Role::Admin).await,
    );
    let agents = create(&door, "agents", Role::Ingest).await;
    let from = |address: &str, key: &str| {
        let mut headers = with_key(key);
        headers.insert("x-forwarded-for", address.parse().unwrap());
        headers
    };
    let good = from("192.0.2.1", root.secret.expose());
    assert!(door.identify(&good, ip("10.0.0.1"), at(0)).await.is_ok());
    for n in 0..9 {
        let guess = from("192.0.2.1", &format!("imk_guess{n}"));
        assert_eq!(
            refusal(&door, &guess, "10.0.0.1", at(1)).await,
            Refusal::UnknownKey
        );
    }
    let guess = from("192.0.2.1", "imk_guess9");
    let locked = refusal(&door, &guess, "10.0.0.1", at(1)).await;
    assert!(matches!(locked, Refusal::LockedOut { .. }), "{locked:?}");
    let problem = locked.problem();
    assert_eq!((problem.status, problem.retry_after_seconds), (429, Some(30)));
    let right = from("192.0.2.1", second.secret.expose());
    let hit = refusal(&door, &right, "10.0.0.1", at(2)).await;
    assert!(matches!(hit, Refusal::LockedOut { .. }), "{hit:?}");
    let sender = from("192.0.2.1", agents.secret.expose());
    let hit = door.identify_sender(&sender, ip("10.0.0.1"), at(2)).unwrap_err();
    assert!(matches!(hit, Refusal::LockedOut { .. }), "{hit:?}");
    assert!(
        door.identify(&good, ip("10.0.0.1"), at(2)).await.is_ok(),
        "a known one"
    );
    let colleague = from("192.0.2.2", second.secret.expose());
    assert!(door.identify(&colleague, ip("10.0.0.1"), at(2)).await.is_ok());
    assert!(
        door.identify(&right, ip("10.0.0.1"), at(40)).await.is_ok(),
        "it is over"
    );
    assert_eq!(
        door.address(ip("192.0.2.77"), &colleague),
        Address::from("192.0.2.77".parse::<IpAddr>().unwrap()),
        "a stranger may say what it wants"
    );
}

/// Scenario: a stranger asks for much; a person asks for more than anybody needs.
/// Guarantees: both are told to wait; an open door slows nobody.
#[tokio::test]
async fn asking_is_limited() {
    let stores = memory::stores();
    let door = door(&stores, LOOPBACK, &Config::default());
    door.keys().refresh().await.unwrap();
    for _ in 0..1_000 {
        door.admit(&Caller::loopback(), true, at(0)).unwrap();
    }
    let root = create(&door, "root", Role::Admin).await;
    let nothing = HeaderMap::new();
    for _ in 0..100 {
        assert_eq!(
            refusal(&door, &nothing, "192.0.2.1", at(0)).await,
            Refusal::NoCredential
        );
    }
    let refused = refusal(&door, &nothing, "192.0.2.1", at(0)).await;
    assert!(matches!(refused, Refusal::TooMany { .. }), "{refused:?}");
    let headers = with_key(root.secret.expose());
    let known = door.identify(&headers, ip("192.0.2.1"), at(0)).await.unwrap();
    let refused = (0..1_000).find_map(|_| door.admit(&known.caller, true, at(0)).err());
    assert!(matches!(refused, Some(Refusal::TooMany { .. })), "{refused:?}");
    let labels = |reason| immune_door::RefusalLabels { reason };
    let counted = door.metrics().refused.get_or_create(&labels("too_many")).get();
    assert_eq!(counted, 2);
}
