//! Headers, as each protocol brings them.

use envoy_types::pb::envoy::config::core::v3::HeaderValue;
use http::HeaderMap;
use std::borrow::Cow;
use std::collections::HashMap;

/// The headers of a checked request; names are in lower case.
#[derive(Clone, Copy)]
pub(crate) enum Headers<'a> {
    /// None: a connection is checked.
    None,
    /// Envoy's usual form: one value per name, several joined by commas.
    Joined(&'a HashMap<String, String>),
    /// Envoy's form with `encode_raw_headers`.
    Raw(&'a [HeaderValue]),
    /// Those of the check itself, over plain HTTP.
    Plain(&'a HeaderMap),
}

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// It is not there.
    None,
    /// One value.
    One(Cow<'a, str>),
    /// Several, joined by commas.
    Several(Cow<'a, str>),
    /// Bytes that are no text.
    NoText,
}

impl<'a> Headers<'a> {
    /// A header by its name in lower case.
    pub(super) fn get(self, name: &str) -> Found<'a> {
        match self {
            Headers::None => Found::None,
            Headers::Joined(headers) => match headers.get(name) {
                Some(value) => Found::One(Cow::Borrowed(value)),
                None => Found::None,
            },
            Headers::Raw(headers) => found(
                headers
                    .iter()
                    .filter(|header| header.key.eq_ignore_ascii_case(name))
                    .map(|header| match header.raw_value.is_empty() {
                        true => header.value.as_bytes(),
                        false => &header.raw_value,
                    }),
            ),
            Headers::Plain(headers) => found(headers.get_all(name).iter().map(http::HeaderValue::as_bytes)),
        }
    }

    /// The names that begin with `prefix`, in lower case; a name may come more than once.
    pub(crate) fn names_with(self, prefix: &str) -> Vec<String> {
        let is_wanted = |name: &str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let names: Vec<&str> = match self {
            Headers::None => Vec::new(),
            Headers::Joined(headers) => headers
                .keys()
                .map(String::as_str)
                .filter(|n| is_wanted(n))
                .collect(),
            Headers::Raw(headers) => headers
                .iter()
                .map(|header| header.key.as_str())
                .filter(|n| is_wanted(n))
                .collect(),
            Headers::Plain(headers) => headers
                .keys()
                .map(|key| key.as_str())
                .filter(|n| is_wanted(n))
                .collect(),
        };
        names.into_iter().map(str::to_ascii_lowercase).collect()
    }
}

fn found<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Found<'a> {
    let Some(first) = values.next() else {
        return Found::None;
    };
    let Ok(first) = std::str::from_utf8(first) else {
        return Found::NoText;
    };
    let mut joined = Cow::Borrowed(first);
    let mut is_one = true;
    for value in values {
        let Ok(value) = std::str::from_utf8(value) else {
            return Found::NoText;
        };
        is_one = false;
        let text = joined.to_mut();
        text.push(',');
        text.push_str(value);
    }
    match is_one {
        true => Found::One(joined),
        false => Found::Several(joined),
    }
}
