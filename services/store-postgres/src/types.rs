//! Times and JSON on the wire of PostgreSQL, without a calendar library in between.

use crate::nul;
use immune_domain::Timestamp;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};

// Numbers of the built-in types: <https://github.com/postgres/postgres/blob/master/src/include/catalog/pg_type.dat>.
const TIMESTAMPTZ: Oid = Oid(1184);
const JSON: Oid = Oid(114);
const JSON_ARRAY: Oid = Oid(199);
const JSONB: Oid = Oid(3802);
const JSONB_ARRAY: Oid = Oid(3807);

/// Microseconds from 1970 to 2000, where PostgreSQL counts from.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// The first microsecond of PostgreSQL's calendar, in 4714 BC, counted from 2000. Its end lies beyond ours.
const FIRST: i64 = -211_813_488_000_000_000;

/// A time as timestamptz. Times before 4714 BC, which no clock gives, are stored as the first one there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At(pub(crate) Timestamp);

impl At {
    /// The time in microseconds since 1970, within what PostgreSQL can store.
    pub(crate) fn micros(time: Timestamp) -> i64 {
        time.as_micros().max(FIRST + EPOCH_2000)
    }
}

impl Type<Postgres> for At {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(TIMESTAMPTZ)
    }
}

impl Encode<'_, Postgres> for At {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.extend_from_slice(&(At::micros(self.0) - EPOCH_2000).to_be_bytes());
        Ok(IsNull::No)
    }
}

impl<'r> Decode<'r, Postgres> for At {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(At(Timestamp::from_micros(micros.saturating_add(EPOCH_2000))))
    }
}

/// A JSON text as jsonb: searchable, numbers kept by their value.
#[derive(Debug, Clone)]
pub(crate) struct Jsonb(pub(crate) String);

impl Type<Postgres> for Jsonb {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(JSONB)
    }
}

impl PgHasArrayType for Jsonb {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB_ARRAY)
    }
}

impl Encode<'_, Postgres> for Jsonb {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        // Version 1 of the binary form is the text.
        buf.push(1);
        buf.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// A JSON text as json: kept letter by letter.
#[derive(Debug, Clone)]
pub(crate) struct Json(pub(crate) String);

impl Type<Postgres> for Json {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON)
    }
}

impl PgHasArrayType for Json {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSON_ARRAY)
    }
}

impl Encode<'_, Postgres> for Json {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

/// The text of a json or jsonb column, as it was written.
pub(crate) struct AnyJson<'r>(&'r str);

impl AnyJson<'_> {
    /// The text with its zero characters.
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        nul::show_json(self.0)
    }
}

impl Type<Postgres> for AnyJson<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        matches!(ty.oid(), Some(JSONB | JSON))
    }
}

impl<'r> Decode<'r, Postgres> for AnyJson<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = value.as_bytes()?;
        // JSON begins with no byte below the space but white space; 1 is jsonb's version.
        let text = match bytes {
            [1, text @ ..] => text,
            text => text,
        };
        Ok(AnyJson(std::str::from_utf8(text)?))
    }
}
