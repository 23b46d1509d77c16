//! What InfluxDB refuses for good, and what a person must mend.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::ErrorKind;
use immune_domain::vitals::Vitals;
use immune_store::conformance::samples::{agent, at, vitals};
use immune_store_influx::{Config, Secret};
use immune_test_servers::Influx;
use std::error::Error;
use world::World;

fn why(e: &dyn Error) -> String {
    e.source().map(ToString::to_string).unwrap_or_default()
}

/// Scenario: one record of a large batch cannot be stored (its agent's tag is longer than InfluxDB can index), two
/// callers share the request.
/// Guarantees: it is named to its sender; every other record is stored, and the other caller hears nothing of it.
#[tokio::test]
async fn one_bad_point_does_not_poison_the_rest() {
    let world = World::new().await;
    let store = world.store().vitals();
    let mut batch: Vec<Vitals> = (0..500)
        .map(|n| vitals(&agent("a"), &format!("e{n}"), at(n)))
        .collect();
    batch.insert(321, vitals(&agent(&"x".repeat(70_000)), "unlucky", at(1)));
    let other = vitals(&agent("b"), "other", at(1));
    let others = [other];
    let (refused, fine) = tokio::join!(store.append(&batch), store.append(&others));
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    assert!(why(&refused).contains("unlucky"), "{}", why(&refused));
    fine.unwrap();
    assert_eq!(store.execution_count(&agent("a")).await.unwrap(), 500);
    assert_eq!(store.execution_count(&agent("b")).await.unwrap(), 1);
    assert_eq!(world.metrics.refused.get(), 1);
}

/// Scenario: the database is missing, the password is wrong, the retention policy is missing.
/// Guarantees: ping says what to do and holds no secret; appended records wait in the spill and arrive when it is
/// mended.
#[tokio::test]
async fn what_a_person_must_mend_is_said() {
    let server = Influx::shared().await;
    let open = async |change: &dyn Fn(Config) -> Config| {
        let folder = tempfile::tempdir().unwrap();
        let (user, password) = server.user();
        let config = change(Config {
            url: server.url(),
            database: format!("absent {}", folder.path().display().to_string().len()),
            user: Some(user.into()),
            password: Some(Secret::new(password)),
            spill_dir: Some(folder.path().join("spill")),
            backoff_seconds_max: 0.2,
            ..Config::default()
        });
        let store = immune_store_influx::InfluxStore::open(config, Default::default())
            .await
            .unwrap();
        (store, folder)
    };
    let (store, _folder) = open(&|config| config).await;
    let missing = store.vitals().ping().await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unavailable);
    assert!(
        why(&missing).contains("CREATE DATABASE \"absent"),
        "{}",
        why(&missing)
    );
    let key = agent("a");
    store.vitals().append(&[vitals(&key, "e", at(1))]).await.unwrap();
    store.create_database().await.unwrap();
    store.vitals().ping().await.unwrap();
    world::until("it arrives", || async {
        store.vitals().execution_count(&key).await.unwrap() == 1
    })
    .await;

    let (store, _folder) = open(&|config| Config {
        password: Some(Secret::new("hunter2")),
        ..config
    })
    .await;
    let denied = store.vitals().ping().await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Unavailable);
    assert!(why(&denied).contains("password"), "{}", why(&denied));
    assert!(!format!("{denied:?} {}", why(&denied)).contains("hunter2"));

    let (store, _folder) = open(&|config| Config {
        retention_policy: Some("no such policy".into()),
        ..config
    })
    .await;
    store.create_database().await.unwrap();
    let missing = store.vitals().ping().await.unwrap_err();
    assert!(
        why(&missing).contains("retention policy not found"),
        "{}",
        why(&missing)
    );
}

/// Scenario: records older than the database keeps, among young ones.
/// Guarantees: the batch is accepted, the old ones are gone as the sweeper would have it, the young ones are there.
#[tokio::test]
async fn what_is_too_old_to_keep_is_not_an_error() {
    let server = Influx::shared().await;
    let (user, password) = server.user();
    let world = World::new().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let name = world.config().database.replace('"', "\\\"");
    let made = client
        .post(format!("{}/query", server.url()))
        .basic_auth(user, Some(password))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!(
            "q={}",
            format!("CREATE RETENTION POLICY \"short\" ON \"{name}\" DURATION 1h REPLICATION 1 DEFAULT")
                .bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect::<String>()
        ))
        .send()
        .await
        .unwrap();
    let said = made.text().await.unwrap();
    assert!(!said.contains("error"), "{said}");
    let now =
        immune_domain::Timestamp::from_micros(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as i64);
    let (store, key) = (world.store().vitals(), agent("a"));
    let old = vitals(&key, "old", at(-1_000_000));
    store.append(&[old, vitals(&key, "young", now)]).await.unwrap();
    assert_eq!(store.execution_count(&key).await.unwrap(), 1);
}
