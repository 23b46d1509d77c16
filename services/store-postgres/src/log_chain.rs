//! The chain of the action log in PostgreSQL. Rows are written by many processes, within transactions of every kind,
//! and get their place and their hash once they are committed, so that no transaction waits for another
//! (`migrations/postgres/0009`). Any process may chain; the hashes are computed here, and written only if the chain
//! still ends where this process saw it end.

use crate::action_log::{read, read_row};
use crate::database::{Database, Repeat};
use crate::rows::{Reader, place};
use immune_store::StorageError;
use immune_store::action_log::{Chain, Link, LinkHash, StoredRow, removed_up_to};
use immune_store::error::Result;
use sqlx::postgres::PgRow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Rows that are chained by one statement.
const STEP: i64 = 250;

/// Steps of one call; the rest is for the next.
const STEPS_MAX: u32 = 400;

/// How long rows gather before they are chained together.
const GATHER: Duration = Duration::from_millis(50);

const DOING: &str = "chaining the action log";

const IDLE: u8 = 0;
const CHAINING: u8 = 1;
const ONCE_MORE: u8 = 2;

/// Whether this process is chaining.
#[derive(Debug, Default)]
pub(crate) struct Chainer(AtomicU8);

/// The link in the columns `sequence` and `hash`.
pub(crate) fn link(row: &PgRow) -> Result<Link> {
    let row = Reader::new(row, "link of the action log", "sequence");
    Ok(Link {
        sequence: row.number("sequence")?,
        hash: hash(&row, "hash")?.ok_or_else(|| row.damaged("it has no hash"))?,
    })
}

/// A stored hash.
pub(crate) fn hash(row: &Reader<'_>, column: &str) -> Result<Option<LinkHash>> {
    let bytes: Option<&[u8]> = row.get(column)?;
    let hash = bytes.map(|bytes| bytes.try_into().map(LinkHash));
    hash.transpose()
        .map_err(|_| row.damaged("its hash has not 32 bytes"))
}

impl Database {
    /// Chains what was just written, in the background.
    pub(crate) fn chain_soon(self: &Arc<Self>) {
        let next = |state| Some(if state == IDLE { CHAINING } else { ONCE_MORE });
        let before = self
            .chainer
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        if before == Ok(IDLE) {
            tokio::spawn(chain_in_background(self.clone()));
        }
    }

    /// Gives committed rows their places, so that readers find them.
    pub(crate) async fn number_log(&self) -> Result<()> {
        let query = || sqlx::query("SELECT immune.number_action_log()");
        self.run("numbering the action log", Repeat::Always, query)
            .await
            .map(|_| ())
    }

    /// Chains rows that are not yet.
    pub(crate) async fn chain_log(&self) -> Result<()> {
        for _ in 0..STEPS_MAX {
            if !self.chain_step().await? {
                break;
            }
        }
        Ok(())
    }

    /// Chains some rows; returns whether there may be more.
    async fn chain_step(&self) -> Result<bool> {
        // First those that have a place already, because somebody wanted to read them; then the others as they were
        // written.
        let sql = "SELECT p.chained, p.hash AS chained_hash, p.last, r.* FROM immune.action_log_place p, LATERAL (\
                       (SELECT * FROM immune.action_log l WHERE l.hash IS NULL AND l.sequence > p.chained \
                         ORDER BY l.sequence LIMIT $1) \
                       UNION ALL \
                       (SELECT * FROM immune.action_log l WHERE l.sequence IS NULL ORDER BY l.id LIMIT $1)) r \
                   ORDER BY r.sequence NULLS LAST, r.id LIMIT $1";
        let rows = self.read(DOING, || sqlx::query(sql).bind(STEP)).await?;
        let Some(first) = rows.first() else {
            return Ok(false);
        };
        let head = Reader::new(first, "head of the action log", "chained");
        let (after, last): (u64, u64) = (head.number("chained")?, head.number("last")?);
        let mut hash = hash(&head, "chained_hash")?.unwrap_or(LinkHash::ZERO);
        let (mut ids, mut sequences, mut hashes, mut free) = (Vec::new(), Vec::new(), Vec::new(), last);
        for row in &rows {
            let stored = Reader::new(row, "action log row", "id");
            let sequence = stored.number_if_any("sequence")?.unwrap_or_else(|| {
                free += 1;
                free
            });
            hash = hash.then_row(&StoredRow {
                sequence,
                row: read_row(&stored)?,
                hash: None,
            });
            ids.push(stored.get::<i64>("id")?);
            sequences.push(place(sequence));
            hashes.push(hash.0.to_vec());
        }
        let query = || {
            sqlx::query("SELECT immune.link_action_log($1, $2, $3, $4, $5)")
                .bind(place(after))
                .bind(place(last))
                .bind(ids.clone())
                .bind(sequences.clone())
                .bind(hashes.clone())
        };
        // When another process was faster there may be more than it has chained.
        self.run(DOING, Repeat::Always, query).await?;
        Ok(true)
    }

    /// How the chain stands.
    pub(crate) async fn log_chain(&self) -> Result<Chain> {
        const DOING: &str = "reading the chain of the action log";
        // The beginning first: one that has moved on meanwhile is found by who walks from it.
        let sql = "SELECT * FROM immune.action_log r \
                    WHERE r.kind = 'action_log_purged' AND r.run = '' AND r.hash IS NOT NULL \
                    ORDER BY r.sequence DESC LIMIT 1";
        let rows = self.read(DOING, || sqlx::query(sql)).await?;
        let start = match rows.first() {
            None => Link::ZERO,
            Some(row) => removed_up_to(&read(row)?.row)
                .ok_or_else(|| Reader::new(row, "action log row", "sequence").damaged("it names no link"))?,
        };
        let sql = "SELECT p.chained AS sequence, p.hash, \
                          (SELECT count(*) FROM immune.action_log r WHERE r.sequence IS NULL) \
                          + (SELECT count(*) FROM immune.action_log r WHERE r.hash IS NULL AND r.sequence > p.chained) \
                              AS unchained, \
                          (SELECT count(*) FROM immune.action_log r WHERE r.sequence <= $1) AS strays \
                     FROM immune.action_log_place p";
        let upto = place(start.sequence);
        let rows = self.read(DOING, || sqlx::query(sql).bind(upto)).await?;
        let gone = || StorageError::refused(DOING, "the note of where the chain ends is gone");
        let found = rows.first().ok_or_else(gone)?;
        let row = Reader::new(found, "head of the action log", "sequence");
        Ok(Chain {
            start,
            head: link(found)?,
            unchained: row.number("unchained")?,
            strays: row.number("strays")?,
        })
    }
}

/// Chains until nothing new was written meanwhile.
async fn chain_in_background(database: Arc<Database>) {
    let chaining = &database.chainer.0;
    loop {
        sleep(GATHER).await;
        chaining.store(CHAINING, Ordering::Release);
        if let Err(error) = database.chain_log().await {
            // Whoever writes next, or looks, makes up for it.
            tracing::debug!(%error, "the action log could not be chained");
        }
        let stopped = chaining.compare_exchange(CHAINING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if stopped.is_ok() {
            return;
        }
    }
}
