//! What the server's refusals mean.

use crate::trouble::{Trouble, short};
use crate::version::Version;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// The longest that a server may ask to be left alone.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The body of an error, in the forms of 1.x (`error`), 2.x (`code`, `message`) and 3.x (`error`, `data`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Option<String>,
    message: Option<String>,
    data: Value,
}

/// One refused line, as 3.x names it.
#[derive(Deserialize)]
struct RefusedLine {
    /// From 1.
    line_number: usize,
    error_message: String,
}

/// The trouble that a status that is not a success stands for.
pub(super) fn refusal(status: StatusCode, body: &[u8], wait: Option<Duration>) -> Trouble {
    let text = String::from_utf8_lossy(body);
    let parsed: Body = serde_json::from_slice(body).unwrap_or_default();
    let said = parsed
        .error
        .or(parsed.message)
        .unwrap_or_else(|| text.into_owned());
    let why = match said.trim() {
        "" => status.to_string(),
        said => format!("{status}: {}", short(said)),
    };
    match status.as_u16() {
        401 | 403 => Trouble::Unready {
            why: format!("{why}; check user and password, or the token and what it may do"),
        },
        404 => Trouble::Unready { why },
        413 => Trouble::TooLarge,
        400 | 422 => Trouble::Refused {
            why,
            lines: refused_lines(&parsed.data),
        },
        // 1.x answers 500 where a policy is missing or a limit of the schema is reached; both need a person.
        500 if said.contains("not found") => Trouble::Unready { why },
        408 | 429 | 500..=599 => Trouble::Away { why, wait },
        _ => Trouble::odd(why),
    }
}

/// The lines that 3.x names, from 0.
fn refused_lines(data: &Value) -> Vec<(usize, String)> {
    let Ok(lines) = Vec::<RefusedLine>::deserialize(data) else {
        return Vec::new();
    };
    let lines = lines.into_iter().filter_map(|line| {
        let place = line.line_number.checked_sub(1)?;
        Some((place, short(&line.error_message)))
    });
    lines.collect()
}

/// An error within an answer: 1.x reports there what others report by status.
pub(super) fn query_error(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Odd { why } if why.contains("not found") || why.contains("authoriz") => {
            Trouble::Unready { why }
        }
        Trouble::Odd { why } if why.contains("timeout") || why.contains("shard is disabled") => {
            Trouble::away(why)
        }
        other => other,
    }
}

/// How long the server asks to be left alone.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

/// The version in the body of `/ping` or `/health`.
pub(super) fn version(body: &[u8]) -> Option<Version> {
    #[derive(Deserialize)]
    struct Said {
        version: String,
    }
    let said: Said = serde_json::from_slice(body).ok()?;
    Version::parse(&said.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> Trouble {
        refusal(StatusCode::from_u16(status).unwrap(), body.as_bytes(), None)
    }

    /// Guarantees: later, a person, the point, the size: each refusal is told apart in every generation's form.
    #[test]
    fn refusals_are_told_apart() {
        let missing = of(404, r#"{"error":"database not found: \"x\""}"#);
        assert!(
            matches!(&missing, Trouble::Unready { why } if why.contains("not found")),
            "{missing}"
        );
        assert!(matches!(
            of(500, r#"{"error":"retention policy not found: x"}"#),
            Trouble::Unready { .. }
        ));
        assert!(matches!(
            of(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#),
            Trouble::Unready { .. }
        ));
        for status in [429, 500, 502, 503, 504] {
            assert!(matches!(of(status, ""), Trouble::Away { .. }), "{status}");
        }
        assert!(matches!(of(413, "{}"), Trouble::TooLarge));
        let two = of(
            400,
            r#"{"code":"invalid","message":"unable to parse 'm': missing fields"}"#,
        );
        assert!(
            matches!(&two, Trouble::Refused { why, lines } if why.contains("missing fields") && lines.is_empty()),
            "{two}"
        );
        let three = of(
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=x",
               "line_number":2,"error_message":"no fields"}]}"#,
        );
        let Trouble::Refused { lines, .. } = three else {
            panic!("{three}")
        };
        assert_eq!(lines, [(1, "no fields".to_owned())]);
    }
}
