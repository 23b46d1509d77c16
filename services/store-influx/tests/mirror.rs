//! The other six measurements, on a real InfluxDB.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use immune_domain::baseline::Moments;
use immune_store::conformance::samples::{
    agent, alongside, at, case, failed, healing, profile, released, row, succeeded, with_outcome,
};
use immune_store::memory;
use immune_store::observed::observe;
use serde_json::{Value, json};
use world::World;

/// What one measurement holds, a map per point.
async fn points(world: &World, measurement: &str) -> Vec<Value> {
    let (user, password) = immune_test_servers::Influx::shared().await.user();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .get(format!("{}/query", world.config().url))
        .query(&[
            ("db", world.config().database.as_str()),
            ("epoch", "u"),
            ("q", &format!("SELECT * FROM {measurement}")),
        ])
        .basic_auth(user, Some(password))
        .send()
        .await
        .unwrap();
    let answer: Value = answer.json().await.unwrap();
    let series = &answer["results"][0]["series"][0];
    let columns: Vec<&str> = series["columns"]
        .as_array()
        .map(|columns| columns.iter().map(|c| c.as_str().unwrap()).collect())
        .unwrap_or_default();
    let rows = series["values"].as_array().cloned().unwrap_or_default();
    rows.iter()
        .map(|row| {
            let fields = columns.iter().zip(row.as_array().unwrap());
            let known = fields.filter(|(_, value)| !value.is_null());
            Value::Object(
                known
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
            )
        })
        .collect()
}

/// Scenario: a profile, a case from its opening to its release, a healing in two tries, and rows of the log, through
/// watched stores; some are told twice.
/// Guarantees: each measurement has its points once, with the names and fields that dashboards know, tagged by run and
/// agent.
#[tokio::test]
async fn what_happens_is_mirrored() {
    let mut world = World::new().await;
    let stores = observe(memory::stores(), world.store().mirror());
    let key = agent("a");

    let mut learned = profile(&key, 3);
    learned.profile.moments[2] = Moments {
        count: 0,
        mean: f64::NAN,
        stddev: 0.0,
    };
    stores
        .baselines
        .put(&[learned.clone(), learned], &[])
        .await
        .unwrap();
    let opened = case(&key, "c", at(1));
    let beside = alongside(&opened, "case_opened");
    stores.cases.open_case(&opened, 10, &beside).await.unwrap();
    let mut closed = released(&opened, at(60));
    closed.quarantine.since = at(60);
    stores
        .cases
        .save_case(&closed, 1, &Default::default())
        .await
        .unwrap();
    let attempt = healing(&key, "h1", at(2));
    stores.healings.begin(&attempt).await.unwrap();
    stores.healings.begin(&attempt).await.unwrap();
    stores
        .healings
        .finish(&with_outcome(&attempt, failed(at(5))))
        .await
        .unwrap();
    let second = healing(&key, "h2", at(6));
    stores.healings.begin(&second).await.unwrap();
    stores
        .healings
        .finish(&with_outcome(&second, succeeded(at(9))))
        .await
        .unwrap();
    let mut about_none = row(&key, "policy_changed", at(10));
    about_none.agent = None;
    about_none.payload = json!({"action": "reset_memory", "success": true, "note": "say \"x\"\n,=\\"});
    stores
        .action_log
        .append(&[about_none, row(&key, "note", at(10))])
        .await
        .unwrap();
    world.restart().await;

    let profiles = points(&world, "baseline_profile").await;
    assert_eq!(profiles.len(), 1, "{profiles:?}");
    assert_eq!(profiles[0]["run_id"], "tests");
    assert_eq!(profiles[0]["agent_id"], "a");
    assert_eq!(profiles[0]["version"], 3);
    assert_eq!(profiles[0]["latency_mean"], json!(0.1 + 0.2));
    assert_eq!(profiles[0].get("tools_mean"), None);

    let infections = points(&world, "infection_event").await;
    assert_eq!(infections.len(), 1, "{infections:?}");
    assert_eq!(infections[0]["severity"], json!(4.3));
    assert_eq!(infections[0]["diagnosis_type"], "prompt_drift");
    assert_eq!(infections[0]["anomalies"], r#"["token_spike"]"#);
    assert_eq!(infections[0]["deviation_tokens"], json!(5.1));

    let quarantines = points(&world, "quarantine_event").await;
    let words: Vec<(&Value, &Value)> = quarantines.iter().map(|q| (&q["action"], &q["phase"])).collect();
    assert_eq!(
        words,
        [
            (&json!("enter"), &json!("requested")),
            (&json!("release"), &json!("released"))
        ]
    );
    assert_eq!(quarantines[1]["duration_s"], json!(59));

    let approvals = points(&world, "approval_event").await;
    assert_eq!(approvals.len(), 1, "{approvals:?}");
    assert_eq!(approvals[0]["decision"], "pending");

    let healings = points(&world, "healing_event").await;
    let words: Vec<(&Value, &Value)> = healings.iter().map(|h| (&h["state"], &h["healing_id"])).collect();
    assert_eq!(words.len(), 4, "{healings:?}");
    assert_eq!(healings[3]["success"], true);
    assert_eq!(healings[1]["success"], false);
    assert_eq!(healings[1]["validation_passed"], false);
    assert_eq!(healings[0]["trigger"], "auto");

    let log = points(&world, "action_log").await;
    assert_eq!(log.len(), 3, "{log:?}");
    let policy = log
        .iter()
        .find(|row| row["action_type"] == "policy_changed")
        .unwrap();
    assert_eq!(policy.get("agent_id"), None);
    assert_eq!(policy["success"], true);
    assert!(
        policy["payload"]
            .as_str()
            .unwrap()
            .contains("say \\\"x\\\"\\n,=\\\\"),
        "{policy}"
    );
    assert_eq!(world.metrics.mirror_dropped.get(), 0);
}

/// Scenario: InfluxDB is away for longer than the queue is long.
/// Guarantees: whoever writes is not held up, what found no room is counted, the rest arrives.
#[tokio::test]
async fn a_mirror_never_holds_up_and_counts_what_it_drops() {
    let server = immune_test_servers::Influx::start().await;
    let world = World::on(&server.url(), server.user(), |config| {
        immune_store_influx::Config {
            mirror_points_max: 100,
            batch_points_max: 10,
            write_seconds: 0.5,
            backoff_seconds_max: 0.2,
            ..config
        }
    })
    .await;
    let stores = observe(memory::stores(), world.store().mirror());
    server.freeze().await;
    let rows: Vec<_> = (0..500).map(|n| row(&agent("a"), "note", at(n))).collect();
    let began = std::time::Instant::now();
    for row in rows.chunks(10) {
        stores.action_log.append(row).await.unwrap();
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(5));
    let dropped = world.metrics.mirror_dropped.get();
    assert!((380..=400).contains(&dropped), "{dropped}");
    server.thaw().await;
    world::until("the rest arrives", || async {
        world.metrics.mirrored.get() == 500 - dropped
    })
    .await;
}
