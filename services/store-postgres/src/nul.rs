//! Zero characters, which PostgreSQL keeps in no text and no jsonb. They come in posted records and in the words of
//! levers; they are stored escaped and come back as they were.
//!
//! U+F8FF, a character for private use, marks them: mark and `0` for a zero character, mark and `1` for the mark.

use std::borrow::Cow;

const MARK: char = '\u{F8FF}';

/// A text as it is stored.
pub(crate) fn hide(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', MARK]) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace(MARK, "\u{F8FF}1").replace('\0', "\u{F8FF}0"))
}

/// A stored text as it was.
pub(crate) fn show(text: &str) -> Cow<'_, str> {
    if !text.contains(MARK) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\u{F8FF}0", "\0").replace("\u{F8FF}1", "\u{F8FF}"))
}

/// A JSON text as it is stored.
pub(crate) fn hide_json(json: String) -> String {
    if !json.contains("\\u0000") && !json.contains(MARK) {
        return json;
    }
    let mut hidden = String::with_capacity(json.len() + 16);
    let mut rest = json.as_str();
    while let Some(at) = rest.find(['\\', MARK]) {
        let (before, found) = rest.split_at(at);
        hidden.push_str(before);
        let (text, length) = if found.starts_with(MARK) {
            ("\u{F8FF}1", MARK.len_utf8())
        } else if found.starts_with("\\u0000") {
            ("\u{F8FF}0", 6)
        } else {
            // A backslash stands before one more ASCII character, which may be a backslash itself.
            (&found[..2], 2)
        };
        hidden.push_str(text);
        rest = &found[length..];
    }
    hidden.push_str(rest);
    hidden
}

/// A stored JSON text as it was.
pub(crate) fn show_json(json: &str) -> Cow<'_, str> {
    if !json.contains(MARK) {
        return Cow::Borrowed(json);
    }
    Cow::Owned(
        json.replace("\u{F8FF}0", "\\u0000")
            .replace("\u{F8FF}1", "\u{F8FF}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Scenario: texts with zero characters, marks, both, and things that look like them.
    /// Guarantees: what is stored has no zero character, and what comes back is what was.
    #[test]
    fn what_is_hidden_comes_back() {
        let texts = [
            "",
            "plain",
            "\0",
            "a\0b\0",
            "\u{F8FF}",
            "\u{F8FF}0",
            "\u{F8FF}1\0",
            "\\u0000",
            "\\\0",
            "\\\\u0000\0",
            "\"\0\"",
            "\u{F8FF}\u{F8FF}00\0\0",
        ];
        for text in texts {
            assert!(!hide(text).contains('\0'));
            assert_eq!(show(&hide(text)), text);
            let value = json!({ text: [text, { "k": text }] });
            let hidden = hide_json(value.to_string());
            let seen_by_the_server: Value = serde_json::from_str(&hidden).unwrap();
            assert!(!format!("{seen_by_the_server:?}").contains("\\0"), "{hidden}");
            let back: Value = serde_json::from_str(&show_json(&hidden)).unwrap();
            assert_eq!(back, value);
            // jsonb writes the text anew, with the same characters.
            let back: Value = serde_json::from_str(&show_json(&seen_by_the_server.to_string())).unwrap();
            assert_eq!(back, value);
        }
    }
}
