//! Tables for people, from the JSON that the server answered.
//!
//! To add a column: a [`Column`] in the list of its command, with the function that picks its text.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};
use immune_domain::Timestamp;
use serde_json::Value;
use std::io::IsTerminal;

/// One column of a list.
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// The cell of a row; the time is now.
    pub cell: fn(&Value, Timestamp) -> Shown,
}

/// What a cell shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The text, without control characters.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
}

/// How a text is meant; a colour on a terminal and nothing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// As it should be.
    Good,
    /// Someone should look.
    Warning,
    /// Wrong.
    Bad,
}

impl Tone {
    /// The text in its colour, if standard output wants colours.
    pub fn paint(self, text: &str) -> String {
        let code = match self {
            Tone::Plain => return text.to_owned(),
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
        };
        if wants_colour() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Whether standard output is a terminal whose owner has not asked for no colour (no-color.org).
fn wants_colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// What stands where nothing is known.
const NOTHING: &str = "-";

impl Shown {
    /// Plain text. Control characters are dropped: names come from telemetry and must not drive the terminal.
    pub fn plain(text: impl AsRef<str>) -> Self {
        let text: String = text
            .as_ref()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let text = text.trim();
        Shown {
            text: if text.is_empty() { NOTHING } else { text }.to_owned(),
            tone: Tone::Plain,
        }
    }

    /// The same text, meant so.
    pub fn meant(self, tone: Tone) -> Self {
        Shown { tone, ..self }
    }
}

/// A table of rows, as wide as the terminal. Ids are never broken, so that they can be copied; only the last column
/// wraps.
pub fn list(columns: &[Column], rows: &[Value], now: Timestamp) -> String {
    let mut table = Table::new();
    table.set_header(
        columns
            .iter()
            .map(|column| Cell::new(column.title).add_attribute(Attribute::Bold)),
    );
    for row in rows {
        table.add_row(columns.iter().map(|column| cell((column.cell)(row, now))));
    }
    lines(table)
}

/// Names and values, one a line; what is not known is left out.
pub fn facts(rows: Vec<(&str, Shown)>) -> String {
    let mut table = Table::new();
    for (name, shown) in rows.into_iter().filter(|(_, shown)| shown.text != NOTHING) {
        table.add_row([Cell::new(name).add_attribute(Attribute::Bold), cell(shown)]);
    }
    lines(table)
}

/// The narrowest that the last column is made, characters.
const LAST_COLUMN_MIN: u16 = 24;

fn lines(mut table: Table) -> String {
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    let last = table.column_count().saturating_sub(1);
    for (i, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if i == last { 0 } else { 2 }));
        column.set_constraint(if i == last {
            ColumnConstraint::LowerBoundary(Width::Fixed(LAST_COLUMN_MIN))
        } else {
            ColumnConstraint::ContentWidth
        });
    }
    table.trim_fmt()
}

fn cell(shown: Shown) -> Cell {
    let cell = Cell::new(shown.text);
    if !wants_colour() {
        return cell;
    }
    match shown.tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warning => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Guarantees: away from a terminal a table is plain text, one line a row, without control characters, and what
    /// is not known is a dash.
    #[test]
    fn a_table_is_plain_text() {
        let columns = [
            Column {
                title: "AGENT",
                cell: |row, _| Shown::plain(row["id"].as_str().unwrap_or_default()),
            },
            Column {
                title: "STATUS",
                cell: |row, _| Shown::plain(row["s"].as_str().unwrap_or_default()),
            },
        ];
        let long = "x".repeat(300);
        let rows = [
            json!({ "id": "shop/a\u{1b}[31m", "s": long }),
            json!({ "id": "b" }),
        ];
        let text = list(&columns, &rows, Timestamp::EPOCH);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "AGENT        STATUS",
                &format!("shop/a [31m  {long}"),
                "b            -"
            ]
        );
        assert!(!text.contains('\u{1b}'));
    }
}
