//! The chain of the action log in a file: what was done to it with another program shows.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, at the line that was not kept"
)]

use immune_store::action_log::{Break, Link, LinkHash, Verdict, verify};
use immune_store::conformance::samples::{agent, at, row};
use immune_store_sqlite::SqliteStore;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use std::path::{Path, PathBuf};

const UNLOCK: &str = "DROP TRIGGER action_log_is_never_changed;";

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("immune.db")
}

/// Runs statements on the file as another program would.
async fn meddle(path: &Path, sql: &str) -> sqlx::Result<()> {
    let mut conn = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await?;
    let sql = AssertSqlSafe(sql.to_owned());
    let done = sqlx::raw_sql(sql).execute(&mut conn).await.map(|_| ());
    conn.close().await?;
    done
}

/// A file whose log has rows 1 to 20, and the verdict on it before anybody meddled.
async fn twenty_rows(path: &Path) -> Verdict {
    let store = SqliteStore::open(path).await.unwrap();
    let log = store.stores().action_log;
    for n in 0..20 {
        log.append(&[row(&agent("a"), &format!("k{n}"), at(n))])
            .await
            .unwrap();
    }
    let verdict = verify(&*log, None, &[]).await.unwrap();
    assert!(verdict.is_intact() && verdict.rows == 20, "{verdict:?}");
    store.close().await;
    verdict
}

async fn verdict(path: &Path, kept: &[Link]) -> Verdict {
    let store = SqliteStore::open(path).await.unwrap();
    let verdict = verify(&*store.stores().action_log, None, kept).await.unwrap();
    store.close().await;
    verdict
}

/// Scenario: a row is changed in one of its fields, taken out, put in, exchanged with another, or robbed of its hash; the
/// oldest are taken away without a note, or with a note that names too much.
/// Guarantees: each is found, at the row where it begins, without anything that was kept elsewhere.
#[tokio::test]
async fn what_was_done_to_a_row_is_found() {
    let insert = "INSERT INTO action_log (sequence, run, at, kind, actor, outcome, payload, hash)";
    let cases: Vec<(&str, String, u64)> = vec![
        (
            "payload",
            "UPDATE action_log SET payload = '{\"severity\":1}' WHERE sequence = 7".into(),
            7,
        ),
        (
            "actor",
            "UPDATE action_log SET actor = 'eve' WHERE sequence = 7".into(),
            7,
        ),
        (
            "time",
            "UPDATE action_log SET at = at + 1 WHERE sequence = 7".into(),
            7,
        ),
        (
            "run",
            "UPDATE action_log SET run = 'other' WHERE sequence = 7".into(),
            7,
        ),
        (
            "kind",
            "UPDATE action_log SET kind = 'k' WHERE sequence = 1".into(),
            1,
        ),
        (
            "outcome",
            "UPDATE action_log SET outcome = 'refused' WHERE sequence = 20".into(),
            20,
        ),
        (
            "agent",
            "UPDATE action_log SET agent = NULL WHERE sequence = 7".into(),
            7,
        ),
        (
            "hash",
            "UPDATE action_log SET hash = zeroblob(32) WHERE sequence = 7".into(),
            7,
        ),
        (
            "no hash",
            "UPDATE action_log SET hash = NULL WHERE sequence = 7".into(),
            7,
        ),
        ("removed", "DELETE FROM action_log WHERE sequence = 7".into(), 8),
        (
            "removed some",
            "DELETE FROM action_log WHERE sequence BETWEEN 7 AND 9".into(),
            10,
        ),
        (
            "first removed",
            "DELETE FROM action_log WHERE sequence < 7".into(),
            7,
        ),
        (
            "exchanged",
            "UPDATE action_log SET sequence = 100 WHERE sequence = 7; \
             UPDATE action_log SET sequence = 7 WHERE sequence = 8; \
             UPDATE action_log SET sequence = 8 WHERE sequence = 100"
                .into(),
            7,
        ),
        (
            "put in",
            format!(
                "DELETE FROM action_log WHERE sequence = 7; \
                 {insert} VALUES (7, 'tests', 0, 'k6', 'eve', 'done', '{{}}', zeroblob(32))"
            ),
            7,
        ),
        (
            "put in front",
            format!("{insert} VALUES (0, 'tests', 0, 'k', 'eve', 'done', '{{}}', NULL)"),
            0,
        ),
        (
            "a false note",
            format!(
                "{insert} SELECT 21, '', at, 'action_log_purged', 'retention', 'done', \
                     '{{\"last_sequence\":6,\"last_hash\":\"' || lower(hex(hash)) || '\"}}', hash \
                 FROM action_log WHERE sequence = 6; DELETE FROM action_log WHERE sequence < 7"
            ),
            21,
        ),
    ];
    for (name, sql, at) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        twenty_rows(&path).await;
        meddle(&path, &format!("{UNLOCK} {sql}")).await.unwrap();
        let verdict = verdict(&path, &[]).await;
        let found = verdict.broken_at;
        let sequence = match found {
            Some(
                Break::Changed { sequence, .. }
                | Break::Missing { sequence, .. }
                | Break::Unlinked { sequence }
                | Break::Disordered { sequence, .. }
                | Break::Rewritten { sequence, .. }
                | Break::Truncated { sequence, .. },
            ) => Some(sequence),
            None => None,
        };
        // A row in front of the first is in nobody's chain.
        let expected = if name == "put in front" { None } else { Some(at) };
        assert_eq!(verdict.strays, u64::from(name == "put in front"));
        assert_eq!(sequence, expected, "{name}: {found:?}");
    }
}

