//! One statement per call, tried again where that is safe.

use crate::error::{Meaning, Trouble};
use crate::events::Announcer;
use crate::log_chain::Chainer;
use crate::pool::Pool;
use crate::rows::Reader;
use crate::types::At;
use immune_domain::Timestamp;
use immune_store::error::Result;
use sqlx::postgres::{PgArguments, PgRow, Postgres};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// A statement with its values.
pub(crate) type Query = sqlx::query::Query<'static, Postgres, PgArguments>;

/// Pauses between tries grow from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(320);

/// Tries of one call, however quick they fail.
const TRIES_MAX: u32 = 16;

/// Rows that one step of purging removes.
pub(crate) const PURGE_STEP: i64 = 1_000;

/// What all contracts share.
pub(crate) struct Database {
    pub(crate) pool: Pool,
    pub(crate) announcer: Announcer,
    pub(crate) chainer: Chainer,
    /// Spreads the pauses of calls that failed together.
    spread: AtomicU32,
}

/// Whether a statement may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Reading, and writing what is the same when written twice.
    Always,
    /// Only when it was certainly not done.
    IfUndone,
}

/// What a statement has answered.
pub(crate) struct Answer {
    pub(crate) rows: Vec<PgRow>,
    /// An earlier try of the same call may have been done.
    pub(crate) after_doubt: bool,
}

impl Database {
    pub(crate) fn new(pool: Pool) -> Self {
        Database {
            pool,
            announcer: Announcer::default(),
            chainer: Chainer::default(),
            spread: AtomicU32::new(0),
        }
    }

    /// Runs a statement and reads all it answers.
    pub(crate) async fn run(
        &self,
        doing: &'static str,
        repeat: Repeat,
        query: impl Fn() -> Query + Send + Sync,
    ) -> Result<Answer> {
        self.run_raw(repeat, query)
            .await
            .map_err(|trouble| trouble.told(doing))
    }

    /// The rows of a statement that only reads.
    pub(crate) async fn read(
        &self,
        doing: &'static str,
        query: impl Fn() -> Query + Send + Sync,
    ) -> Result<Vec<PgRow>> {
        self.run(doing, Repeat::Always, query)
            .await
            .map(|answer| answer.rows)
    }

    /// As [`Database::run`], with the trouble itself for callers that know what it means.
    pub(crate) async fn run_raw(
        &self,
        repeat: Repeat,
        query: impl Fn() -> Query + Send + Sync,
    ) -> std::result::Result<Answer, Trouble> {
        let (start, mut tries, mut pause, mut after_doubt) = (Instant::now(), 0, PAUSE_FIRST, false);
        loop {
            tries += 1;
            let trouble = match self.attempt(query()).await {
                Ok(rows) => return Ok(Answer { rows, after_doubt }),
                Err(trouble) => trouble,
            };
            let may_repeat = match trouble.meaning() {
                Meaning::Undone { others_suspect } => {
                    if others_suspect {
                        self.pool.renew();
                    }
                    true
                }
                Meaning::InDoubt => {
                    // What happened to this connection may have happened to the others, which do not know yet.
                    self.pool.renew();
                    after_doubt = true;
                    repeat == Repeat::Always
                }
                Meaning::Unavailable | Meaning::Damaged | Meaning::Failed => false,
            };
            let pause_now = pause + pause * (self.spread.fetch_add(1, Ordering::Relaxed) % 8) / 8;
            let is_late = start.elapsed() + pause_now > self.pool.limits().retry();
            if !may_repeat || is_late || tries == TRIES_MAX {
                return Err(trouble);
            }
            tracing::debug!(error = %trouble, tries, "store call is tried again");
            sleep(pause_now).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Repeats a statement that takes a time and a limit until it removes less than the limit; returns how many rows
    /// went. In steps, so that no transaction holds many rows.
    pub(crate) async fn purge(
        &self,
        doing: &'static str,
        sql: &'static str,
        before: Timestamp,
    ) -> Result<u64> {
        self.purge_by(doing, || sqlx::query(sql).bind(At(before)).bind(PURGE_STEP))
            .await
    }

    /// As [`Database::purge`], with a statement that has its time and [`PURGE_STEP`] already.
    pub(crate) async fn purge_by(
        &self,
        doing: &'static str,
        query: impl Fn() -> Query + Send + Sync,
    ) -> Result<u64> {
        let mut removed = 0;
        loop {
            let answer = self.run(doing, Repeat::Always, &query).await?;
            let row = answer.rows.first().map(|row| Reader::new(row, "count", "count"));
            let gone: u64 = row.map_or(Ok(0), |row| row.number("count"))?;
            removed += gone;
            if gone < PURGE_STEP as u64 {
                return Ok(removed);
            }
        }
    }

    async fn attempt(&self, query: Query) -> std::result::Result<Vec<PgRow>, Trouble> {
        let mut lease = self.pool.lease().await?;
        let limit = self.pool.limits().call_timeout();
        // All rows: a statement is committed only when the server is ready for the next one.
        let done = timeout(limit, query.fetch_all(&mut lease.conn)).await;
        let done = done.map_err(|_elapsed| Trouble::NoAnswer(limit))?;
        match done {
            Ok(rows) => {
                self.pool.give_back(lease);
                Ok(rows)
            }
            Err(error) => {
                let trouble = Trouble::Statement(error);
                match trouble.meaning() {
                    Meaning::Undone {
                        others_suspect: false,
                    }
                    | Meaning::Unavailable
                    | Meaning::Failed => {
                        self.pool.give_back(lease);
                    }
                    // Not used again: dropping closes it.
                    Meaning::Undone { others_suspect: true } | Meaning::InDoubt | Meaning::Damaged => {}
                }
                Err(trouble)
            }
        }
    }
}
