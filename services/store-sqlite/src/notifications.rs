//! Notifications in SQLite.

use crate::error::storage;
use crate::open::Database;
use crate::rows::{Reader, count, encode_unchecked, page_limit, place, signed};
use async_trait::async_trait;
use immune_domain::{CaseId, Timestamp};
use immune_store::error::Result;
use immune_store::notifications::{
    DEAD_MAX, Hold, Notification, NotificationStore, Outcome, Settled, TargetState,
};
use serde_json::Value;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use std::sync::Arc;

/// The [`NotificationStore`] of a SQLite file.
pub(crate) struct SqliteNotifications(pub(crate) Arc<Database>);

/// A notification with its columns ready to be bound.
struct Ready {
    row: Notification,
    sequence: i64,
    event: String,
}

fn ready(doing: &'static str, row: &Notification) -> Result<Ready> {
    Ok(Ready {
        row: row.clone(),
        sequence: signed(doing, row.sequence)?,
        event: encode_unchecked(doing, &row.event)?,
    })
}

fn read(row: &SqliteRow) -> Result<Notification> {
    let row = Reader::new(row, "notification", "id");
    Ok(Notification {
        id: row.get("id")?,
        target: row.get("target")?,
        sequence: row.number("sequence")?,
        event: row.json("event")?,
        taken_at: row.time("taken_at")?,
        attempts: row.number("attempts")?,
        due_at: row.time("due_at")?,
        last_error: row.get("last_error")?,
        died_at: row.get::<Option<i64>>("died_at")?.map(Timestamp::from_micros),
    })
}

fn read_target(row: &SqliteRow) -> Result<TargetState> {
    let row = Reader::new(row, "notification target", "name");
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    };
    Ok(TargetState {
        name: row.get("name")?,
        cursor: row.number("cursor")?,
        holder: row.get::<Option<String>>("held_by")?.zip(time("held_until")?),
        delivered: row.number("delivered")?,
        last_delivered_at: time("last_delivered_at")?,
        last_error: time("last_error_at")?.zip(row.get("last_error")?),
        failing_since: time("failing_since")?,
        waiting: row.number("waiting")?,
        oldest_waiting_at: time("oldest_waiting_at")?,
        dead: row.number("dead")?,
    })
}

async fn insert(conn: &mut SqliteConnection, ready: Ready) -> sqlx::Result<()> {
    let sql = "INSERT INTO notifications (id, target, sequence, case_id, taken_at, due_at, attempts, last_error, \
               died_at, event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    let Ready { row, sequence, event } = ready;
    let query = sqlx::query(sql).bind(row.id).bind(row.target).bind(sequence);
    let query = query
        .bind(row.event.case.to_string())
        .bind(row.taken_at.as_micros());
    let query = query
        .bind(row.due_at.as_micros())
        .bind(i64::from(row.attempts))
        .bind(row.last_error);
    let query = query.bind(row.died_at.map(Timestamp::as_micros)).bind(event);
    query.execute(conn).await.map(|_| ())
}

async fn is_held(conn: &mut SqliteConnection, target: &str, fence: i64) -> sqlx::Result<bool> {
    let query = sqlx::query("SELECT 1 FROM notification_targets WHERE name = ? AND fence = ?");
    let row = query.bind(target).bind(fence).fetch_optional(conn).await?;
    Ok(row.is_some())
}

