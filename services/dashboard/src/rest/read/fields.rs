//! The fields of a body: each read with its rule, every mistake reported at once.
//!
//! A getter that finds a mistake notes it and returns a value that nobody sees, since [`Fields::done`] then refuses
//! the whole body.

use crate::problems::Answer;
use immune_domain::{AgentId, id};
use immune_runtime::http::problem::{FieldError, Problem};
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// The longest text that a field may have, bytes, where its rule says nothing else.
pub(crate) const TEXT_BYTES_MAX: usize = 4_096;
/// The most entries of a list or an object.
const ENTRIES_MAX: usize = 256;

/// Numbers that are not negative.
pub(crate) const POSITIVE: RangeInclusive<f64> = 0.0..=1e15;

/// Reads fields of one body.
pub(crate) struct Fields<'a> {
    body: &'a Map<String, Value>,
    mistakes: Vec<FieldError>,
}

impl<'a> Fields<'a> {
    pub fn of(body: &'a Map<String, Value>) -> Self {
        Fields {
            body,
            mistakes: Vec::new(),
        }
    }

    /// All mistakes, if there is one.
    pub fn done(self) -> Answer<()> {
        if self.mistakes.is_empty() {
            Ok(())
        } else {
            Err(Problem::fields(self.mistakes))
        }
    }

    /// Whether there was no mistake so far.
    pub fn is_sound(&self) -> bool {
        self.mistakes.is_empty()
    }

    /// Notes a mistake.
    pub fn mistake(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push(FieldError {
            field: field.into(),
            problem: problem.into(),
        });
    }

    /// Notes the mistakes of an object within the body.
    pub fn within(&mut self, name: &str, other: Fields<'_>) {
        for mistake in other.mistakes {
            self.mistake(format!("{name}.{}", mistake.field), mistake.problem);
        }
    }

    /// A field's value; null counts as absent.
    fn value(&self, name: &str) -> Option<&'a Value> {
        self.body.get(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// `value`, or the mistake that it is missing. A wrong value has been noted already.
    fn required<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        if value.is_none() && !self.has(name) {
            self.mistake(name, "is missing");
        }
        value.unwrap_or_default()
    }

    /// `agent_id`, which every record has.
    pub fn agent(&mut self) -> AgentId {
        let text = self.text("agent_id", id::ID_BYTES_MAX);
        // A text that is too long is no text here, and has been noted.
        if text.as_deref().is_some_and(|text| !id::is_well_formed(text)) {
            self.mistake(
                "agent_id",
                "is not an agent id: it is empty, `.`, `..` or has control characters",
            );
        }
        let text = self.required("agent_id", text);
        AgentId::from(text)
    }

    /// A text of at most so many bytes.
    pub fn text(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        match self.value(name)? {
            Value::String(text) if text.len() <= bytes_max => Some(text.clone()),
            Value::String(text) => {
                self.mistake(name, format!("has {} bytes, the most is {bytes_max}", text.len()));
                None
            }
            other => {
                self.mistake(name, format!("is {}, not a text", kind(other)));
                None
            }
        }
    }

