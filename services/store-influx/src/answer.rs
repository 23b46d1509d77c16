//! What `/query` answers: JSON documents one after the other, each with a part of the rows.

use crate::trouble::{Trouble, short};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// The rows of one series of one statement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    /// Tags that the statement grouped by.
    pub(crate) tags: HashMap<String, String>,
    columns: Arc<HashMap<String, usize>>,
    values: Vec<Vec<Value>>,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    columns: &'a HashMap<String, usize>,
    values: &'a [Value],
}

impl Series {
    /// The rows in the order of the answer.
    pub(crate) fn rows(&self) -> impl DoubleEndedIterator<Item = Row<'_>> + ExactSizeIterator {
        self.values.iter().map(|values| Row {
            columns: &self.columns,
            values,
        })
    }
}

impl<'a> Row<'a> {
    fn get(self, column: &str) -> Option<&'a Value> {
        self.columns.get(column).and_then(|place| self.values.get(*place))
    }

    /// A whole number, if there is one.
    pub(crate) fn int(self, column: &str) -> Option<i64> {
        self.get(column).and_then(|value| {
            // A sum over nothing but whole numbers may come as `5.0` from some servers.
            value
                .as_i64()
                .or_else(|| value.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64))
        })
    }

    /// A number, if there is one.
    pub(crate) fn float(self, column: &str) -> Option<f64> {
        self.get(column).and_then(Value::as_f64)
    }

    /// A yes or no, if there is one.
    pub(crate) fn yes(self, column: &str) -> Option<bool> {
        self.get(column).and_then(Value::as_bool)
    }

    /// A text, if there is one.
    pub(crate) fn text(self, column: &str) -> Option<&'a str> {
        self.get(column).and_then(Value::as_str)
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    results: Vec<Part>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    statement_id: usize,
    #[serde(default)]
    series: Vec<SeriesPart>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct SeriesPart {
    #[serde(default)]
    tags: Option<HashMap<String, String>>,
    columns: Vec<String>,
    #[serde(default)]
    values: Vec<Vec<Value>>,
}

/// The series of each statement. An error of any statement is an error of all.
pub(crate) fn parse(body: &[u8], statements: usize) -> Result<Vec<Vec<Series>>, Trouble> {
    let mut answers: Vec<Vec<Series>> = vec![Vec::new(); statements];
    for document in serde_json::Deserializer::from_slice(body).into_iter::<Document>() {
        let document = document.map_err(|e| Trouble::odd(format!("unreadable JSON: {e}")))?;
        if let Some(error) = document.error {
            return Err(Trouble::odd(short(&error)));
        }
        for part in document.results {
            if let Some(error) = part.error {
                return Err(Trouble::odd(short(&error)));
            }
            let answer = answers
                .get_mut(part.statement_id)
                .ok_or_else(|| Trouble::odd(format!("an answer to statement {}", part.statement_id)))?;
            for series in part.series {
                take(answer, series);
            }
        }
    }
    Ok(answers)
}

/// Appends a part to the series that it continues, or begins a new one.
fn take(answer: &mut Vec<Series>, part: SeriesPart) {
    let tags = part.tags.unwrap_or_default();
    let place = |columns: Vec<String>| {
        columns
            .into_iter()
            .enumerate()
            .map(|(n, name)| (name, n))
            .collect()
    };
    if let Some(last) = answer.last_mut()
        && last.tags == tags
    {
        last.values.extend(part.values);
        return;
    }
    let columns: HashMap<String, usize> = place(part.columns);
    // Thousands of series of one statement share their columns.
    let columns = match answer.last() {
        Some(last) if *last.columns == columns => last.columns.clone(),
        Some(_) | None => Arc::new(columns),
    };
    answer.push(Series {
        tags,
        columns,
        values: part.values,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two statements whose rows come in three documents, one series cut in the middle.
    /// Guarantees: each statement gets its rows, the cut series is whole, absent values are absent.
    #[test]
    fn parts_are_joined() {
        let body =
            br#"{"results":[{"statement_id":0,"series":[{"name":"m","tags":{"a":"x"},"columns":["time","v"],
            "values":[[1,2]],"partial":true}],"partial":true}]}
            {"results":[{"statement_id":0,"series":[{"name":"m","tags":{"a":"x"},"columns":["time","v"],
            "values":[[2,null]]},{"name":"m","tags":{"a":"y"},"columns":["time","v"],"values":[[1,5.0]]}]}]}
            {"results":[{"statement_id":1}]}"#;
        let answers = parse(body, 2).unwrap();
        assert_eq!(answers[0].len(), 2);
        let rows: Vec<Option<i64>> = answers[0][0].rows().map(|row| row.int("v")).collect();
        assert_eq!(rows, [Some(2), None]);
        assert_eq!(answers[0][1].rows().next().unwrap().int("v"), Some(5));
        assert!(answers[1].is_empty());
    }

    /// Guarantees: an error of a statement or of the server, and what is no answer, are errors.
    #[test]
    fn errors_are_errors() {
        for body in [
            &br#"{"results":[{"statement_id":0,"error":"database not found: x"}]}"#[..],
            br#"{"error":"unable to parse"}"#,
            b"<html>",
            br#"{"results":[{"statement_id":9}]}"#,
        ] {
            assert!(parse(body, 1).is_err());
        }
        assert!(parse(b"", 1).unwrap()[0].is_empty());
    }
}