async fn settle_one(
    conn: &mut SqliteConnection,
    target: &str,
    now: i64,
    settled: Settled,
) -> sqlx::Result<()> {
    let id = settled.id;
    let waits = "id = ? AND target = ? AND died_at IS NULL";
    match settled.outcome {
        Outcome::Delivered { receipt } => {
            let sql = format!("DELETE FROM notifications WHERE {waits} RETURNING case_id");
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id).bind(target);
            let Some(row) = query.fetch_optional(&mut *conn).await? else {
                return Ok(());
            };
            let sql = "UPDATE notification_targets SET delivered = delivered + 1, last_delivered_at = ?, \
                       failing_since = NULL WHERE name = ?";
            sqlx::query(sql)
                .bind(now)
                .bind(target)
                .execute(&mut *conn)
                .await?;
            if let Some(receipt) = receipt {
                let sql = "INSERT INTO notification_receipts (target, case_id, at, receipt) VALUES (?, ?, ?, ?) \
                           ON CONFLICT DO UPDATE SET at = excluded.at, receipt = excluded.receipt";
                let query = sqlx::query(sql).bind(target).bind(row.get::<String, _>(0));
                query.bind(now).bind(receipt.to_string()).execute(conn).await?;
            }
        }
        Outcome::Again { due_at, error } => {
            let sql = format!("UPDATE notifications SET due_at = ?, last_error = ? WHERE {waits}");
            let query = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(due_at.as_micros())
                .bind(error.clone());
            let done = query.bind(id).bind(target).execute(&mut *conn).await?;
            if done.rows_affected() > 0 {
                failed(conn, target, now, error).await?;
            }
        }
        Outcome::Held { due_at } => {
            let sql =
                format!("UPDATE notifications SET due_at = ?, attempts = max(attempts - 1, 0) WHERE {waits}");
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(due_at.as_micros());
            query.bind(id).bind(target).execute(conn).await?;
        }
        Outcome::Dead { error } => {
            let sql = format!("UPDATE notifications SET died_at = ?, last_error = ? WHERE {waits}");
            let query = sqlx::query(sqlx::AssertSqlSafe(sql))
                .bind(now)
                .bind(error.clone());
            let done = query.bind(id).bind(target).execute(&mut *conn).await?;
            if done.rows_affected() > 0 {
                failed(&mut *conn, target, now, error).await?;
            }
            let sql = "DELETE FROM notifications WHERE id IN (SELECT id FROM notifications \
                       WHERE target = ? AND died_at IS NOT NULL ORDER BY died_at DESC, sequence DESC, id DESC \
                       LIMIT -1 OFFSET ?)";
            sqlx::query(sql)
                .bind(target)
                .bind(place(DEAD_MAX))
                .execute(conn)
                .await?;
        }
    }
    Ok(())
}

async fn failed(conn: &mut SqliteConnection, target: &str, now: i64, error: String) -> sqlx::Result<()> {
    let sql = "UPDATE notification_targets SET last_error = ?, last_error_at = ?, \
               failing_since = coalesce(failing_since, ?) WHERE name = ?";
    let query = sqlx::query(sql).bind(error).bind(now).bind(now).bind(target);
    query.execute(conn).await.map(|_| ())
}

