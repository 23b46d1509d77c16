//! New connections: settings for the session, and a look at where they lead.

use crate::error::{OpenError, Trouble, postgres};
use crate::options::Limits;
use crate::schema;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

/// The oldest server that this program knows.
const SERVER_MIN: i32 = 140_000;

/// Settings of every session, and what the server says of itself.
///
/// `synchronous_commit`: what was acknowledged survives a crash of the server, also where its default is not to
/// wait; stricter defaults stay. `default_transaction_isolation`: the functions look again after they have waited
/// for a lock, which needs a new snapshot per statement. `jit` costs more than it saves on short statements.
const SET_UP: &str = "SELECT \
    set_config('statement_timeout', $1, false), \
    set_config('lock_timeout', $2, false), \
    set_config('idle_in_transaction_session_timeout', $3, false), \
    set_config('default_transaction_isolation', 'read committed', false), \
    set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
        WHEN 'off' THEN 'local' ELSE current_setting('synchronous_commit') END, false), \
    set_config('jit', 'off', false), \
    current_setting('transaction_read_only') = 'on' AS is_read_only, \
    current_setting('server_encoding') AS encoding, \
    current_setting('server_version_num')::integer AS version";

/// Opens a connection to a server that takes writes. The schema is not looked at.
pub(crate) async fn open(options: &PgConnectOptions, limits: &Limits) -> Result<PgConnection, Trouble> {
    let limit = limits.connect_timeout();
    let opening = async {
        let mut conn = PgConnection::connect_with(options)
            .await
            .map_err(Trouble::Connect)?;
        set_up(&mut conn, limits).await?;
        Ok(conn)
    };
    timeout(limit, opening)
        .await
        .unwrap_or(Err(Trouble::ConnectTimeout(limit)))
}

/// Opens a connection to a server that takes writes and has our schema.
pub(crate) async fn open_checked(
    options: &PgConnectOptions,
    limits: &Limits,
) -> Result<PgConnection, Trouble> {
    let mut conn = open(options, limits).await?;
    let limit = limits.connect_timeout();
    let found = timeout(limit, schema::read(&mut conn)).await;
    let found = found.map_err(|_elapsed| Trouble::ConnectTimeout(limit))?;
    match found.and_then(|found| found.fits()) {
        Ok(()) => Ok(conn),
        Err(OpenError::Database { source, .. }) => Err(Trouble::Connect(source)),
        Err(unfit) => Err(Trouble::Unfit(unfit)),
    }
}

async fn set_up(conn: &mut PgConnection, limits: &Limits) -> Result<(), Trouble> {
    let query = sqlx::query(SET_UP).persistent(false);
    let query = query
        .bind(limits.statement_timeout_ms.to_string())
        .bind(limits.lock_timeout_ms.to_string())
        .bind(limits.idle_in_transaction_timeout_ms.to_string());
    let row = query.fetch_one(conn).await.map_err(Trouble::Connect)?;
    let column = |error| Trouble::Connect(error);
    let version: i32 = row.try_get("version").map_err(column)?;
    let encoding: String = row.try_get("encoding").map_err(column)?;
    let refused = |why: String| Err(Trouble::Unfit(OpenError::Server { why }));
    if version < SERVER_MIN {
        return refused(format!(
            "it is PostgreSQL {}; 14 or newer is needed",
            version / 10_000
        ));
    }
    if encoding != "UTF8" {
        return refused(format!(
            "its database is encoded as {encoding}; make one with ENCODING 'UTF8'"
        ));
    }
    if row.try_get("is_read_only").map_err(column)? {
        return Err(Trouble::ReadOnly);
    }
    Ok(())
}

/// For the person who starts the process: why there is no connection.
pub(crate) fn away(trouble: Trouble) -> OpenError {
    match trouble {
        Trouble::Unfit(error) => error,
        Trouble::Connect(source) => match postgres(&source).map(|error| error.code().to_owned()) {
            // The server is there and does not let us in: a mistake, or a database that is still to be made.
            Some(code) if code.starts_with("28") || code.starts_with("42") || code == "3D000" => {
                OpenError::Database {
                    doing: "connecting".to_owned(),
                    source,
                }
            }
            _other => OpenError::Away {
                source: source.into(),
            },
        },
        other @ (Trouble::Closed
        | Trouble::Busy(_)
        | Trouble::ConnectTimeout(_)
        | Trouble::ReadOnly
        | Trouble::NoAnswer(_)
        | Trouble::Statement(_)) => OpenError::Away { source: other.into() },
    }
}
