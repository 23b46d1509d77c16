//! Names with a `*` at either end.

use serde::{Deserialize, Serialize};

/// A text to compare with, ASCII letter case aside; `*` at the start, the end or both stands for anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern {
    core: String,
    open_start: bool,
    open_end: bool,
}

impl Pattern {
    /// Whether `text` is of this form.
    pub fn fits(&self, text: &str) -> bool {
        let (text, core) = (text.as_bytes(), self.core.as_bytes());
        if text.len() < core.len() {
            return false;
        }
        match (self.open_start, self.open_end) {
            (false, false) => text.eq_ignore_ascii_case(core),
            (false, true) => text[..core.len()].eq_ignore_ascii_case(core),
            (true, false) => text[text.len() - core.len()..].eq_ignore_ascii_case(core),
            (true, true) => {
                core.is_empty()
                    || text
                        .windows(core.len())
                        .any(|part| part.eq_ignore_ascii_case(core))
            }
        }
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        let open_start = text.starts_with('*');
        let rest = text.strip_prefix('*').unwrap_or(&text);
        let open_end = rest.ends_with('*') || (open_start && rest.is_empty());
        let core = rest.strip_suffix('*').unwrap_or(rest).to_owned();
        Pattern {
            core,
            open_start,
            open_end,
        }
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        let star = |open| if open { "*" } else { "" };
        if pattern.core.is_empty() && pattern.open_start {
            return "*".to_owned();
        }
        format!(
            "{}{}{}",
            star(pattern.open_start),
            pattern.core,
            star(pattern.open_end)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: each form of star means what it says, and the text form survives a round trip.
    #[test]
    fn stars_stand_for_anything() {
        let cases = [
            ("ai", vec!["ai", "AI"], vec!["aix", "xai", ""]),
            ("ai.*", vec!["ai.", "ai.x"], vec!["ai", "xai."]),
            (
                "*.doStream",
                vec!["ai.streamText.doStream", ".DoStream"],
                vec!["doStream", "a.doStreamX"],
            ),
            ("*mid*", vec!["mid", "amidst"], vec!["mi", "m-id"]),
            ("*", vec!["", "anything"], vec![]),
        ];
        for (text, fit, unfit) in cases {
            let pattern = Pattern::from(text.to_owned());
            assert!(fit.iter().all(|t| pattern.fits(t)), "{text} should fit {fit:?}");
            assert!(
                !unfit.iter().any(|t| pattern.fits(t)),
                "{text} should not fit {unfit:?}"
            );
            assert_eq!(String::from(pattern), text);
        }
    }
}
