//! The chain of the action log: what was done to it by somebody with access to the database shows, and processes that
//! write at once make one chain.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

mod support;

use immune_store::action_log::{ActionLog, Break, Link, Verdict, verify};
use immune_store::conformance::samples::{agent, alongside, at, case, row};
use immune_store_postgres::migrate;
use immune_test_servers::Postgres;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use support::{database, store, until};

const UNLOCK: &str = "ALTER TABLE immune.action_log DISABLE TRIGGER action_log_is_never_changed;";

/// Runs statements as somebody with access to the database would.
async fn meddle(url: &str, sql: &str) {
    let name = url.rsplit('/').next().unwrap();
    Postgres::shared().await.sql(name, sql).await;
}

/// A database whose log has rows 1 to 20, and the verdict on it before anybody meddled.
async fn twenty_rows() -> (String, Arc<dyn ActionLog>, Verdict) {
    let url = database().await;
    let log = store(&url).action_log();
    for n in 0..20 {
        log.append(&[row(&agent("a"), &format!("k{n}"), at(n))])
            .await
            .unwrap();
    }
    let verdict = verify(&*log, None, &[]).await.unwrap();
    assert!(verdict.is_intact() && verdict.rows == 20, "{verdict:?}");
    (url, log, verdict)
}

async fn found(log: &dyn ActionLog, kept: &[Link]) -> Option<Break> {
    verify(log, None, kept).await.unwrap().broken_at
}

/// Scenario: a row is changed in one of its fields, taken out, put in, exchanged with another, or robbed of its hash; the
/// oldest are taken away without a note.
/// Guarantees: each is found, at the row where it begins, without anything that was kept elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_done_to_a_row_is_found() {
    let insert = "INSERT INTO immune.action_log (sequence, run, at, kind, actor, outcome, payload, hash)";
    let cases: Vec<(String, u64)> = vec![
        (
            "UPDATE immune.action_log SET payload = '{\"severity\":1}' WHERE sequence = 7".into(),
            7,
        ),
        (
            "UPDATE immune.action_log SET actor = 'eve' WHERE sequence = 7".into(),
            7,
        ),
        (
            "UPDATE immune.action_log SET at = at + interval '1 microsecond' WHERE sequence = 7".into(),
            7,
        ),
        (
            "UPDATE immune.action_log SET outcome = 'refused' WHERE sequence = 20".into(),
            20,
        ),
        (
            "UPDATE immune.action_log SET hash = sha256('x') WHERE sequence = 7".into(),
            7,
        ),
        (
            "UPDATE immune.action_log SET hash = NULL WHERE sequence = 7".into(),
            7,
        ),
        ("DELETE FROM immune.action_log WHERE sequence = 7".into(), 8),
        ("DELETE FROM immune.action_log WHERE sequence < 7".into(), 7),
        (
            "UPDATE immune.action_log SET sequence = 100 WHERE sequence = 7; \
             UPDATE immune.action_log SET sequence = 7 WHERE sequence = 8; \
             UPDATE immune.action_log SET sequence = 8 WHERE sequence = 100"
                .into(),
            7,
        ),
        (
            format!(
                "DELETE FROM immune.action_log WHERE sequence = 7; \
                 {insert} VALUES (7, 'tests', now(), 'k6', 'eve', 'done', '{{}}', NULL)"
            ),
            7,
        ),
    ];
    for (sql, at) in cases {
        let (url, log, _) = twenty_rows().await;
        meddle(&url, &format!("{UNLOCK} {sql}")).await;
        let sequence = match found(&*log, &[]).await {
            Some(
                Break::Changed { sequence, .. }
                | Break::Missing { sequence, .. }
                | Break::Unlinked { sequence }
                | Break::Disordered { sequence, .. }
                | Break::Rewritten { sequence, .. }
                | Break::Truncated { sequence, .. },
            ) => sequence,
            None => panic!("not found: {sql}"),
        };
        assert_eq!(sequence, at, "{sql}");
    }
}

/// Scenario: the last rows are taken away, with and without the note of where the chain ends.
/// Guarantees: without the note it shows by itself; with it, against a link that was kept elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_end_shows_against_what_was_kept() {
    let (url, log, before) = twenty_rows().await;
    meddle(&url, "DELETE FROM immune.action_log WHERE sequence > 15").await;
    let truncated = Some(Break::Truncated {
        sequence: 20,
        last: 15,
    });
    assert_eq!(found(&*log, &[]).await, truncated);
    let note = "UPDATE immune.action_log_place SET last = 15, chained = 15, \
                hash = (SELECT hash FROM immune.action_log WHERE sequence = 15)";
    meddle(&url, note).await;
    assert_eq!(found(&*log, &[]).await, None);
    assert_eq!(found(&*log, &[before.last]).await, truncated);
}

