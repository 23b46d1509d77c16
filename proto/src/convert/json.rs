//! `google.protobuf.Struct` from and to JSON.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value as WireValue};
use serde_json::{Map, Number, Value};

/// A JSON object as a struct. Numbers become doubles, as the struct has no others.
pub fn to_struct(object: Map<String, Value>) -> Struct {
    Struct {
        fields: object
            .into_iter()
            .map(|(name, value)| (name, to_value(value)))
            .collect(),
    }
}

/// A struct as a JSON object. What JSON cannot say (NaN, infinities, a value without kind) becomes null.
pub fn from_struct(object: Struct) -> Map<String, Value> {
    object
        .fields
        .into_iter()
        .map(|(name, value)| (name, from_value(value)))
        .collect()
}

fn to_value(value: Value) -> WireValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(b) => Kind::BoolValue(b),
        Value::Number(n) => Kind::NumberValue(n.as_f64().unwrap_or(f64::NAN)),
        Value::String(s) => Kind::StringValue(s),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    WireValue { kind: Some(kind) }
}

fn from_value(value: WireValue) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(b)) => Value::Bool(b),
        Some(Kind::NumberValue(n)) => number(n),
        Some(Kind::StringValue(s)) => Value::String(s),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(from_value).collect()),
        Some(Kind::StructValue(object)) => Value::Object(from_struct(object)),
    }
}

/// Whole numbers come back as such, so that 5 does not return as 5.0. Beyond 2^53 a double no longer counts in ones.
fn number(n: f64) -> Value {
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if n.fract() == 0.0 && n.abs() <= WHOLE_MAX {
        return Value::from(n as i64);
    }
    Number::from_f64(n).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Guarantees: JSON comes back as it went, nested values and whole numbers included.
    #[test]
    fn json_survives() {
        let value =
            json!({ "a": [1, -2.5, "x", null, true, { "b": {} }], "probation": true, "executions": 5 });
        let Value::Object(object) = value else {
            unreachable!()
        };
        assert_eq!(from_struct(to_struct(object.clone())), object);
    }

    /// Guarantees: what is no JSON becomes null instead of an error or another number.
    #[test]
    fn what_is_no_json_is_null() {
        for kind in [
            None,
            Some(Kind::NumberValue(f64::NAN)),
            Some(Kind::NumberValue(f64::INFINITY)),
        ] {
            assert_eq!(from_value(WireValue { kind }), Value::Null);
        }
    }
}
