//! Removing what is too old, in steps.

use crate::error::storage;
use crate::open::Database;
use immune_domain::Timestamp;
use immune_store::error::Result;

/// Rows that one step removes, so that other writes get their turn between two steps.
pub(crate) const STEP: i64 = 1_000;

impl Database {
    /// Repeats a statement that takes a time and a limit until it removes less than the limit; returns how many
    /// rows went.
    pub(crate) async fn purge(
        &self,
        doing: &'static str,
        sql: &'static str,
        before: Timestamp,
    ) -> Result<u64> {
        self.purge_up_to(doing, sql, before.as_micros()).await
    }

    /// As [`Database::purge`], with a number that is no time.
    pub(crate) async fn purge_up_to(&self, doing: &'static str, sql: &'static str, to: i64) -> Result<u64> {
        let mut removed = 0;
        loop {
            let step = self.writer.write(doing, move |conn| {
                Box::pin(async move {
                    let query = sqlx::query(sql).bind(to).bind(STEP);
                    query
                        .execute(conn)
                        .await
                        .map(|done| done.rows_affected())
                        .map_err(storage(doing))
                })
            });
            let gone = step.await?;
            removed += gone;
            if gone < STEP as u64 {
                return Ok(removed);
            }
        }
    }
}
