//! How single fields are read.

use serde::de::{Deserialize, Deserializer, Error};
use std::borrow::Cow;

/// `null` and absence are the default.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// A number as such or as decimal text.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Number<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

/// A 64-bit number without sign: number or text.
pub(super) fn unsigned<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    match Option::<Number<'de>>::deserialize(d)? {
        None => Ok(0),
        Some(Number::Unsigned(n)) => Ok(n),
        Some(Number::Text(text)) => text.trim().parse().map_err(D::Error::custom),
        // JavaScript writes times beyond 2^53 as floating numbers when it writes them as numbers at all.
        Some(Number::Float(x)) if x >= 0.0 => Ok(x as u64),
        Some(Number::Float(_) | Number::Signed(_)) => Err(D::Error::custom("a number below zero")),
    }
}

/// A 64-bit number: number or text.
pub(super) fn signed<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    match Option::<Number<'de>>::deserialize(d)? {
        None => Ok(None),
        Some(Number::Unsigned(n)) => i64::try_from(n).map(Some).map_err(D::Error::custom),
        Some(Number::Signed(n)) => Ok(Some(n)),
        Some(Number::Float(x)) => Ok(Some(x as i64)),
        Some(Number::Text(text)) => text.trim().parse().map(Some).map_err(D::Error::custom),
    }
}

/// A floating number, or the text of one, `NaN` and `Infinity` among them.
pub(super) fn float<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    match Option::<Number<'de>>::deserialize(d)? {
        None => Ok(None),
        Some(Number::Unsigned(n)) => Ok(Some(n as f64)),
        Some(Number::Signed(n)) => Ok(Some(n as f64)),
        Some(Number::Float(x)) => Ok(Some(x)),
        Some(Number::Text(text)) => text.trim().parse().map(Some).map_err(D::Error::custom),
    }
}

/// An id in hex, of either case; empty when absent. An odd or foreign text is refused with the request, as a
/// malformed protobuf would be.
pub(super) fn hex<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<Cow<'de, str>>::deserialize(d)?.unwrap_or_default();
    ::hex::decode(text.as_ref()).map_err(D::Error::custom)
}

/// Number of a span kind, as number or name.
pub(super) fn kind<'de, D: Deserializer<'de>>(d: D) -> Result<i32, D::Error> {
    word(
        d,
        &[
            "SPAN_KIND_UNSPECIFIED",
            "SPAN_KIND_INTERNAL",
            "SPAN_KIND_SERVER",
            "SPAN_KIND_CLIENT",
            "SPAN_KIND_PRODUCER",
            "SPAN_KIND_CONSUMER",
        ],
    )
}

/// Number of a status code, as number or name.
pub(super) fn status<'de, D: Deserializer<'de>>(d: D) -> Result<i32, D::Error> {
    word(d, &["STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR"])
}

/// A number, or the name that stands at that place. Unknown names are 0, as unknown numbers are harmless.
fn word<'de, D: Deserializer<'de>>(d: D, names: &[&str]) -> Result<i32, D::Error> {
    let number = match Option::<Number<'de>>::deserialize(d)? {
        None => 0,
        Some(Number::Unsigned(n)) => i32::try_from(n).unwrap_or(0),
        Some(Number::Signed(_) | Number::Float(_)) => 0,
        Some(Number::Text(text)) => {
            let at = names.iter().position(|name| *name == text.as_ref());
            at.and_then(|at| i32::try_from(at).ok())
                .or_else(|| text.parse().ok())
                .unwrap_or(0)
        }
    };
    Ok(number)
}
