//! What a store of keys and sessions must do.

use super::at_once;
use super::samples::{at, odd_ids};
use crate::Stores;
use crate::access::{Added, Ending, KEYS_MAX, SESSIONS_PER_SUBJECT, SecretHash, Session, StoredKey};
use immune_domain::RunId;

fn hash(n: usize) -> SecretHash {
    let mut hash = [0xA5; 32];
    hash[..8].copy_from_slice(&(n as u64).to_be_bytes());
    hash
}

fn key(n: usize) -> StoredKey {
    StoredKey {
        id: format!("k{n:05}"),
        name: format!("key {n}"),
        hash: hash(n),
        role: "operator".to_owned(),
        runs: vec![RunId::new("r1"), RunId::new("r2")],
        created_at: at(100),
        created_by: "ana@example.org".to_owned(),
        expires_at: None,
        revoked: None,
        last_used_at: None,
    }
}

fn session(n: usize) -> Session {
    Session {
        hash: hash(n),
        subject: "ana@example.org".to_owned(),
        via: "oidc:https://login.example.org".to_owned(),
        name: "Ana".to_owned(),
        role: "operator".to_owned(),
        runs: Vec::new(),
        provider_session: Some(format!("sid {n}")),
        provider_subject: Some(format!("https://login.example.org sub {n}")),
        id_token: Some("a.b.c".to_owned()),
        created_at: at(100),
        seen_at: at(100),
        ends_at: at(1_000),
    }
}

async fn add(stores: &Stores, key: &StoredKey) -> Added {
    stores.access.add_key(key, false).await.unwrap()
}

/// Scenario: keys with and without an end, with no run and with many, with odd texts; one is added twice.
/// Guarantees: they come back whole, oldest first, each once.
pub async fn a_key_comes_back_as_it_was(stores: &Stores) {
    let mut expected = vec![key(0), key(1), key(2)];
    expected[0].created_at = at(1);
    expected[1].expires_at = Some(at(5_000));
    expected[1].runs = Vec::new();
    expected[2].created_at = at(200);
    for (n, odd) in odd_ids().into_iter().take(20).enumerate() {
        let mut one = key(n + 10);
        one.created_at = at(300);
        (one.name, one.created_by) = (odd.clone(), odd.clone());
        one.runs = vec![RunId::new(odd)];
        expected.push(one);
    }
    for key in expected.iter().rev().chain(&expected[..3]) {
        assert_eq!(add(stores, key).await, Added::Yes, "{key:?}");
    }
    assert_eq!(stores.access.keys().await.unwrap(), expected);
}

/// Scenario: sixteen processes start at once and each wants to make the first key; later one more does, also after
/// that key was revoked and purged.
/// Guarantees: one is made, and never another first one.
pub async fn the_first_key_is_made_once(stores: &Stores) {
    let answers = at_once(16, |n| {
        let access = stores.access.clone();
        async move { access.add_key(&key(n), true).await }
    })
    .await;
    let answers: Vec<Added> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(
        answers.iter().filter(|answer| **answer == Added::Yes).count(),
        1,
        "{answers:?}"
    );
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Added::Yes | Added::NotFirst))
    );
    let first = stores.access.keys().await.unwrap().remove(0);
    assert_eq!(
        stores.access.add_key(&first, true).await.unwrap(),
        Added::Yes,
        "a repeated call"
    );
    assert!(stores.access.revoke_key(&first.id, at(200), "ana").await.unwrap());
    assert_eq!(stores.access.purge_access(at(300)).await.unwrap(), 1);
    assert_eq!(
        stores.access.add_key(&key(99), true).await.unwrap(),
        Added::NotFirst
    );
    assert_eq!(add(stores, &key(99)).await, Added::Yes);
}