/// Scenario: two processes write rows alone and beside cases, at the same time, one of them sweeps, and both verify.
/// Guarantees: one chain, never found broken; what was written is chained soon, without anybody who asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_make_one_chain() {
    let url = database().await;
    let stores = [store(&url), store(&url)];
    let tasks: Vec<_> = (0..16)
        .map(|writer| {
            let stores = stores[writer % 2].stores();
            tokio::spawn(async move {
                for n in 0..20 {
                    let case = case(&agent(&format!("{writer}-{n}")), &format!("c{writer}-{n}"), at(n));
                    let beside = alongside(&case, "case_opened");
                    stores.cases.open_case(&case, u32::MAX, &beside).await.unwrap();
                    let rows = [row(&agent("a"), "x", at(n)), row(&agent("a"), "y", at(n))];
                    stores.action_log.append(&rows).await.unwrap();
                    if writer < 2 && n % 5 == 4 {
                        let verdict = verify(&*stores.action_log, None, &[]).await.unwrap();
                        assert_eq!(verdict.broken_at, None, "{verdict:?}");
                    }
                    if writer == 3 && n % 10 == 9 {
                        stores.action_log.purge(at(n - 5), at(n)).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let log = stores[0].action_log();
    until("every row has a hash", async || {
        let rows = log.recent(&agent("a").run, None, 10_000).await.unwrap();
        rows.iter().all(|stored| stored.hash.is_some())
    })
    .await;
    let verdict = verify(&*log, None, &[]).await.unwrap();
    assert!(verdict.is_intact() && verdict.unchained == 0, "{verdict:?}");
    let other = verify(&*stores[1].action_log(), None, &[verdict.last])
        .await
        .unwrap();
    assert_eq!(other, verdict);
}

/// Scenario: a transaction that has written a row stays open while others write and verify, then it commits.
/// Guarantees: nobody waits for it, the log verifies all the while, and its row is chained after theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_transaction_holds_nobody_up() {
    let (url, log, _) = twenty_rows().await;
    meddle(&url, "CREATE TABLE go (now int)").await;
    let slow = "SELECT immune.append_action_log('[{\"run\":\"tests\",\"at\":0,\"kind\":\"slow\",\
                \"actor\":\"ada\",\"outcome\":\"done\"}]'); \
                DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM go) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$";
    let slow = tokio::spawn({
        let url = url.clone();
        async move { meddle(&url, slow).await }
    });
    let name = url.rsplit('/').next().unwrap();
    let waits =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}' AND wait_event = 'PgSleep'");
    until("the slow one waits", async || {
        Postgres::shared().await.sql("postgres", &waits).await == "1"
    })
    .await;
    log.append(&[row(&agent("a"), "quick", at(30))]).await.unwrap();
    let verdict = verify(&*log, None, &[]).await.unwrap();
    assert!(verdict.is_intact() && verdict.rows == 21, "{verdict:?}");
    meddle(&url, "INSERT INTO go VALUES (1)").await;
    slow.await.unwrap();
    let verdict = verify(&*log, None, &[verdict.last]).await.unwrap();
    assert!(verdict.is_intact() && verdict.rows == 22, "{verdict:?}");
    let last = log.recent(&agent("a").run, None, 1).await.unwrap();
    assert_eq!(last[0].row.kind, "slow");
}

/// Scenario: a database from before there was a chain, with more rows than one step chains and a gap.
/// Guarantees: after migrating, the first who looks chains them all, and places go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn older_rows_are_chained() {
    let url = Postgres::shared().await.database().await;
    meddle(
        &url,
        "CREATE SCHEMA immune; CREATE TABLE immune.migrations (version integer PRIMARY KEY, name text NOT NULL, \
         checksum text NOT NULL, needs integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
    )
    .await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/postgres");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for (n, file) in files.iter().enumerate().take(8) {
        let sql = std::fs::read_to_string(file).unwrap();
        let (name, checksum) = (
            file.file_stem().unwrap().to_str().unwrap(),
            hex::encode(Sha256::digest(&sql)),
        );
        meddle(&url, &sql).await;
        let note = format!(
            "INSERT INTO immune.migrations VALUES ({}, '{name}', '{checksum}', 1)",
            n + 1
        );
        meddle(&url, &note).await;
    }
    let rows = "INSERT INTO immune.action_log (run, at, kind, actor, outcome, payload) \
                SELECT 'tests', now(), 'k', 'ada', 'done', '{\"x\":1.50,\"a\":[1.0,1e2]}' FROM generate_series(1, 2500); \
                DELETE FROM immune.action_log WHERE sequence < 100 OR sequence = 2000 OR sequence > 2490";
    meddle(&url, rows).await;
    migrate(&url).await.unwrap();
    let log = store(&url).action_log();
    let first = verify(&*log, None, &[]).await.unwrap();
    assert!(first.is_intact() && first.rows == 2_390, "{first:?}");
    log.append(&[row(&agent("a"), "k", at(0))]).await.unwrap();
    let last = log.recent(&"tests".into(), None, 1).await.unwrap();
    assert_eq!(
        last[0].sequence, 2_501,
        "places of removed rows are not used again"
    );
    assert!(verify(&*log, None, &[first.last]).await.unwrap().is_intact());
}
