//! Immune memory as rows.

use crate::rows::Reader;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::healing::{Action, Healing};
use immune_domain::memory::{Memory, Pin};
use immune_domain::{AgentKey, Timestamp};
use immune_store::error::Result;
use immune_store::healings::{Lesson, ended_at, lesson};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// Reads a memory back.
pub(crate) fn read(row: &SqliteRow) -> Result<Memory> {
    let row = Reader::new(row, "memory", "agent");
    let diagnosis: &str = row.get("diagnosis")?;
    let action: &str = row.get("action")?;
    let pin: Option<&str> = row.get("pin")?;
    Ok(Memory {
        key: row.key()?,
        diagnosis: diagnosis.parse().map_err(|error| row.damaged(error))?,
        action: action.parse().map_err(|error| row.damaged(error))?,
        successes: row.number("successes")?,
        failures: row.number("failures")?,
        last_at: row.time("last_at")?,
        pin: match pin {
            None => None,
            Some("prefer") => Some(Pin::Prefer),
            Some("avoid") => Some(Pin::Avoid),
            Some(other) => return Err(row.damaged(format!("pin is {other:?}"))),
        },
    })
}

fn pin_word(pin: Pin) -> &'static str {
    match pin {
        Pin::Prefer => "prefer",
        Pin::Avoid => "avoid",
    }
}

/// Learns from an attempt that has just ended; an attempt that teaches nothing changes nothing.
pub(crate) async fn learn(conn: &mut SqliteConnection, healing: &Healing) -> sqlx::Result<()> {
    let (Some(at), Some(lesson)) = (ended_at(&healing.outcome), lesson(&healing.outcome)) else {
        return Ok(());
    };
    let (successes, failures) = match lesson {
        Lesson::Helped => (1_i64, 0_i64),
        Lesson::DidNotHelp => (0, 1),
    };
    let sql = "INSERT INTO memories (run, agent, diagnosis, action, successes, failures, last_at) \
               VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, agent, diagnosis, action) DO UPDATE \
               SET successes = min(successes + excluded.successes, 4294967295), \
                   failures = min(failures + excluded.failures, 4294967295), \
                   last_at = max(last_at, excluded.last_at)";
    let query = sqlx::query(sql)
        .bind(healing.key.run.as_str())
        .bind(healing.key.agent.as_str());
    let query = query
        .bind(healing.diagnosis.as_str())
        .bind(healing.action.as_str());
    query
        .bind(successes)
        .bind(failures)
        .bind(at.as_micros())
        .execute(&mut *conn)
        .await?;

    let sql = "INSERT INTO run_totals (run, healings_succeeded, healings_failed) VALUES (?, ?, ?) \
               ON CONFLICT (run) DO UPDATE \
               SET healings_succeeded = healings_succeeded + excluded.healings_succeeded, \
                   healings_failed = healings_failed + excluded.healings_failed";
    let query = sqlx::query(sql)
        .bind(healing.key.run.as_str())
        .bind(successes)
        .bind(failures);
    query.execute(conn).await.map(|_| ())
}

/// Sets or clears a person's word. A memory that says nothing any more is removed.
pub(crate) async fn pin(
    conn: &mut SqliteConnection,
    key: &AgentKey,
    diagnosis: Diagnosis,
    action: Action,
    pin: Option<Pin>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let sql = "INSERT INTO memories (run, agent, diagnosis, action, successes, failures, last_at, pin) \
               VALUES (?, ?, ?, ?, 0, 0, ?, ?) ON CONFLICT (run, agent, diagnosis, action) DO UPDATE \
               SET pin = excluded.pin";
    let query = sqlx::query(sql).bind(key.run.as_str()).bind(key.agent.as_str());
    let query = query.bind(diagnosis.as_str()).bind(action.as_str());
    query
        .bind(now.as_micros())
        .bind(pin.map(pin_word))
        .execute(&mut *conn)
        .await?;

    let sql = "DELETE FROM memories WHERE run = ? AND agent = ? AND diagnosis = ? AND action = ? \
               AND successes = 0 AND failures = 0 AND pin IS NULL";
    let query = sqlx::query(sql).bind(key.run.as_str()).bind(key.agent.as_str());
    query
        .bind(diagnosis.as_str())
        .bind(action.as_str())
        .execute(conn)
        .await
        .map(|_| ())
}