/// Scenario: a second key of a name, while the first may be used, after it has expired, and after it was revoked.
/// Guarantees: a name belongs to one key that may be used.
pub async fn a_name_is_free_again_after_its_key(stores: &Stores) {
    let named = |n: usize, created: i64| StoredKey {
        name: "ci".to_owned(),
        created_at: at(created),
        ..key(n)
    };
    let mut first = named(1, 100);
    first.expires_at = Some(at(200));
    assert_eq!(add(stores, &first).await, Added::Yes);
    assert_eq!(add(stores, &named(2, 199)).await, Added::NameTaken);
    assert_eq!(add(stores, &named(3, 200)).await, Added::Yes);
    assert_eq!(add(stores, &named(4, 201)).await, Added::NameTaken);
    assert!(
        stores
            .access
            .revoke_key(&key(3).id, at(210), "ana")
            .await
            .unwrap()
    );
    assert_eq!(add(stores, &named(5, 211)).await, Added::Yes);
}

/// Scenario: sixteen people make a key of the same name at once.
/// Guarantees: one has it.
pub async fn a_name_has_one_winner(stores: &Stores) {
    let answers = at_once(16, |n| {
        let access = stores.access.clone();
        let one = StoredKey {
            name: "ci".to_owned(),
            ..key(n)
        };
        async move { access.add_key(&one, false).await.unwrap() }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| **answer == Added::Yes).count(), 1);
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == Added::NameTaken)
            .count(),
        15
    );
    assert_eq!(stores.access.keys().await.unwrap().len(), 1);
}

/// Scenario: as many keys as there may be, and one more; then one is revoked and purged.
/// Guarantees: the one more is refused, until there is room.
pub async fn keys_have_a_limit(stores: &Stores) {
    let chunk = KEYS_MAX / 50;
    at_once(50, |n| {
        let access = stores.access.clone();
        async move {
            for n in n * chunk..(n + 1) * chunk {
                assert_eq!(access.add_key(&key(n), false).await.unwrap(), Added::Yes);
            }
        }
    })
    .await;
    assert_eq!(add(stores, &key(KEYS_MAX)).await, Added::Full);
    assert_eq!(add(stores, &key(7)).await, Added::Yes, "it is there already");
    assert_eq!(stores.access.keys().await.unwrap().len(), KEYS_MAX);
    assert!(
        stores
            .access
            .revoke_key(&key(5).id, at(200), "ana")
            .await
            .unwrap()
    );
    assert_eq!(add(stores, &key(KEYS_MAX)).await, Added::Full);
    assert_eq!(stores.access.purge_access(at(201)).await.unwrap(), 1);
    assert_eq!(add(stores, &key(KEYS_MAX)).await, Added::Yes);
}

/// Scenario: sixteen people revoke a key at once; then one that has expired, and one that never was.
/// Guarantees: one has revoked it, at the time and by the name that is kept.
pub async fn a_key_is_revoked_once(stores: &Stores) {
    let mut expired = key(2);
    expired.expires_at = Some(at(150));
    for key in [&key(1), &expired] {
        assert_eq!(add(stores, key).await, Added::Yes);
    }
    let answers = at_once(16, |n| {
        let access = stores.access.clone();
        async move {
            access
                .revoke_key("k00001", at(200 + n as i64), &format!("p{n}"))
                .await
        }
    })
    .await;
    let won: Vec<usize> = (0..16).filter(|n| matches!(answers[*n], Ok(true))).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let revocation = (at(200 + won[0] as i64), format!("p{}", won[0]));
    let kept = stores.access.keys().await.unwrap();
    assert_eq!(kept[0].revoked.as_ref(), Some(&revocation));
    let again = stores
        .access
        .revoke_key("k00001", revocation.0, &revocation.1)
        .await;
    assert!(again.unwrap(), "a repeated call");
    for id in [expired.id.as_str(), "k00009", ""] {
        assert!(
            !stores.access.revoke_key(id, at(300), "ana").await.unwrap(),
            "{id}"
        );
    }
    assert_eq!(stores.access.keys().await.unwrap()[1].revoked, None);
}