#[async_trait]
impl NotificationStore for SqliteNotifications {
    async fn hold(
        &self,
        target: &str,
        worker: &str,
        now: Timestamp,
        until: Timestamp,
        begin_after: u64,
    ) -> Result<Option<Hold>> {
        const DOING: &str = "holding a notification target";
        let (target, worker, begin_after) =
            (target.to_owned(), worker.to_owned(), signed(DOING, begin_after)?);
        let sql = "INSERT INTO notification_targets (name, cursor, fence, held_by, held_until) VALUES (?1, ?2, 1, ?3, ?4) \
                   ON CONFLICT DO UPDATE SET fence = fence + (held_by IS NOT ?3), held_by = ?3, held_until = ?4 \
                   WHERE held_by IS NULL OR held_by = ?3 OR held_until <= ?5 RETURNING fence, cursor";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let query = sqlx::query(sql).bind(target).bind(begin_after).bind(worker);
                let query = query.bind(until.as_micros()).bind(now.as_micros());
                let row = query.fetch_optional(conn).await.map_err(storage(DOING))?;
                let hold = |row: SqliteRow| Hold {
                    fence: count(row.get(0)),
                    cursor: count(row.get(1)),
                };
                Ok(row.map(hold))
            })
        });
        work.await
    }

    async fn let_go(&self, worker: &str) -> Result<()> {
        const DOING: &str = "letting go of notification targets";
        let worker = worker.to_owned();
        let sql = "UPDATE notification_targets SET held_by = NULL, held_until = NULL WHERE held_by = ?";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let done = sqlx::query(sql).bind(worker).execute(conn).await;
                done.map(|_| ()).map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn take_in(&self, target: &str, fence: u64, cursor: u64, new: &[Notification]) -> Result<bool> {
        const DOING: &str = "taking notifications in";
        let (target, fence, cursor) = (target.to_owned(), signed(DOING, fence)?, signed(DOING, cursor)?);
        let rows = new
            .iter()
            .map(|row| ready(DOING, row))
            .collect::<Result<Vec<Ready>>>()?;
        let sql = "UPDATE notification_targets SET cursor = max(cursor, ?) WHERE name = ? AND fence = ?";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let query = sqlx::query(sql).bind(cursor).bind(target).bind(fence);
                let done = query.execute(&mut *conn).await.map_err(storage(DOING))?;
                if done.rows_affected() == 0 {
                    return Ok(false);
                }
                for row in rows {
                    insert(conn, row).await.map_err(storage(DOING))?;
                }
                Ok(true)
            })
        });
        work.await
    }

    async fn add(&self, notification: &Notification) -> Result<bool> {
        const DOING: &str = "adding a notification";
        let row = ready(DOING, notification)?;
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let query = sqlx::query("SELECT 1 FROM notification_targets WHERE name = ?");
                let query = query.bind(row.row.target.clone());
                let target = query.fetch_optional(&mut *conn).await.map_err(storage(DOING))?;
                if target.is_none() {
                    return Ok(false);
                }
                insert(conn, row).await.map_err(storage(DOING))?;
                Ok(true)
            })
        });
        work.await
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
        let (target, fence) = (target.to_owned(), signed(DOING, fence)?);
        let (now, until) = (now.as_micros(), until.as_micros());
        let sql = "UPDATE notifications SET attempts = attempts + 1, due_at = ?1 WHERE id IN (\
                       SELECT n.id FROM notifications n \
                        WHERE n.target = ?2 AND n.died_at IS NULL AND n.due_at <= ?3 AND NOT EXISTS (\
                              SELECT 1 FROM notifications e WHERE e.target = n.target AND e.case_id = n.case_id \
                                 AND e.died_at IS NULL AND e.sequence < n.sequence AND e.due_at > ?3) \
                        ORDER BY n.sequence, n.id LIMIT ?4) RETURNING *";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                if !is_held(conn, &target, fence).await.map_err(storage(DOING))? {
                    return Ok(None);
                }
                let query = sqlx::query(sql)
                    .bind(until)
                    .bind(target)
                    .bind(now)
                    .bind(page_limit(limit));
                let rows = query.fetch_all(conn).await.map_err(storage(DOING))?;
                let mut begun = rows.iter().map(read).collect::<Result<Vec<Notification>>>()?;
                begun.sort_by(|a, b| (a.sequence, &a.id).cmp(&(b.sequence, &b.id)));
                Ok(Some(begun))
            })
        });
        work.await
    }

    async fn settle(&self, target: &str, fence: u64, now: Timestamp, settled: &[Settled]) -> Result<bool> {
        const DOING: &str = "settling notifications";
        let (target, fence) = (target.to_owned(), signed(DOING, fence)?);
        let settled = settled.to_vec();
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                if !is_held(conn, &target, fence).await.map_err(storage(DOING))? {
                    return Ok(false);
                }
                for one in settled {
                    settle_one(conn, &target, now.as_micros(), one)
                        .await
                        .map_err(storage(DOING))?;
                }
                Ok(true)
            })
        });
        work.await
    }

    async fn receipts(&self, target: &str, cases: &[CaseId]) -> Result<Vec<(CaseId, Value)>> {
        let sql = "SELECT case_id, receipt FROM notification_receipts WHERE target = ? \
                   AND case_id IN (SELECT value FROM json_each(?))";
        let ids = encode_unchecked("reading receipts", &cases)?;
        let query = sqlx::query(sql).bind(target).bind(ids);
        let rows = query
            .fetch_all(&self.0.reads)
            .await
            .map_err(storage("reading receipts"))?;
        let read = |row: &SqliteRow| {
            let row = Reader::new(row, "receipt", "case_id");
            Ok((row.get::<String>("case_id")?.into(), row.json("receipt")?))
        };
        rows.iter().map(read).collect()
    }

    async fn targets(&self) -> Result<Vec<TargetState>> {
        let sql = "SELECT t.*, count(n.id) FILTER (WHERE n.died_at IS NULL) AS waiting, \
                          count(n.id) FILTER (WHERE n.died_at IS NOT NULL) AS dead, \
                          min(n.taken_at) FILTER (WHERE n.died_at IS NULL) AS oldest_waiting_at \
                     FROM notification_targets t LEFT JOIN notifications n ON n.target = t.name \
                    GROUP BY t.name ORDER BY t.name";
        let rows = sqlx::query(sql).fetch_all(&self.0.reads).await;
        let rows = rows.map_err(storage("listing notification targets"))?;
        rows.iter().map(read_target).collect()
    }

    async fn dead(&self, target: Option<&str>, limit: u32) -> Result<Vec<Notification>> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM notifications WHERE died_at IS NOT NULL");
        if let Some(target) = target {
            query.push(" AND target = ").push_bind(target.to_owned());
        }
        query
            .push(" ORDER BY died_at DESC, id DESC LIMIT ")
            .push_bind(page_limit(limit));
        let rows = query.build().fetch_all(&self.0.reads).await;
        rows.map_err(storage("listing dead letters"))?
            .iter()
            .map(read)
            .collect()
    }

    async fn get(&self, id: &str) -> Result<Option<Notification>> {
        let query = sqlx::query("SELECT * FROM notifications WHERE id = ?").bind(id);
        let row = query.fetch_optional(&self.0.reads).await;
        row.map_err(storage("reading a notification"))?
            .map(|row| read(&row))
            .transpose()
    }

    async fn retry(&self, id: &str, now: Timestamp) -> Result<bool> {
        const DOING: &str = "retrying a dead letter";
        let (id, now) = (id.to_owned(), now.as_micros());
        let sql = "UPDATE notifications SET died_at = NULL, attempts = 0, due_at = ?1, taken_at = ?1 \
                   WHERE id = ?2 AND died_at IS NOT NULL";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let done = sqlx::query(sql).bind(now).bind(id).execute(conn).await;
                done.map(|done| done.rows_affected() > 0).map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn discard(&self, id: &str) -> Result<bool> {
        const DOING: &str = "discarding a dead letter";
        let id = id.to_owned();
        let sql = "DELETE FROM notifications WHERE id = ? AND died_at IS NOT NULL";
        let work = self.0.writer.write(DOING, move |conn| {
            Box::pin(async move {
                let done = sqlx::query(sql).bind(id).execute(conn).await;
                done.map(|done| done.rows_affected() > 0).map_err(storage(DOING))
            })
        });
        work.await
    }

    async fn purge(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM notification_receipts WHERE (target, case_id) IN \
                   (SELECT target, case_id FROM notification_receipts WHERE at < ? LIMIT ?)";
        self.0.purge("purging receipts", sql, before).await?;
        let sql = "DELETE FROM notifications WHERE id IN \
                   (SELECT id FROM notifications WHERE died_at < ? LIMIT ?)";
        self.0.purge("purging dead letters", sql, before).await
    }
}
