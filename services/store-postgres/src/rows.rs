//! Between columns and values. What cannot be read back is named by its id and is an error, never a panic.

use crate::nul;
use crate::types::{AnyJson, At, Json, Jsonb};
use immune_domain::{AgentKey, Timestamp};
use immune_store::error::Result;
use immune_store::{PAGE_DEFAULT, PAGE_MAX, StorageError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row, Type};
use std::fmt::Display;

/// A row that says which one it is when it is damaged.
pub(crate) struct Reader<'r> {
    row: &'r PgRow,
    what: &'static str,
    id: &'static str,
}

impl<'r> Reader<'r> {
    /// Reads rows of a kind; `id` is the column that names the row, of any type.
    pub(crate) fn new(row: &'r PgRow, what: &'static str, id: &'static str) -> Self {
        Reader { row, what, id }
    }

    /// The error for this row.
    pub(crate) fn damaged(&self, why: impl Display) -> StorageError {
        let text = self.row.try_get::<String, _>(self.id);
        let name = text
            .or_else(|_| self.row.try_get::<i64, _>(self.id).map(|n| n.to_string()))
            .unwrap_or_else(|_| "without a readable id".to_owned());
        StorageError::damaged(self.what, name, why)
    }

    /// A column's value.
    pub(crate) fn get<T>(&self, column: &str) -> Result<T>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        self.row.try_get(column).map_err(|error| self.damaged(error))
    }

    /// A text that may hold zero characters.
    pub(crate) fn text(&self, column: &str) -> Result<String> {
        Ok(nul::show(self.get::<&str>(column)?).into_owned())
    }

    /// A text that may hold zero characters, or nothing.
    pub(crate) fn text_if_any(&self, column: &str) -> Result<Option<String>> {
        let text: Option<&str> = self.get(column)?;
        Ok(text.map(|text| nul::show(text).into_owned()))
    }

    /// A time.
    pub(crate) fn time(&self, column: &str) -> Result<Timestamp> {
        self.get::<At>(column).map(|at| at.0)
    }

    /// A number of a narrower type.
    pub(crate) fn number<N: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<N> {
        N::try_from(self.get::<i64>(column)?).map_err(|error| self.damaged(format!("{column}: {error}")))
    }

    /// A number of a narrower type, or nothing.
    pub(crate) fn number_if_any<N: TryFrom<i64, Error: Display>>(&self, column: &str) -> Result<Option<N>> {
        let number: Option<i64> = self.get(column)?;
        let narrowed = number.map(N::try_from).transpose();
        narrowed.map_err(|error| self.damaged(format!("{column}: {error}")))
    }

    /// The agent in the columns `run` and `agent`.
    pub(crate) fn key(&self) -> Result<AgentKey> {
        Ok(AgentKey::new(self.text("run")?, self.text("agent")?))
    }

    /// A value kept as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T> {
        let json: AnyJson<'_> = self.get(column)?;
        self.parsed(column, &json)
    }

    /// A value kept as JSON, or nothing.
    pub(crate) fn json_if_any<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>> {
        let json: Option<AnyJson<'_>> = self.get(column)?;
        json.map(|json| self.parsed(column, &json)).transpose()
    }

    fn parsed<T: DeserializeOwned>(&self, column: &str, json: &AnyJson<'_>) -> Result<T> {
        serde_json::from_str(&json.text()).map_err(|error| self.damaged(format!("{column}: {error}")))
    }
}

/// Writes a value as jsonb, and makes sure that reading gives the same value: JSON has no infinity and no "not a
/// number", and a record that cannot be read back must be refused while its writer can still be told.
pub(crate) fn jsonb<T>(doing: &'static str, value: &T) -> Result<Jsonb>
where
    T: Serialize + DeserializeOwned + PartialEq,
{
    let text = plain(doing, value)?;
    match serde_json::from_str::<T>(&text) {
        Ok(back) if back == *value => Ok(Jsonb(nul::hide_json(text))),
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

/// Writes a value as jsonb that cannot come back different.
pub(crate) fn jsonb_unchecked<T: Serialize>(doing: &'static str, value: &T) -> Result<Jsonb> {
    Ok(Jsonb(nul::hide_json(plain(doing, value)?)))
}

/// Writes a value as json that cannot come back different.
pub(crate) fn json<T: Serialize>(doing: &'static str, value: &T) -> Result<Json> {
    Ok(Json(nul::hide_json(plain(doing, value)?)))
}

fn plain<T: Serialize>(doing: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StorageError::Failed {
        doing,
        source: error.into(),
    })
}

/// A version or a fence, as PostgreSQL keeps it.
pub(crate) fn signed(doing: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|error| StorageError::Failed {
        doing,
        source: error.into(),
    })
}

/// A place in an order to start from; one beyond what PostgreSQL can count is after everything.
pub(crate) fn place(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

/// The limit of a page.
pub(crate) fn page_limit(limit: u32) -> i64 {
    i64::from(limit.min(PAGE_MAX))
}

/// The limit of a filter: 0 stands for the default.
pub(crate) fn filter_limit(limit: u32) -> i64 {
    page_limit(if limit == 0 { PAGE_DEFAULT } else { limit })
}