/// Scenario: several processes note uses of the same keys, out of order, and of one that is gone.
/// Guarantees: the latest use stays.
pub async fn last_use_never_moves_back(stores: &Stores) {
    for n in 0..20 {
        add(stores, &key(n)).await;
    }
    let used = at_once(8, |writer| {
        let access = stores.access.clone();
        async move {
            let order = |n: usize| if writer % 2 == 0 { n } else { 19 - n };
            let mut uses: Vec<_> = (0..20)
                .map(|n| (key(order(n)).id, at(200 + writer as i64)))
                .collect();
            uses.push(("gone".to_owned(), at(900)));
            access.keys_used(&uses).await
        }
    })
    .await;
    used.into_iter().for_each(|done| done.unwrap());
    stores.access.keys_used(&[]).await.unwrap();
    stores
        .access
        .keys_used(&[(key(3).id, at(1)), (key(4).id, at(300))])
        .await
        .unwrap();
    for (n, kept) in stores.access.keys().await.unwrap().into_iter().enumerate() {
        let expected = if n == 4 { at(300) } else { at(207) };
        assert_eq!(kept.last_used_at, Some(expected), "{}", kept.id);
    }
}

/// Scenario: sessions with everything and with as little as can be, with odd texts; one is put again with another end.
/// Guarantees: they come back whole; what was put first stays; a token nobody has opens nothing.
pub async fn a_session_comes_back_as_it_was(stores: &Stores) {
    let mut bare = session(2);
    (bare.provider_session, bare.provider_subject, bare.id_token) = (None, None, None);
    bare.runs = vec![RunId::new("r1")];
    let mut sessions = vec![session(1), bare];
    for (n, odd) in odd_ids().into_iter().take(20).enumerate() {
        let mut one = session(10 + n);
        (one.subject, one.via, one.name) = (odd.clone(), odd.clone(), odd.clone());
        (one.provider_session, one.provider_subject) = (Some(odd.clone()), Some(odd.clone()));
        one.id_token = Some(odd.repeat(100));
        sessions.push(one);
    }
    for session in &sessions {
        stores.access.put_session(session).await.unwrap();
    }
    let mut later = session(1);
    later.ends_at = at(9_000);
    stores.access.put_session(&later).await.unwrap();
    for session in &sessions {
        assert_eq!(
            stores.access.session(&session.hash).await.unwrap().as_ref(),
            Some(session)
        );
    }
    assert_eq!(stores.access.session(&hash(999)).await.unwrap(), None);
}

/// Scenario: several replicas note that a session was seen, out of order; one does after it has ended.
/// Guarantees: the latest stays, and a session that has ended does not come back.
pub async fn seen_never_moves_back(stores: &Stores) {
    stores.access.put_session(&session(1)).await.unwrap();
    at_once(8, |n| {
        let access = stores.access.clone();
        async move { access.session_seen(&hash(1), at(200 - n as i64)).await.unwrap() }
    })
    .await;
    stores.access.session_seen(&hash(1), at(1)).await.unwrap();
    let kept = stores.access.session(&hash(1)).await.unwrap().unwrap();
    assert_eq!(kept.seen_at, at(200));
    let ended = stores.access.end_sessions(&Ending::Session(hash(1))).await;
    assert_eq!(ended.unwrap(), 1);
    stores.access.session_seen(&hash(1), at(300)).await.unwrap();
    assert_eq!(stores.access.session(&hash(1)).await.unwrap(), None);
}

/// Scenario: sessions of several people and ways; each kind of ending, twice.
/// Guarantees: an ending ends what it names and nothing else; sessions without a name at the provider are no match.
pub async fn each_ending_ends_its_own(stores: &Stores) {
    let mut sessions: Vec<Session> = (0..8).map(session).collect();
    sessions[2].provider_session = sessions[1].provider_session.clone();
    sessions[4].provider_subject = sessions[3].provider_subject.clone();
    for n in [5, 6] {
        sessions[n].via = "api_key:k1".to_owned();
        (sessions[n].provider_session, sessions[n].provider_subject) = (None, None);
    }
    for session in &sessions {
        stores.access.put_session(session).await.unwrap();
    }
    let endings = [
        (Ending::Session(hash(0)), vec![0]),
        (Ending::ProviderSession("sid 1".to_owned()), vec![1, 2]),
        (
            Ending::ProviderSubject("https://login.example.org sub 3".to_owned()),
            vec![3, 4],
        ),
        (Ending::Via("api_key:k1".to_owned()), vec![5, 6]),
        (Ending::ProviderSession(String::new()), vec![]),
    ];
    let mut gone: Vec<usize> = Vec::new();
    for (ending, which) in endings {
        let count = which.len() as u64;
        assert_eq!(
            stores.access.end_sessions(&ending).await.unwrap(),
            count,
            "{ending:?}"
        );
        assert_eq!(
            stores.access.end_sessions(&ending).await.unwrap(),
            0,
            "{ending:?}"
        );
        gone.extend(which);
        for n in 0..8 {
            let there = stores.access.session(&hash(n)).await.unwrap().is_some();
            assert_eq!(there, !gone.contains(&n), "{n} after {ending:?}");
        }
    }
}