/// Scenario: the last rows are taken away, with and without the note of where the chain ends; the whole chain is written
/// anew by somebody who can.
/// Guarantees: without the note it shows by itself; with it, against a link that was kept elsewhere.
#[tokio::test]
async fn a_cut_end_shows_against_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let before = twenty_rows(&path).await;
    let cut = "DELETE FROM action_log WHERE sequence > 15";
    meddle(&path, cut).await.unwrap();
    let truncated = Some(Break::Truncated {
        sequence: 20,
        last: 15,
    });
    assert_eq!(verdict(&path, &[]).await.broken_at, truncated);

    let note = "UPDATE action_log_head SET (sequence, hash) = (SELECT sequence, hash FROM action_log WHERE sequence = 15)";
    meddle(&path, note).await.unwrap();
    let quiet = verdict(&path, &[]).await;
    assert!(quiet.is_intact() && quiet.rows == 15, "{quiet:?}");
    assert_eq!(verdict(&path, &[before.last]).await.broken_at, truncated);

    let anew = format!(
        "{UNLOCK} UPDATE action_log SET hash = NULL, actor = 'eve'; \
         UPDATE action_log_head SET sequence = 0, hash = zeroblob(32)"
    );
    meddle(&path, &anew).await.unwrap();
    let rewritten = verdict(&path, &[]).await;
    assert!(rewritten.is_intact() && rewritten.rows == 15, "{rewritten:?}");
    let kept = verdict(&path, &[quiet.last]).await.broken_at;
    assert!(
        matches!(kept, Some(Break::Rewritten { sequence: 15, .. })),
        "{kept:?}"
    );
}

/// Scenario: rows are changed with another program that does not remove the trigger.
/// Guarantees: the database refuses.
#[tokio::test]
async fn the_database_refuses_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    twenty_rows(&path).await;
    for sql in [
        "UPDATE action_log SET actor = 'eve'",
        "UPDATE action_log SET hash = zeroblob(32)",
        "UPDATE action_log SET hash = NULL",
        "UPDATE action_log SET sequence = 99 WHERE sequence = 3",
    ] {
        let refused = meddle(&path, sql).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    assert!(verdict(&path, &[]).await.is_intact());
}

/// Scenario: a file from before there was a chain, with more rows than one step chains and a gap where rows were swept.
/// Guarantees: opening it chains them all, once, and places go on.
#[tokio::test]
async fn older_rows_are_chained() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let old = concat!(
        include_str!("../../../migrations/sqlite/0001_initial.sql"),
        include_str!("../../../migrations/sqlite/0002_partitions_and_claims.sql"),
        "PRAGMA application_id = 0x494D4D55; PRAGMA user_version = 2;",
        "WITH RECURSIVE n(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < 2500)",
        "INSERT INTO action_log (run, at, kind, actor, outcome, payload)",
        "  SELECT 'tests', n * 1000000, 'k', 'ada', 'done', '{\"x\":1.5e0,\"a\":[1.0]}' FROM n;",
        "DELETE FROM action_log WHERE sequence < 100 OR sequence = 2000;"
    );
    meddle(&path, old).await.unwrap();
    let first = verdict(&path, &[]).await;
    assert!(first.is_intact() && first.rows == 2_400, "{first:?}");
    assert_eq!(first.last.sequence, 2_500);
    assert_ne!(first.last.hash, LinkHash::ZERO);
    let again = verdict(&path, &[first.last]).await;
    assert_eq!(again, first);
    let store = SqliteStore::open(&path).await.unwrap();
    let log = store.stores().action_log;
    log.append(&[row(&agent("a"), "k", at(0))]).await.unwrap();
    assert_eq!(
        log.recent(&"tests".into(), None, 1).await.unwrap()[0].sequence,
        2_501
    );
}
