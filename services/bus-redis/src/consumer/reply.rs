//! What XREAD answers.

use crate::place::{Id, Position};
use crate::trouble::Trouble;
use redis::Value;

/// An entry as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) position: Position,
    pub(crate) form: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

/// A stream's key and what was read of it.
type Stream = (Vec<u8>, Vec<Read>);

/// The entries of each stream that had some, by its key.
pub(crate) fn entries(answer: Value) -> Result<Vec<Stream>, Trouble> {
    let streams = match answer {
        Value::Nil => return Ok(Vec::new()),
        // A map in RESP3.
        Value::Map(streams) => streams,
        other => list(other)?.into_iter().map(pair).collect::<Result<_, _>>()?,
    };
    streams
        .into_iter()
        .map(|(key, entries)| {
            Ok((
                bytes(key)?,
                list(entries)?.into_iter().map(entry).collect::<Result<_, _>>()?,
            ))
        })
        .collect()
}

/// The entries where one stream was asked for.
pub(crate) fn of_one_stream(answer: Value) -> Result<Vec<Read>, Trouble> {
    Ok(entries(answer)?
        .into_iter()
        .flat_map(|(_, entries)| entries)
        .collect())
}

fn entry(value: Value) -> Result<Read, Trouble> {
    let (id, fields) = pair(value)?;
    let id = text(id)?;
    let id: Id = id.parse().map_err(|_| strange(&id))?;
    let mut read = Read {
        position: Position { id, number: 0 },
        form: Vec::new(),
        payload: Vec::new(),
    };
    // Deleted entries have no fields; fields of versions to come are passed over.
    let mut fields = match fields {
        Value::Nil => Vec::new(),
        other => list(other)?,
    }
    .into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let name = bytes(name)?;
        match name.as_slice() {
            b"n" => read.position.number = text(value)?.parse().unwrap_or(0),
            [_] => {
                read.payload = bytes(value)?;
                read.form = name;
            }
            _ => {}
        }
    }
    Ok(read)
}

fn list(value: Value) -> Result<Vec<Value>, Trouble> {
    match value {
        Value::Array(values) => Ok(values),
        other => Err(strange(&other)),
    }
}

fn pair(value: Value) -> Result<(Value, Value), Trouble> {
    let pair: [Value; 2] = list(value)?.try_into().map_err(|values| strange(&values))?;
    let [first, second] = pair;
    Ok((first, second))
}

fn bytes(value: Value) -> Result<Vec<u8>, Trouble> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        other => Err(strange(&other)),
    }
}

fn text(value: Value) -> Result<String, Trouble> {
    String::from_utf8(bytes(value)?).map_err(|error| strange(&error))
}

fn strange(value: &impl std::fmt::Debug) -> Trouble {
    let mut what = format!("{value:?} to XREAD");
    what.truncate(what.char_indices().nth(200).map_or(what.len(), |(i, _)| i));
    Trouble::Answer { what }
}
