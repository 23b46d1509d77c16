use super::*;
use immune_domain::RunId;
use immune_runtime::access::Role;
use immune_store::Stores;
use immune_store::faults::{Faults, with_faults};
use immune_store::memory;
use std::time::Duration;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn keys(stores: &Stores) -> Keys {
    Keys::new(
        KeyRing::default(),
        Some(stores.access.clone()),
        Metrics::default(),
    )
}

fn new(name: &str, role: Role) -> NewKey {
    NewKey {
        name: name.to_owned(),
        role,
        runs: Vec::new(),
        expires_at: None,
    }
}

fn admin(runs: &[&str]) -> Caller {
    Caller {
        runs: runs.iter().map(|run| RunId::new(*run)).collect(),
        ..Caller::loopback()
    }
}

async fn create(keys: &Keys, new: NewKey) -> Created {
    keys.create(new, &admin(&[]), false, at(0)).await.unwrap()
}

/// Scenario: a key is created in one process, used in another, revoked in the first.
/// Guarantees: it works where it was made at once and elsewhere after a reading; the same for its end; it says who it
/// is by name and by id.
#[tokio::test]
async fn a_key_works_until_it_is_revoked() {
    let stores = memory::stores();
    let (here, there) = (keys(&stores), keys(&stores));
    here.refresh().await.unwrap();
    create(&here, new("root", Role::Admin)).await;
    let made = create(&here, new("ana", Role::Operator)).await;
    let secret = made.secret.expose();
    let caller = here.verify(secret, at(1)).unwrap();
    assert_eq!(caller.person.subject, "ana");
    assert_eq!(caller.person.via, format!("api_key:{}", made.key.id));
    assert_eq!(caller.role, Role::Operator);
    assert_eq!(there.look(secret, at(1)), Verdict::NotRead);
    there.refresh().await.unwrap();
    assert_eq!(there.verify(secret, at(1)), Some(caller.clone()));
    assert_eq!(there.caller_via(&caller.person.via, at(1)), Some(caller.clone()));
    assert_eq!(there.look(&format!("{secret}x"), at(1)), Verdict::Unknown);

    let revoked = here
        .revoke(&made.key.id, &admin(&[]), false, at(2))
        .await
        .unwrap();
    assert!(revoked.revoked.is_some());
    assert_eq!(here.look(secret, at(3)), Verdict::Unknown);
    assert!(there.verify(secret, at(3)).is_some(), "not read yet");
    there.refresh().await.unwrap();
    assert_eq!(there.look(secret, at(3)), Verdict::Unknown);
    assert_eq!(there.caller_via(&caller.person.via, at(3)), None);
    let again = here.revoke(&made.key.id, &admin(&[]), false, at(4)).await;
    assert!(matches!(again, Err(KeyError::NotFound)), "{again:?}");
}

/// Scenario: a key with an end; the store goes away before it.
/// Guarantees: known keys go on without the store, and end in time without it.
#[tokio::test]
async fn without_the_store_known_keys_go_on_and_end() {
    let (stores, faults) = (memory::stores(), Faults::new(1, 0));
    let faulty = with_faults(stores.clone(), &faults);
    let keys = keys(&faulty);
    let root = create(&keys, new("root", Role::Admin)).await;
    let mut short = new("short", Role::Viewer);
    short.expires_at = Some(at(10));
    let short = create(&keys, short).await;
    faults.set_per_thousand(1_000);
    assert!(keys.refresh().await.is_err());
    assert!(keys.verify(root.secret.expose(), at(9)).is_some());
    assert!(keys.verify(short.secret.expose(), at(9)).is_some());
    assert!(keys.verify(short.secret.expose(), at(10)).is_none());
    assert!(keys.verify(root.secret.expose(), at(10)).is_some());
    assert_eq!(keys.inner.metrics.refresh_failures.get(), 1);
}

/// Scenario: keys are used a thousand times; the store fails now and then.
/// Guarantees: uses are noted in one call, once, and later when the store could not be told.
#[tokio::test]
async fn uses_are_noted_together() {
    let (stores, faults) = (memory::stores(), Faults::new(1, 0));
    let keys = keys(&with_faults(stores.clone(), &faults));
    let root = create(&keys, new("root", Role::Admin)).await;
    create(&keys, new("idle", Role::Admin)).await;
    for n in 0..1_000 {
        keys.verify(root.secret.expose(), at(n)).unwrap();
    }
    faults.set_per_thousand(1_000);
    assert!(keys.note_uses().await.is_err());
    faults.set_per_thousand(0);
    keys.refresh().await.unwrap();
    keys.note_uses().await.unwrap();
    let stored = stores.access.keys().await.unwrap();
    assert_eq!(stored[0].last_used_at, Some(at(999)));
    assert_eq!(stored[1].last_used_at, None);
    faults.set_per_thousand(1_000);
    keys.note_uses().await.unwrap();
}

