//! Opening a file: claim it, check or migrate its schema, start the writer and the readers.

use crate::access::SqliteAccess;
use crate::action_log::SqliteActionLog;
use crate::baselines::SqliteBaselines;
use crate::cases::SqliteCases;
use crate::client_records::SqliteClientRecords;
use crate::error::OpenError;
use crate::file;
use crate::healings::SqliteHealings;
use crate::log_chain;
use crate::notifications::SqliteNotifications;
use crate::schema;
use crate::vitals::SqliteVitals;
use crate::writer::Writer;
use immune_store::Stores;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long a statement waits for another program that holds the file, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a file is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether an older schema is migrated at opening; else opening is refused. Default true.
    pub migrate: bool,
    /// Connections for reading; default 4.
    pub readers: u32,
    /// Writes that may wait; beyond it callers wait for room. Default 1,024.
    pub queue: usize,
    /// Writes that share one commit; default 128.
    pub group_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            migrate: true,
            readers: 4,
            queue: 1_024,
            group_max: 128,
        }
    }
}

/// What [`migrate`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The schema that was found; 0 for a new file.
    pub from: u32,
    /// The schema now.
    pub to: u32,
}

/// An open database. Clones share it.
#[derive(Clone)]
pub struct SqliteStore {
    database: Arc<Database>,
}

/// What the contracts' files work with.
pub(crate) struct Database {
    pub(crate) reads: SqlitePool,
    pub(crate) writer: Writer,
    /// Grows with every event that was committed; this process is the only one that writes.
    pub(crate) changes: watch::Sender<u64>,
}

impl SqliteStore {
    /// Opens a file with the default options; makes it, and its folder, when there is none.
    pub async fn open(path: impl AsRef<Path>) -> Result<SqliteStore, OpenError> {
        SqliteStore::open_with(path, Options::default()).await
    }

    /// Opens a file.
    pub async fn open_with(path: impl AsRef<Path>, options: Options) -> Result<SqliteStore, OpenError> {
        let path = path.as_ref();
        let lock = file::claim(path).await?;
        let mut conn = connect(path).await?;
        let found = prepare(&mut conn, path).await?;
        if found < schema::NEWEST && found > 0 && !options.migrate {
            return Err(OpenError::Older {
                path: path.to_owned(),
                found,
                needed: schema::NEWEST,
            });
        }
        schema::apply(&mut conn, found)
            .await
            .map_err(|source| failed(path, "migrating", source))?;
        let chained = log_chain::catch_up(&mut conn).await;
        let chained = chained.map_err(|source| OpenError::Store {
            path: path.to_owned(),
            source,
        })?;
        if chained > 0 {
            tracing::info!(rows = chained, "older rows of the action log chained");
        }

        let reads = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(settings(path).pragma("query_only", "ON"))
            .await
            .map_err(|source| failed(path, "opening for reading", source))?;
        let writer = Writer::start(conn, lock, options.queue, options.group_max);
        Ok(SqliteStore {
            database: Arc::new(Database {
                reads,
                writer,
                changes: watch::Sender::new(0),
            }),
        })
    }

    /// The contracts, all served from this file.
    pub fn stores(&self) -> Stores {
        Stores {
            vitals: Arc::new(SqliteVitals(self.database.clone())),
            baselines: Arc::new(SqliteBaselines(self.database.clone())),
            cases: Arc::new(SqliteCases(self.database.clone())),
            healings: Arc::new(SqliteHealings(self.database.clone())),
            client_records: Arc::new(SqliteClientRecords(self.database.clone())),
            action_log: Arc::new(SqliteActionLog(self.database.clone())),
            access: Arc::new(SqliteAccess(self.database.clone())),
            notifications: Arc::new(SqliteNotifications(self.database.clone())),
        }
    }

    /// Finishes queued writes and lets go of the file; calls that come later fail as unavailable. Dropping every
    /// clone does the same, in the background.
    pub async fn close(&self) {
        // Readers first: the last connection to close folds the write-ahead log into the file.
        self.database.reads.close().await;
        self.database.writer.close().await;
    }
}

/// Brings a file to the newest schema; makes it when there is none. Refused while a server has it open.
pub async fn migrate(path: impl AsRef<Path>) -> Result<Migrated, OpenError> {
    let path = path.as_ref();
    let _lock = file::claim(path).await?;
    let mut conn = connect(path).await?;
    let from = prepare(&mut conn, path).await?;
    schema::apply(&mut conn, from)
        .await
        .map_err(|source| failed(path, "migrating", source))?;
    conn.close()
        .await
        .map_err(|source| failed(path, "closing", source))?;
    Ok(Migrated {
        from,
        to: schema::NEWEST,
    })
}

/// Opens the connection that writes.
async fn connect(path: &Path) -> Result<SqliteConnection, OpenError> {
    SqliteConnection::connect_with(&settings(path))
        .await
        .map_err(|source| {
            if crate::error::is_not_a_database(&source) {
                OpenError::NotOurs {
                    path: path.to_owned(),
                }
            } else {
                failed(path, "opening", source)
            }
        })
}

/// Reads the schema's version, then switches to write-ahead logging: in that order, so that a file of another
/// program is refused before anything in it is changed.
async fn prepare(conn: &mut SqliteConnection, path: &Path) -> Result<u32, OpenError> {
    let found = schema::version(conn, path).await?;
    let switched = sqlx::query("PRAGMA journal_mode = WAL").execute(conn).await;
    switched.map_err(|source| failed(path, "switching to write-ahead logging", source))?;
    Ok(found)
}

/// Settings of every connection. FULL syncs at every commit: what was acknowledged survives a loss of power too.
fn settings(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", "67108864")
}

fn failed(path: &Path, doing: &'static str, source: sqlx::Error) -> OpenError {
    OpenError::Database {
        path: PathBuf::from(path),
        doing,
        source,
    }
}
