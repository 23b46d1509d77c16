//! Picking what a cell shows out of the JSON of an answer.

use super::table::{Shown, Tone};
use immune_domain::Timestamp;
use serde_json::Value;

/// A field as text; a dash where there is nothing.
pub fn text(row: &Value, pointer: &str) -> Shown {
    Shown::plain(match row.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        Some(other @ (Value::Number(_) | Value::Object(_))) => other.to_string(),
    })
}

/// A number with so many decimals.
pub fn number(row: &Value, pointer: &str, decimals: usize) -> Shown {
    match row.pointer(pointer).and_then(Value::as_f64) {
        Some(number) => Shown::plain(format!("{number:.decimals$}")),
        None => Shown::plain(""),
    }
}

/// A severity, 0 to 10.
pub fn severity(row: &Value, pointer: &str) -> Shown {
    let tone = match row.pointer(pointer).and_then(Value::as_f64) {
        Some(severity) if severity >= 7.0 => Tone::Bad,
        Some(severity) if severity > 0.0 => Tone::Warning,
        Some(_) | None => Tone::Plain,
    };
    number(row, pointer, 1).meant(tone)
}

/// How long ago a time was.
pub fn age(row: &Value, pointer: &str, now: Timestamp) -> Shown {
    match time(row, pointer) {
        None => Shown::plain(""),
        Some(at) if at > now => Shown::plain(format!("in {}", span(at.since(now).as_secs()))),
        Some(at) => Shown::plain(format!("{} ago", span(now.since(at).as_secs()))),
    }
}

/// A time in full.
pub fn moment(row: &Value, pointer: &str) -> Shown {
    Shown::plain(time(row, pointer).map(|at| at.to_string()).unwrap_or_default())
}

/// Times are epoch seconds in the whole REST API.
fn time(row: &Value, pointer: &str) -> Option<Timestamp> {
    Timestamp::from_epoch_seconds(row.pointer(pointer)?.as_f64()?)
}

/// A time span in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How a state of an agent, a case, a quarantine or a healing is meant.
pub fn state(row: &Value, pointer: &str) -> Shown {
    let shown = text(row, pointer);
    let tone = match shown.text.as_str() {
        "healthy" | "healed" | "released" | "succeeded" | "confirmed" | "done" => Tone::Good,
        "suspect" | "awaiting_approval" | "heal_queued" | "healing" | "probation" | "verifying"
        | "partial" | "requested" | "running" | "releasing" => Tone::Warning,
        "infected" | "quarantined" | "rejected" | "failed" | "breached" => Tone::Bad,
        _ => Tone::Plain,
    };
    shown.meant(tone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Guarantees: what is absent is a dash, never a zero; times are read as epoch seconds and shown as ages.
    #[test]
    fn absent_is_a_dash() {
        let row = json!({ "n": 7.04, "at": 1_000.0, "later": 1_300.0, "list": ["a", "b"], "none": null, "on": true });
        let now = Timestamp::from_micros(1_150_000_000);
        assert_eq!(number(&row, "/n", 1).text, "7.0");
        assert_eq!(severity(&row, "/n").tone, Tone::Bad);
        assert_eq!(age(&row, "/at", now).text, "2 min ago");
        assert_eq!(age(&row, "/later", now).text, "in 2 min");
        assert_eq!(moment(&row, "/at").text, "1970-01-01T00:16:40.000Z");
        assert_eq!(text(&row, "/list").text, "a, b");
        assert_eq!(text(&row, "/on").text, "yes");
        for absent in ["/none", "/missing/deep"] {
            assert_eq!(text(&row, absent).text, "-");
            assert_eq!(number(&row, absent, 0).text, "-");
            assert_eq!(age(&row, absent, now).text, "-");
        }
    }
}
