//! Between columns and values. What cannot be read back is named by its id and is an error, never a panic.

use immune_domain::{AgentKey, Timestamp};
use immune_store::error::Result;
use immune_store::{PAGE_DEFAULT, PAGE_MAX, StorageError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Decode, Row, Type};
use std::fmt::Display;

/// A row that says which one it is when it is damaged.
pub(crate) struct Reader<'r> {
    row: &'r SqliteRow,
    what: &'static str,
    id: String,
}

impl<'r> Reader<'r> {
    /// Reads rows of a kind; `id` is the column that names the row, of any type.
    pub(crate) fn new(row: &'r SqliteRow, what: &'static str, id: &str) -> Self {
        let name = row
            .try_get::<String, _>(id)
            .or_else(|_| row.try_get::<i64, _>(id).map(|n| n.to_string()));
        Reader {
            row,
            what,
            id: name.unwrap_or_else(|_| "without a readable id".to_owned()),
        }
    }

    /// The error for this row.
    pub(crate) fn damaged(&self, why: impl Display) -> StorageError {
        StorageError::damaged(self.what, &self.id, why)
    }

    /// A column's value.
    pub(crate) fn get<T>(&self, column: &str) -> Result<T>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
    {
        self.row.try_get(column).map_err(|error| self.damaged(error))
    }

    /// A time.
    pub(crate) fn time(&self, column: &str) -> Result<Timestamp> {
        self.get(column).map(Timestamp::from_micros)
    }

    /// A yes or no.
    pub(crate) fn flag(&self, column: &str) -> Result<bool> {
        self.get::<i64>(column).map(|flag| flag != 0)
    }

    /// A number of a narrower type.
    pub(crate) fn number<N: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<N> {
        N::try_from(self.get::<i64>(column)?).map_err(|error| self.damaged(format!("{column}: {error}")))
    }

    /// A number of a narrower type, or nothing.
    pub(crate) fn number_if_any<N: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<Option<N>> {
        let number: Option<i64> = self.get(column)?;
        number
            .map(N::try_from)
            .transpose()
            .map_err(|error| self.damaged(format!("{column}: {error}")))
    }

    /// The agent in the columns `run` and `agent`.
    pub(crate) fn key(&self) -> Result<AgentKey> {
        Ok(AgentKey::new(
            self.get::<String>("run")?,
            self.get::<String>("agent")?,
        ))
    }

    /// A value kept as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        let text: &str = self.get(column)?;
        serde_json::from_str(text).map_err(|error| self.damaged(format!("{column}: {error}")))
    }
}

/// Writes a value as JSON, and makes sure that reading gives the same value: JSON has no infinity and no "not a
/// number", and a record that cannot be read back must be refused while its writer can still be told.
pub(crate) fn encode<T>(doing: &'static str, value: &T) -> Result<String>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    let text = encode_unchecked(doing, value)?;
    match serde_json::from_str::<T>(&text) {
        Ok(back) if back == *value => Ok(text),
        Ok(_) => Err(StorageError::refused(
            doing,
            "the record holds a number that is not finite",
        )),
        Err(error) => Err(StorageError::Failed {
            doing,
            source: error.into(),
        }),
    }
}

/// Writes a value as JSON that cannot come back different.
pub(crate) fn encode_unchecked<T: Serialize>(doing: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StorageError::Failed {
        doing,
        source: error.into(),
    })
}

/// A version or a place in an order, as SQLite keeps it.
pub(crate) fn signed(doing: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| StorageError::Failed {
        doing,
        source: error.into(),
    })
}

/// A place in an order to start from; one beyond what SQLite can count is after everything.
pub(crate) fn place(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// A count.
pub(crate) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The limit of a page.
pub(crate) fn page_limit(limit: u32) -> i64 {
    i64::from(limit.min(PAGE_MAX))
}

/// The limit of a filter: 0 stands for the default.
pub(crate) fn filter_limit(limit: u32) -> i64 {
    page_limit(if limit == 0 { PAGE_DEFAULT } else { limit })
}
