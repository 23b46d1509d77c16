//! Notifications in PostgreSQL.

use crate::database::{Answer, Database, PURGE_STEP, Repeat};
use crate::nul;
use crate::rows::{Reader, jsonb_unchecked, page_limit, signed};
use crate::types::{At, Jsonb};
use async_trait::async_trait;
use immune_domain::{CaseId, Timestamp};
use immune_store::StorageError;
use immune_store::cases::NewEvent;
use immune_store::error::Result;
use immune_store::notifications::{
    DEAD_MAX, Hold, Notification, NotificationStore, Outcome, Settled, TargetState,
};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::PgRow;
use std::sync::Arc;

/// The [`NotificationStore`] of a PostgreSQL database.
pub(crate) struct PgNotifications(pub(crate) Arc<Database>);

/// A row as `immune.insert_notifications` reads it.
#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    target: &'a str,
    sequence: i64,
    case_id: &'a str,
    taken_at: i64,
    due_at: i64,
    attempts: u32,
    last_error: Option<&'a str>,
    died_at: Option<i64>,
    event: &'a NewEvent,
}

/// What `immune.settle_notifications` reads.
#[derive(Serialize)]
struct Ended<'a> {
    id: &'a str,
    outcome: &'static str,
    due_at: Option<i64>,
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<&'a Value>,
}

impl<'a> Ended<'a> {
    fn of(settled: &'a Settled) -> Self {
        let (outcome, due_at, error, receipt) = match &settled.outcome {
            Outcome::Delivered { receipt } => ("delivered", None, None, receipt.as_ref()),
            Outcome::Again { due_at, error } => {
                ("again", Some(At::micros(*due_at)), Some(error.as_str()), None)
            }
            Outcome::Held { due_at } => ("held", Some(At::micros(*due_at)), None, None),
            Outcome::Dead { error } => ("dead", None, Some(error.as_str()), None),
        };
        Ended {
            id: &settled.id,
            outcome,
            due_at,
            error,
            receipt,
        }
    }
}

fn entries(doing: &'static str, rows: &[Notification]) -> Result<Jsonb> {
    let entry = |row: &'_ Notification| -> Result<i64> { signed(doing, row.sequence) };
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.push(Entry {
            id: &row.id,
            target: &row.target,
            sequence: entry(row)?,
            case_id: row.event.case.as_str(),
            taken_at: At::micros(row.taken_at),
            due_at: At::micros(row.due_at),
            attempts: row.attempts,
            last_error: row.last_error.as_deref(),
            died_at: row.died_at.map(At::micros),
            event: &row.event,
        });
    }
    jsonb_unchecked(doing, &entries)
}

fn read(row: &PgRow) -> Result<Notification> {
    let row = Reader::new(row, "notification", "id");
    let attempts: i32 = row.get("attempts")?;
    Ok(Notification {
        id: row.text("id")?,
        target: row.text("target")?,
        sequence: row.number("sequence")?,
        event: row.json("event")?,
        taken_at: row.time("taken_at")?,
        attempts: u32::try_from(attempts).map_err(|error| row.damaged(error))?,
        due_at: row.time("due_at")?,
        last_error: row.text_if_any("last_error")?,
        died_at: row.get::<Option<At>>("died_at")?.map(|at| at.0),
    })
}

fn read_target(row: &PgRow) -> Result<TargetState> {
    let row = Reader::new(row, "notification target", "name");
    let time =
        |column: &str| -> Result<Option<Timestamp>> { Ok(row.get::<Option<At>>(column)?.map(|at| at.0)) };
    Ok(TargetState {
        name: row.text("name")?,
        cursor: row.number("cursor")?,
        holder: row.text_if_any("held_by")?.zip(time("held_until")?),
        delivered: row.number("delivered")?,
        last_delivered_at: time("last_delivered_at")?,
        last_error: time("last_error_at")?.zip(row.text_if_any("last_error")?),
        failing_since: time("failing_since")?,
        waiting: row.number("waiting")?,
        oldest_waiting_at: time("oldest_waiting_at")?,
        dead: row.number("dead")?,
    })
}

