//! The bounds of the schema are those that hold.

use immune_domain::policy::{Policies, Rule};
use immune_resources::policies::crd;
use serde_json::{Value, json};

/// A number that may be set: its path, bounds and whether it is whole.
struct Number {
    path: Vec<String>,
    low: f64,
    high: f64,
    is_whole: bool,
}

fn numbers(schema: &Value, path: &[String], found: &mut Vec<Number>) {
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = [path, &[snake(name)]].concat();
        let kind = schema["type"].as_str().unwrap_or_default();
        match (name.as_str(), kind) {
            ("ladders", _) => {}
            (_, "object") => numbers(schema, &path, found),
            (_, "integer" | "number") => found.push(Number {
                low: schema["minimum"]
                    .as_f64()
                    .unwrap_or_else(|| panic!("{path:?} has no minimum")),
                high: schema["maximum"]
                    .as_f64()
                    .unwrap_or_else(|| panic!("{path:?} has no maximum")),
                is_whole: kind == "integer",
                path,
            }),
            _ => {}
        }
    }
}

fn snake(camel: &str) -> String {
    let mut snake = String::new();
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Whether the file's policy refuses this value for being out of bounds, whatever else it says.
fn is_refused(number: &Number, value: f64) -> bool {
    let value = if number.is_whole {
        json!(value as i64)
    } else {
        json!(value)
    };
    let (field, inner) = number.path.split_first().unwrap();
    let value = inner
        .iter()
        .rev()
        .fold(value, |value, field| json!({ field: value }));
    let rule = Rule {
        set: [(field.clone(), value)].into(),
        ..Rule::default()
    };
    let policies = Policies {
        rules: vec![rule],
        ..Policies::default()
    };
    let mut mistakes = Vec::new();
    policies.check("policy", &mut mistakes);
    // One below zero is no number of its type.
    let words = ["must be between", "invalid value"];
    mistakes
        .iter()
        .any(|mistake| words.iter().any(|words| mistake.contains(words)))
}

/// Guarantees: at each bound of the schema a value is accepted here, too, and just beyond it is refused here, too.
#[test]
fn bounds_are_the_same() {
    let crd = serde_json::to_value(crd()).unwrap();
    let set = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/set";
    let mut found = Vec::new();
    numbers(crd.pointer(set).unwrap(), &[], &mut found);
    assert!(found.len() >= 15, "{}", found.len());
    for number in &found {
        let step = if number.is_whole { 1.0 } else { 0.001 };
        for (bound, beyond) in [(number.low, -step), (number.high, step)] {
            assert!(!is_refused(number, bound), "{:?} = {bound}", number.path);
            assert!(
                is_refused(number, bound + beyond),
                "{:?} = {}",
                number.path,
                bound + beyond
            );
        }
    }
}
