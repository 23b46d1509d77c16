//! The chain of the action log in SQLite: rows are chained in the transaction that writes them, since there is one
//! writer.

use crate::action_log;
use crate::error::storage;
use crate::rows::{Reader, count, place};
use immune_store::StorageError;
use immune_store::action_log::{Chain, Link, LinkHash, LogRow, StoredRow, removed_up_to};
use immune_store::error::Result;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Rows from before there was a chain that are chained in one transaction.
const STEP: i64 = 250;

/// The last place that was ever used: SQLite remembers it also when the rows are gone.
const HEAD: &str = "SELECT h.sequence, h.hash, \
    coalesce((SELECT s.seq FROM sqlite_sequence s WHERE s.name = 'action_log'), 0) AS used FROM action_log_head h";

/// A stored hash.
pub(crate) fn hash(row: &Reader<'_>) -> Result<Option<LinkHash>> {
    let bytes: Option<&[u8]> = row.get("hash")?;
    let hash = bytes.map(|bytes| bytes.try_into().map(LinkHash));
    hash.transpose()
        .map_err(|_| row.damaged("its hash has not 32 bytes"))
}

/// The link in the columns `sequence` and `hash`.
pub(crate) fn link(row: &SqliteRow) -> Result<Link> {
    let row = Reader::new(row, "link of the action log", "sequence");
    Ok(Link {
        sequence: row.number("sequence")?,
        hash: hash(&row)?.ok_or_else(|| row.damaged("it has no hash"))?,
    })
}

async fn one(conn: &mut SqliteConnection, doing: &'static str, sql: &'static str) -> Result<SqliteRow> {
    sqlx::query(sql).fetch_one(conn).await.map_err(storage(doing))
}

async fn set_head(conn: &mut SqliteConnection, doing: &'static str, head: Link) -> Result<()> {
    let query = sqlx::query("UPDATE action_log_head SET sequence = ?, hash = ?")
        .bind(place(head.sequence))
        .bind(head.hash.0.to_vec());
    query.execute(conn).await.map(|_| ()).map_err(storage(doing))
}

/// Appends rows with their payloads written out.
pub(crate) async fn append(
    conn: &mut SqliteConnection,
    doing: &'static str,
    rows: Vec<(LogRow, String)>,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let found = one(conn, doing, HEAD).await?;
    let mut head = link(&found)?;
    let mut used: u64 = Reader::new(&found, "head of the action log", "sequence").number("used")?;
    for (row, payload) in rows {
        used = used.max(head.sequence) + 1;
        let stored = StoredRow {
            sequence: used,
            row,
            hash: None,
        };
        head = Link {
            sequence: used,
            hash: head.hash.then_row(&stored),
        };
        let row = stored.row;
        let sql = "INSERT INTO action_log (sequence, run, at, kind, agent, actor, outcome, payload, hash) \
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        let query = sqlx::query(sql)
            .bind(place(used))
            .bind(row.run.as_str())
            .bind(row.at.as_micros())
            .bind(row.kind);
        let query = query.bind(row.agent.as_ref().map(|agent| agent.as_str()));
        query
            .bind(row.actor)
            .bind(row.outcome)
            .bind(payload)
            .bind(head.hash.0.to_vec())
            .execute(&mut *conn)
            .await
            .map_err(storage(doing))?;
    }
    set_head(conn, doing, head).await
}

/// Chains rows from before there was a chain, in steps; returns how many.
pub(crate) async fn catch_up(conn: &mut SqliteConnection) -> Result<u64> {
    const DOING: &str = "chaining the action log";
    let mut chained = 0;
    loop {
        run(conn, DOING, "BEGIN IMMEDIATE").await?;
        let step = match step(conn, DOING).await {
            Ok(step) => step,
            Err(error) => {
                // The first error is the one to tell.
                let _ = run(conn, DOING, "ROLLBACK").await;
                return Err(error);
            }
        };
        run(conn, DOING, "COMMIT").await?;
        chained += step;
        if step < STEP as u64 {
            return Ok(chained);
        }
    }
}

async fn run(conn: &mut SqliteConnection, doing: &'static str, sql: &'static str) -> Result<()> {
    let done = sqlx::query(sql).execute(conn).await;
    done.map(|_| ()).map_err(storage(doing))
}

async fn step(conn: &mut SqliteConnection, doing: &'static str) -> Result<u64> {
    let mut head = link(&one(conn, doing, HEAD).await?)?;
    let sql = "SELECT * FROM action_log WHERE hash IS NULL AND sequence > ? ORDER BY sequence LIMIT ?";
    let query = sqlx::query(sql).bind(place(head.sequence)).bind(STEP);
    let rows = query.fetch_all(&mut *conn).await.map_err(storage(doing))?;
    for row in &rows {
        let stored = action_log::read(row)?;
        head = Link {
            sequence: stored.sequence,
            hash: head.hash.then_row(&stored),
        };
        let query = sqlx::query("UPDATE action_log SET hash = ? WHERE sequence = ?")
            .bind(head.hash.0.to_vec())
            .bind(place(head.sequence));
        query.execute(&mut *conn).await.map_err(storage(doing))?;
    }
    if !rows.is_empty() {
        set_head(conn, doing, head).await?;
    }
    Ok(rows.len() as u64)
}

/// How the chain stands, seen at one moment.
pub(crate) async fn chain(conn: &mut SqliteConnection) -> Result<Chain> {
    const DOING: &str = "reading the chain of the action log";
    let sql = "SELECT h.sequence, h.hash, \
                      (SELECT count(*) FROM action_log r WHERE r.hash IS NULL AND r.sequence > h.sequence) AS unchained, \
                      (SELECT r.sequence FROM action_log r WHERE r.kind = 'action_log_purged' AND r.run = '' \
                        ORDER BY r.sequence DESC LIMIT 1) AS checkpoint, \
                      (SELECT r.payload FROM action_log r WHERE r.kind = 'action_log_purged' AND r.run = '' \
                        ORDER BY r.sequence DESC LIMIT 1) AS payload \
                 FROM action_log_head h";
    let found = sqlx::query(sql)
        .fetch_one(&mut *conn)
        .await
        .map_err(storage(DOING))?;
    let row = Reader::new(&found, "chain of the action log", "checkpoint");
    let start = match row.get::<Option<&str>>("payload")? {
        None => Link::ZERO,
        Some(_) => purged(&row)?,
    };
    let sql = "SELECT count(*) FROM action_log WHERE sequence <= ?";
    let strays = sqlx::query_scalar::<_, i64>(sql).bind(place(start.sequence));
    Ok(Chain {
        start,
        head: link(&found)?,
        unchained: count(row.get("unchained")?),
        strays: count(strays.fetch_one(conn).await.map_err(storage(DOING))?),
    })
}

fn purged(row: &Reader<'_>) -> Result<Link> {
    let note = immune_store::action_log::checkpoint(Link::ZERO, Default::default(), Default::default());
    let note = LogRow {
        payload: row.json("payload")?,
        ..note
    };
    removed_up_to(&note).ok_or_else(|| -> StorageError { row.damaged("it names no link") })
}