/// The one yes or no of a function.
fn yes(doing: &'static str, answer: &Answer) -> Result<bool> {
    match answer.rows.first() {
        Some(row) => Reader::new(row, "answer", "yes").get("yes"),
        None => Err(StorageError::refused(
            doing,
            "the database answered without a row",
        )),
    }
}

#[async_trait]
impl NotificationStore for PgNotifications {
    async fn hold(
        &self,
        target: &str,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        begin_after: u64,
    ) -> Result<Option<Hold>> {
        const DOING: &str = "holding a notification target";
        let begin_after = signed(DOING, begin_after)?;
        let query = || {
            sqlx::query("SELECT * FROM immune.hold_notification_target($1, $2, $3, $4, $5)")
                .bind(nul::hide(target))
                .bind(nul::hide(worker))
                .bind(At(now))
                .bind(At(until))
                .bind(begin_after)
        };
        let answer = self.0.run(DOING, Repeat::Always, query).await?;
        let Some(row) = answer.rows.first() else {
            return Ok(None);
        };
        let row = Reader::new(row, "hold", "fence");
        Ok(Some(Hold {
            fence: row.number("fence")?,
            cursor: row.number("cursor")?,
        }))
    }

    async fn let_go(&self, worker: &str) -> Result<()> {
        let sql =
            "UPDATE immune.notification_targets SET held_by = NULL, held_until = NULL WHERE held_by = $1";
        let query = || sqlx::query(sql).bind(nul::hide(worker));
        let done = self
            .0
            .run("letting go of notification targets", Repeat::Always, query);
        done.await.map(|_| ())
    }

    async fn take_in(&self, target: &str, fence: u64, cursor: u64, new: &[Notification]) -> Result<bool> {
        const DOING: &str = "taking notifications in";
        let (fence, cursor, rows) = (
            signed(DOING, fence)?,
            signed(DOING, cursor)?,
            entries(DOING, new)?,
        );
        let query = || {
            sqlx::query("SELECT immune.take_in_notifications($1, $2, $3, $4) AS yes")
                .bind(nul::hide(target))
                .bind(fence)
                .bind(cursor)
                .bind(rows.clone())
        };
        yes(DOING, &self.0.run(DOING, Repeat::Always, query).await?)
    }

    async fn add(&self, notification: &Notification) -> Result<bool> {
        const DOING: &str = "adding a notification";
        let rows = entries(DOING, std::slice::from_ref(notification))?;
        let query = || {
            sqlx::query("SELECT immune.add_notifications($1, $2) AS yes")
                .bind(nul::hide(&notification.target))
                .bind(rows.clone())
        };
        yes(DOING, &self.0.run(DOING, Repeat::Always, query).await?)
    }

