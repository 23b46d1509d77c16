//! `immune migrate`: brings a database to the schema of this program.

use crate::connect;
use crate::error::OpenError;
use crate::options::{Limits, parse};
use crate::schema::{self, MIGRATIONS, NEWEST};
use sqlx::{Connection, PgConnection};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The advisory lock under which migrations run: "IMMUMIGR".
const LOCK: i64 = 0x494D_4D55_4D49_4752;

/// How long one migration waits for another to end.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How often it looks.
const WAIT_STEP: Duration = Duration::from_millis(100);

/// What [`migrate`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The schema that was found; 0 when there was none.
    pub from: u32,
    /// The schema now; a newer one than this program's is left alone.
    pub to: u32,
    /// The migrations that were applied, in order.
    pub applied: Vec<&'static str>,
}

/// Brings a database to the newest schema. Safe to run again, and by two at once: the second waits for the first and
/// finds nothing to do. Each migration is applied whole or not at all, so a run that was killed can be repeated.
pub async fn migrate(url: &str) -> Result<Migrated, OpenError> {
    let options = parse(url)?;
    let limits = Limits::default();
    let mut conn = connect::open(&options, &limits).await.map_err(connect::away)?;
    // A migration takes as long as it takes, but does not make everyone queue behind it for a lock.
    for (name, value) in [
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("lock_timeout", "10s"),
        ("client_min_messages", "warning"),
    ] {
        let query = sqlx::query("SELECT set_config($1, $2, false)")
            .bind(name)
            .bind(value);
        query
            .execute(&mut conn)
            .await
            .map_err(|source| failed("preparing", source))?;
    }
    lock(&mut conn).await?;
    let done = run(&mut conn).await;
    // The lock goes with the connection; what there is to say is said by `done`.
    let _ = conn.close().await;
    done
}

/// Takes the lock, looking again and again: a session that waits for a lock would hold a snapshot, which stands in
/// the way of building an index concurrently.
async fn lock(conn: &mut PgConnection) -> Result<(), OpenError> {
    let start = Instant::now();
    loop {
        let query = sqlx::query_scalar::<_, bool>("SELECT pg_try_advisory_lock($1)").bind(LOCK);
        let got = query.fetch_one(&mut *conn).await;
        if got.map_err(|source| failed("taking the lock", source))? {
            return Ok(());
        }
        if start.elapsed() >= WAIT_MAX {
            return Err(OpenError::Migrating { waited: WAIT_MAX });
        }
        sleep(WAIT_STEP).await;
    }
}

async fn run(conn: &mut PgConnection) -> Result<Migrated, OpenError> {
    let found = schema::read(conn).await?;
    found.is_known()?;
    if found.version == 0 {
        schema::prepare(conn).await?;
    }
    let mut applied = Vec::new();
    for (version, migration) in (1..).zip(&MIGRATIONS).skip(found.version as usize) {
        schema::apply(conn, version, migration).await?;
        tracing::info!(migration = migration.name, "schema migrated");
        applied.push(migration.name);
    }
    Ok(Migrated {
        from: found.version,
        to: found.version.max(NEWEST),
        applied,
    })
}

fn failed(doing: &str, source: sqlx::Error) -> OpenError {
    OpenError::Database {
        doing: doing.to_owned(),
        source,
    }
}
