//! What a check found: one line for people, one object for programs.

use crate::cli::table::{Shown, Tone};
use serde_json::{Value, json};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, in one or two words.
    pub check: &'static str,
    /// How it is.
    pub level: Level,
    /// What was seen, with the numbers.
    pub said: String,
    /// What to do about it; empty when it is as it should be.
    pub next: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but someone should look.
    Warning,
    /// Does not work.
    Failed,
}

impl Level {
    /// The word at the beginning of the line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Failed => "failed",
        }
    }

    const fn tone(self) -> Tone {
        match self {
            Level::Ok => Tone::Good,
            Level::Warning => Tone::Warning,
            Level::Failed => Tone::Bad,
        }
    }
}

impl Finding {
    /// As it should be.
    pub fn ok(check: &'static str, said: impl Into<String>) -> Self {
        Finding {
            check,
            level: Level::Ok,
            said: said.into(),
            next: String::new(),
        }
    }

    /// Works, but someone should look.
    pub fn warning(check: &'static str, said: impl Into<String>, next: impl Into<String>) -> Self {
        Finding {
            check,
            level: Level::Warning,
            said: said.into(),
            next: next.into(),
        }
    }

    /// Does not work.
    pub fn failed(check: &'static str, said: impl Into<String>, next: impl Into<String>) -> Self {
        Finding {
            check,
            level: Level::Failed,
            said: said.into(),
            next: next.into(),
        }
    }

    /// The line for people: level, check, what was seen, what to do next.
    pub fn line(&self) -> String {
        let said = Shown::plain(&self.said).text;
        let next = if self.next.is_empty() {
            String::new()
        } else {
            format!("; {}", self.next)
        };
        let level = format!("{:<8}", self.level.as_str());
        format!(
            "{} {:<14} {said}{next}",
            self.level.tone().paint(&level),
            self.check
        )
    }

    /// The object for programs.
    pub fn to_json(&self) -> Value {
        json!({ "check": self.check, "level": self.level.as_str(), "said": self.said, "next": self.next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: one line says how it is, what was seen and what to do, and has no control characters from outside.
    #[test]
    fn one_line_says_it_all() {
        let line = Finding::failed("REST", "it said\n\u{1b}[2J", "start it").line();
        assert!(
            line.ends_with("REST           it said  [2J; start it"),
            "{line:?}"
        );
        assert_eq!(Finding::ok("REST", "answers").to_json()["level"], "ok");
    }
}
