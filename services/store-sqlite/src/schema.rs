//! The schema's versions and how a file gets from one to the next.

use crate::error::{OpenError, is_not_a_database};
use sqlx::{Row, SqliteConnection};
use std::path::Path;

/// Every migration, in order; the position plus one is the schema it leads to.
const MIGRATIONS: [(&str, &str); 5] = [
    (
        "0001_initial",
        include_str!("../../../migrations/sqlite/0001_initial.sql"),
    ),
    (
        "0002_partitions_and_claims",
        include_str!("../../../migrations/sqlite/0002_partitions_and_claims.sql"),
    ),
    (
        "0003_access",
        include_str!("../../../migrations/sqlite/0003_access.sql"),
    ),
    (
        "0004_action_log_chain",
        include_str!("../../../migrations/sqlite/0004_action_log_chain.sql"),
    ),
    (
        "0005_notifications",
        include_str!("../../../migrations/sqlite/0005_notifications.sql"),
    ),
];

/// The schema that this program reads and writes.
pub(crate) const NEWEST: u32 = MIGRATIONS.len() as u32;

/// Marks a file as ours: "IMMU". <https://www.sqlite.org/pragma.html#pragma_application_id>
const APPLICATION_ID: i64 = 0x494D_4D55;

/// The schema of a file; 0 for an empty one. Refuses files of other programs and of newer versions.
pub(crate) async fn version(conn: &mut SqliteConnection, path: &Path) -> Result<u32, OpenError> {
    let owned = || path.to_owned();
    let row = sqlx::query(
        "SELECT (SELECT user_version FROM pragma_user_version), \
                (SELECT application_id FROM pragma_application_id), \
                (SELECT count(*) FROM sqlite_schema)",
    )
    .fetch_one(&mut *conn)
    .await;
    let row = row.map_err(|source| match is_not_a_database(&source) {
        true => OpenError::NotOurs { path: owned() },
        false => OpenError::Database {
            path: owned(),
            doing: "reading its schema",
            source,
        },
    })?;
    let (found, application, objects): (i64, i64, i64) = (row.get(0), row.get(1), row.get(2));
    if objects == 0 && found == 0 {
        return Ok(0);
    }
    let found = u32::try_from(found)
        .ok()
        .filter(|_| application == APPLICATION_ID);
    let found = found.ok_or_else(|| OpenError::NotOurs { path: owned() })?;
    if found > NEWEST {
        return Err(OpenError::Newer {
            path: owned(),
            found,
            known: NEWEST,
        });
    }
    Ok(found)
}

/// Applies what is missing after `found`, each migration in a transaction of its own.
pub(crate) async fn apply(conn: &mut SqliteConnection, found: u32) -> Result<(), sqlx::Error> {
    for (n, (name, sql)) in (1..).zip(MIGRATIONS).skip(found as usize) {
        let script = format!(
            "BEGIN IMMEDIATE;\n{sql}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {n};\nCOMMIT;"
        );
        if let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(script))
            .execute(&mut *conn)
            .await
        {
            // Without a transaction there is nothing to roll back, and the first error is the one to tell.
            let _ = sqlx::query("ROLLBACK").execute(&mut *conn).await;
            return Err(error);
        }
        tracing::info!(migration = name, "schema migrated");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: every migration file is applied, in the order of its number.
    #[test]
    fn every_file_is_in_the_list() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let listed: Vec<String> = MIGRATIONS.iter().map(|(name, _)| format!("{name}.sql")).collect();
        assert_eq!(files, listed);
        for (n, name) in (1..).zip(&listed) {
            assert!(name.starts_with(&format!("{n:04}_")), "{name}");
        }
    }
}