/// Scenario: a caller with rights to two runs creates, lists and revokes keys.
/// Guarantees: nobody gives away or touches more than they have.
#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let keys = keys(&memory::stores());
    let root = create(&keys, new("root", Role::Admin)).await;
    let bound = admin(&["r1", "r2"]);
    let within = |runs: &[&str]| NewKey {
        runs: runs.iter().map(|run| RunId::new(*run)).collect(),
        ..new(&format!("k{}", runs.join("-")), Role::Viewer)
    };
    let made = keys.create(within(&[]), &bound, false, at(0)).await.unwrap();
    assert_eq!(made.key.runs, bound.runs, "its own runs, not all");
    keys.create(within(&["r1"]), &bound, false, at(0)).await.unwrap();
    let outside = keys.create(within(&["r1", "r3"]), &bound, false, at(0)).await;
    assert!(matches!(outside, Err(KeyError::RunOutside(_))), "{outside:?}");
    for (role, wanted) in [
        (Role::Operator, Role::Admin),
        (Role::Viewer, Role::Ingest),
        (Role::Ingest, Role::Viewer),
    ] {
        let by = Caller { role, ..admin(&[]) };
        let above = keys.create(new("above", wanted), &by, false, at(0)).await;
        assert!(matches!(above, Err(KeyError::RoleAbove(_))), "{above:?}");
    }
    let seen: Vec<String> = keys
        .list(&bound)
        .await
        .unwrap()
        .into_iter()
        .map(|k| k.name)
        .collect();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let foreign = keys.revoke(&root.key.id, &bound, true, at(1)).await;
    assert!(matches!(foreign, Err(KeyError::NotFound)), "{foreign:?}");
}

/// Scenario: names, runs and ends that cannot be meant; a name that is taken.
/// Guarantees: each is refused by its own word.
#[tokio::test]
async fn odd_keys_are_refused() {
    let configured = immune_runtime::access::ApiKey {
        name: "ci".to_owned(),
        key: Some(immune_runtime::config::Secret::new("0123456789abcdef")),
        key_file: None,
        role: Role::Admin,
        runs: Vec::new(),
    };
    let ring = KeyRing::load(&[configured], "keys", &mut Vec::new());
    let keys = Keys::new(ring, Some(memory::stores().access), Metrics::default());
    let word = async |new: NewKey| match keys.create(new, &admin(&[]), false, at(0)).await {
        Ok(_) => "created",
        Err(error) => error.word(),
    };
    for name in ["", "a b", "a\nb", "ß", "ci", &"x".repeat(65)] {
        assert_eq!(word(new(name, Role::Viewer)).await, "name", "{name:?}");
    }
    let mut odd = new("a", Role::Viewer);
    odd.runs = vec![RunId::new("..")];
    assert_eq!(word(odd).await, "runs");
    let mut odd = new("a", Role::Viewer);
    odd.expires_at = Some(at(0));
    assert_eq!(word(odd).await, "expired");
    assert_eq!(word(new("a@example.org", Role::Viewer)).await, "created");
    assert_eq!(word(new("a@example.org", Role::Viewer)).await, "name_taken");
    let caller = keys.verify("0123456789abcdef", at(0)).unwrap();
    assert_eq!(caller.person.via, "api_key:ci");
    assert_eq!(keys.caller_via("api_key:ci", at(0)), Some(caller));
}

/// Scenario: keys in a door without any; the last admin key is to go.
/// Guarantees: nobody locks themselves out: the first key can create others, and the last such one stays.
#[tokio::test]
async fn nobody_locks_themselves_out() {
    let keys = keys(&memory::stores());
    let mut ends = new("a", Role::Admin);
    ends.expires_at = Some(at(100));
    let mut bound = new("a", Role::Admin);
    bound.runs = vec![RunId::new("r1")];
    for odd in [new("a", Role::Ingest), ends.clone(), bound] {
        let first = keys.create(odd, &admin(&[]), false, at(0)).await;
        assert!(matches!(first, Err(KeyError::FirstMustBeAdmin)), "{first:?}");
    }
    let root = create(&keys, new("root", Role::Admin)).await;
    create(&keys, ends).await;
    let last = keys.revoke(&root.key.id, &admin(&[]), false, at(1)).await;
    assert!(matches!(last, Err(KeyError::LastAdmin)), "{last:?}");
    create(&keys, new("second", Role::Admin)).await;
    keys.revoke(&root.key.id, &admin(&[]), false, at(1))
        .await
        .unwrap();
}

/// Scenario: two processes start at once on an empty store that loses answers; a third starts later.
/// Guarantees: one key is made, and who made it knows its secret.
#[tokio::test]
async fn the_first_key_is_made_once() {
    let stores = memory::stores();
    let faults = Faults::new(3, 500);
    let faulty = with_faults(stores.clone(), &faults);
    let mut made = Vec::new();
    for process in [keys(&faulty), keys(&faulty)] {
        let bootstrap = process.bootstrap(at(0));
        let answer = loop {
            if let Ok(answer) = bootstrap.attempt().await {
                break answer;
            }
        };
        made.extend(answer);
    }
    assert!(faults.injected() > 0);
    assert_eq!(made.len(), 1);
    let keys = keys(&stores);
    assert_eq!(
        keys.bootstrap(at(5)).attempt().await.unwrap().map(|b| b.name),
        None
    );
    let caller = keys.verify(made[0].secret.expose(), at(6)).unwrap();
    assert_eq!(
        (caller.role, caller.person.subject.as_str()),
        (Role::Admin, "bootstrap")
    );
}

/// Scenario: the upkeep runs while a key is made elsewhere, and ends after a use.
/// Guarantees: the key works within the stated time, and its use is noted at the end.
#[tokio::test]
async fn upkeep_reads_and_notes() {
    let stores = memory::stores();
    let (here, there) = (keys(&stores), keys(&stores));
    let stop = tokio_util::sync::CancellationToken::new();
    let upkeep = tokio::spawn(there.clone().run(Duration::from_millis(20), stop.clone()));
    let made = create(&here, new("root", Role::Admin)).await;
    tokio::time::timeout(Duration::from_secs(30), async {
        while there.verify(made.secret.expose(), at(7)).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    stop.cancel();
    upkeep.await.unwrap();
    let stored = stores.access.keys().await.unwrap();
    assert_eq!(stored[0].last_used_at, Some(at(7)));
}