/// Scenario: one person logs in more often than there may be sessions; another once, before.
/// Guarantees: those seen longest ago go; nobody else's.
pub async fn a_subject_has_so_many_sessions(stores: &Stores) {
    let mut other = session(5_000);
    (other.subject, other.seen_at) = ("ben".to_owned(), at(1));
    let mut elsewhere = session(5_001);
    (elsewhere.via, elsewhere.seen_at) = ("api_key:k1".to_owned(), at(1));
    for one in [&other, &elsewhere] {
        stores.access.put_session(one).await.unwrap();
    }
    for n in 0..SESSIONS_PER_SUBJECT + 3 {
        let mut one = session(n);
        one.seen_at = at(100 + n as i64);
        stores.access.put_session(&one).await.unwrap();
    }
    for n in 0..SESSIONS_PER_SUBJECT + 3 {
        let there = stores.access.session(&hash(n)).await.unwrap().is_some();
        assert_eq!(there, n >= 3, "{n}");
    }
    for one in [&other, &elsewhere] {
        assert!(stores.access.session(&one.hash).await.unwrap().is_some());
    }
}

/// Scenario: sixteen replicas start at once and each proposes a secret; one comes later.
/// Guarantees: all use the same one; another name is another secret.
pub async fn everyone_has_the_same_secret(stores: &Stores) {
    let answers = at_once(16, |n| {
        let access = stores.access.clone();
        async move { access.shared_secret("session_signing", &hash(n)).await.unwrap() }
    })
    .await;
    assert!(answers.iter().all(|secret| *secret == answers[0]), "{answers:?}");
    assert!((0..16).any(|n| hash(n) == answers[0]));
    let later = stores.access.shared_secret("session_signing", &hash(99)).await;
    assert_eq!(later.unwrap(), answers[0]);
    let other = stores.access.shared_secret("other", &hash(99)).await;
    assert_eq!(other.unwrap(), hash(99));
}

/// Scenario: keys in use, revoked and expired, sessions in use, ended and long not seen; a sweep.
/// Guarantees: exactly those of before go.
pub async fn purging_spares_what_is_in_use(stores: &Stores) {
    for n in 0..5 {
        let mut one = key(n);
        one.expires_at = match n {
            1 => Some(at(400)),
            2 => Some(at(500)),
            _ => None,
        };
        add(stores, &one).await;
    }
    for (n, revoked) in [(3, 499), (4, 500)] {
        assert!(
            stores
                .access
                .revoke_key(&key(n).id, at(revoked), "ana")
                .await
                .unwrap()
        );
    }
    for (n, seen, end) in [(0, 600, 900), (1, 499, 900), (2, 500, 500), (3, 450, 499)] {
        let mut one = session(n);
        (one.seen_at, one.ends_at) = (at(seen), at(end));
        stores.access.put_session(&one).await.unwrap();
    }
    assert_eq!(stores.access.purge_access(at(500)).await.unwrap(), 4);
    assert_eq!(stores.access.purge_access(at(500)).await.unwrap(), 0);
    let left: Vec<String> = stores
        .access
        .keys()
        .await
        .unwrap()
        .into_iter()
        .map(|key| key.id)
        .collect();
    assert_eq!(left, ["k00000", "k00002", "k00004"]);
    for (n, there) in [(0, true), (1, false), (2, true), (3, false)] {
        assert_eq!(
            stores.access.session(&hash(n)).await.unwrap().is_some(),
            there,
            "{n}"
        );
    }
}