    async fn begin(
        &self,
        target: &str,
        fence: u64,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Option<Vec<Notification>>> {
        const DOING: &str = "beginning notifications";
        let fence = signed(DOING, fence)?;
        let query = || {
            sqlx::query("SELECT * FROM immune.begin_notifications($1, $2, $3, $4, $5)")
                .bind(nul::hide(target))
                .bind(fence)
                .bind(At(now))
                .bind(At(until))
                .bind(page_limit(limit))
        };
        // What a lost answer has begun is due again at `until`.
        let answer = self.0.run(DOING, Repeat::Always, query).await?;
        if answer.rows.is_empty() {
            return Ok(None);
        }
        let mut begun = answer.rows[1..]
            .iter()
            .map(read)
            .collect::<Result<Vec<Notification>>>()?;
        begun.sort_by(|a, b| (a.sequence, &a.id).cmp(&(b.sequence, &b.id)));
        Ok(Some(begun))
    }

    async fn settle(&self, target: &str, fence: u64, now: Timestamp, settled: &[Settled]) -> Result<bool> {
        const DOING: &str = "settling notifications";
        let fence = signed(DOING, fence)?;
        let ended = jsonb_unchecked(DOING, &settled.iter().map(Ended::of).collect::<Vec<_>>())?;
        let query = || {
            sqlx::query("SELECT immune.settle_notifications($1, $2, $3, $4, $5) AS yes")
                .bind(nul::hide(target))
                .bind(fence)
                .bind(At(now))
                .bind(ended.clone())
                .bind(DEAD_MAX as i64)
        };
        yes(DOING, &self.0.run(DOING, Repeat::Always, query).await?)
    }

    async fn receipts(&self, target: &str, cases: &[CaseId]) -> Result<Vec<(CaseId, Value)>> {
        let sql = "SELECT case_id, receipt FROM immune.notification_receipts \
                   WHERE target = $1 AND case_id = ANY($2)";
        let ids: Vec<String> = cases
            .iter()
            .map(|id| nul::hide(id.as_str()).into_owned())
            .collect();
        let query = || sqlx::query(sql).bind(nul::hide(target)).bind(ids.clone());
        let rows = self.0.read("reading receipts", query).await?;
        let read = |row: &PgRow| {
            let row = Reader::new(row, "receipt", "case_id");
            Ok((row.text("case_id")?.into(), row.json("receipt")?))
        };
        rows.iter().map(read).collect()
    }

    async fn targets(&self) -> Result<Vec<TargetState>> {
        let sql = "SELECT t.*, count(n.id) FILTER (WHERE n.died_at IS NULL) AS waiting, \
                          count(n.id) FILTER (WHERE n.died_at IS NOT NULL) AS dead, \
                          min(n.taken_at) FILTER (WHERE n.died_at IS NULL) AS oldest_waiting_at \
                     FROM immune.notification_targets t LEFT JOIN immune.notifications n ON n.target = t.name \
                    GROUP BY t.name ORDER BY t.name";
        let rows = self
            .0
            .read("listing notification targets", || sqlx::query(sql))
            .await?;
        rows.iter().map(read_target).collect()
    }

    async fn dead(&self, target: Option<&str>, limit: u32) -> Result<Vec<Notification>> {
        let sql = "SELECT * FROM immune.notifications WHERE died_at IS NOT NULL \
                   AND ($1::text IS NULL OR target = $1) ORDER BY died_at DESC, id DESC LIMIT $2";
        let query = || {
            sqlx::query(sql)
                .bind(target.map(nul::hide))
                .bind(page_limit(limit))
        };
        let rows = self.0.read("listing dead letters", query).await?;
        rows.iter().map(read).collect()
    }

    async fn get(&self, id: &str) -> Result<Option<Notification>> {
        let query = || sqlx::query("SELECT * FROM immune.notifications WHERE id = $1").bind(nul::hide(id));
        let rows = self.0.read("reading a notification", query).await?;
        rows.first().map(read).transpose()
    }

    async fn retry(&self, id: &str, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE immune.notifications SET died_at = NULL, attempts = 0, due_at = $1, taken_at = $1 \
                   WHERE id = $2 AND died_at IS NOT NULL RETURNING 1";
        let query = || sqlx::query(sql).bind(At(now)).bind(nul::hide(id));
        let answer = self
            .0
            .run("retrying a dead letter", Repeat::Always, query)
            .await?;
        Ok(!answer.rows.is_empty() || answer.after_doubt)
    }

    async fn discard(&self, id: &str) -> Result<bool> {
        let sql = "DELETE FROM immune.notifications WHERE id = $1 AND died_at IS NOT NULL RETURNING 1";
        let query = || sqlx::query(sql).bind(nul::hide(id));
        let answer = self
            .0
            .run("discarding a dead letter", Repeat::Always, query)
            .await?;
        Ok(!answer.rows.is_empty() || answer.after_doubt)
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT target, case_id FROM immune.notification_receipts WHERE at < $1 \
                       LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.notification_receipts r USING old \
                               WHERE r.target = old.target AND r.case_id = old.case_id RETURNING 1) \
                   SELECT count(*) FROM removed";
        let query = || sqlx::query(sql).bind(At(before)).bind(PURGE_STEP);
        self.0.purge_by("purging receipts", query).await?;
        let sql = "WITH old AS MATERIALIZED (\
                       SELECT id FROM immune.notifications WHERE died_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED), \
                   removed AS (DELETE FROM immune.notifications n USING old WHERE n.id = old.id RETURNING 1) \
                   SELECT count(*) FROM removed";
        self.0.purge("purging dead letters", sql, before).await
    }
}