    /// A text that must be there and not empty.
    pub fn required_text(&mut self, name: &str, bytes_max: usize) -> String {
        let text = self.text(name, bytes_max);
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            self.mistake(name, "is empty");
        }
        self.required(name, text)
    }

    /// A text where empty means none.
    pub fn some_text(&mut self, name: &str, bytes_max: usize) -> Option<String> {
        self.text(name, bytes_max).filter(|text| !text.is_empty())
    }

    /// One of these words.
    pub fn word(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(name, TEXT_BYTES_MAX)?;
        let known = words.iter().find(|word| **word == text).copied();
        if known.is_none() {
            let text: String = text.chars().take(64).collect();
            self.mistake(name, format!("is {text:?}, not one of {}", words.join(", ")));
        }
        known
    }

    /// One of these words, which must be there.
    pub fn required_word(&mut self, name: &str, words: &[&'static str]) -> &'static str {
        let word = self.word(name, words);
        self.required(name, word)
    }

    /// A number within a range.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f64>) -> Option<f64> {
        let value = self.value(name)?;
        match value.as_f64() {
            Some(number) if number.is_finite() && range.contains(&number) => Some(number),
            Some(number) => {
                self.mistake(
                    name,
                    format!("is {number}, not from {} to {}", range.start(), range.end()),
                );
                None
            }
            None => {
                self.mistake(name, format!("is {}, not a number", kind(value)));
                None
            }
        }
    }

    /// A number that must be there.
    pub fn required_number(&mut self, name: &str, range: RangeInclusive<f64>) -> f64 {
        let number = self.number(name, range);
        self.required(name, number)
    }

    /// A whole number from 0; `3.0` is one, too.
    pub fn integer(&mut self, name: &str, max: u64) -> Option<u64> {
        let value = self.value(name)?;
        let number = match (value.as_u64(), value.as_f64()) {
            (Some(number), _) => Some(number),
            (None, Some(float)) if float >= 0.0 && float.fract() == 0.0 && float <= 9e15 => {
                Some(float as u64)
            }
            (None, _) => None,
        };
        match number {
            Some(number) if number <= max => Some(number),
            Some(_) | None => {
                let given = if value.is_number() {
                    value.to_string()
                } else {
                    kind(value).to_owned()
                };
                self.mistake(name, format!("is {given}, not an integer from 0 to {max}"));
                None
            }
        }
    }

    /// A whole number that must be there.
    pub fn required_integer(&mut self, name: &str, max: u64) -> u64 {
        let number = self.integer(name, max);
        self.required(name, number)
    }

    /// True or false.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.value(name)?;
        if value.as_bool().is_none() {
            self.mistake(name, format!("is {}, not true or false", kind(value)));
        }
        value.as_bool()
    }

    /// True or false, which must be there.
    pub fn required_boolean(&mut self, name: &str) -> bool {
        let value = self.boolean(name);
        self.required(name, value)
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        let value = self.value(name)?;
        let list: Option<Vec<String>> = value.as_array().and_then(|items| {
            items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect()
        });
        match list {
            Some(list) if list.len() <= ENTRIES_MAX => Some(list),
            Some(list) => {
                self.mistake(
                    name,
                    format!("has {} entries, the most is {ENTRIES_MAX}", list.len()),
                );
                None
            }
            None => {
                self.mistake(name, "is not a list of texts");
                None
            }
        }
    }

    /// A list of texts that must be there.
    pub fn required_texts(&mut self, name: &str) {
        let list = self.texts(name);
        self.required(name, list);
    }

    /// An object whose values are numbers or null.
    pub fn numbers(&mut self, name: &str) {
        let Some(value) = self.value(name) else { return };
        let Some(map) = value.as_object() else {
            return self.mistake(name, format!("is {}, not an object", kind(value)));
        };
        if map.len() > ENTRIES_MAX {
            self.mistake(
                name,
                format!("has {} entries, the most is {ENTRIES_MAX}", map.len()),
            );
        }
        for (inner, value) in map.iter().take(ENTRIES_MAX) {
            if !value.is_number() && !value.is_null() {
                let inner: String = inner.chars().take(64).collect();
                self.mistake(
                    format!("{name}.{inner}"),
                    format!("is {}, not a number", kind(value)),
                );
            }
        }
    }

    /// An object with whatever is in it.
    pub fn object(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        let value = self.value(name)?;
        if !value.is_object() {
            self.mistake(name, format!("is {}, not an object", kind(value)));
        }
        value.as_object()
    }
}

/// What a value is, in words; never the value itself, which may be long or private.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mistakes(body: Value, read: impl FnOnce(&mut Fields<'_>)) -> Vec<String> {
        let Value::Object(body) = body else {
            panic!("tests give objects")
        };
        let mut fields = Fields::of(&body);
        read(&mut fields);
        let errors = fields
            .done()
            .err()
            .map(|problem| problem.errors)
            .unwrap_or_default();
        errors
            .into_iter()
            .map(|error| format!("{} {}", error.field, error.problem))
            .collect()
    }

    /// Guarantees: every wrong field is named once with its reason, and none hides another.
    #[test]
    fn all_mistakes_at_once() {
        let body =
            json!({ "agent_id": 7, "latency_ms": -1, "tool_calls": 1.5, "success": "yes", "retries": null });
        let found = mistakes(body, |fields| {
            fields.agent();
            fields.required_number("latency_ms", POSITIVE);
            fields.required_integer("tool_calls", 10);
            fields.required_boolean("success");
            fields.required_integer("retries", 10);
        });
        assert_eq!(
            found,
            [
                "agent_id is a number, not a text",
                "latency_ms is -1, not from 0 to 1000000000000000",
                "tool_calls is 1.5, not an integer from 0 to 10",
                "success is a text, not true or false",
                "retries is missing",
            ]
        );
    }

    /// Guarantees: an agent id is refused once, whatever is wrong with it.
    #[test]
    fn agent_ids() {
        for bad in [
            json!({}),
            json!({ "agent_id": "" }),
            json!({ "agent_id": ".." }),
            json!({ "agent_id": "a\nb" }),
        ] {
            assert_eq!(mistakes(bad.clone(), |f| drop(f.agent())).len(), 1, "{bad}");
        }
        let long = json!({ "agent_id": "x".repeat(513) });
        assert_eq!(
            mistakes(long, |f| drop(f.agent())),
            ["agent_id has 513 bytes, the most is 512"]
        );
        assert!(
            mistakes(json!({ "agent_id": "shop/checkout agent é" }), |f| drop(
                f.agent()
            ))
            .is_empty()
        );
    }

    /// Guarantees: whole numbers written as floats are taken, others are not rounded.
    #[test]
    fn integers() {
        let read = |value: Value| {
            mistakes(json!({ "n": value }), |f| {
                let _ = f.required_integer("n", 1_000_000);
            })
        };
        for good in [json!(0), json!(3), json!(3.0), json!(1_000_000)] {
            assert!(read(good.clone()).is_empty(), "{good}");
        }
        for bad in [
            json!(-1),
            json!(0.5),
            json!(1_000_001),
            json!(1e300),
            json!("3"),
            json!(true),
            json!([]),
        ] {
            assert_eq!(read(bad.clone()).len(), 1, "{bad}");
        }
    }
}
