//! Text for InfluxDB: line protocol to write, InfluxQL to ask. Whatever the text holds, it stays one value.

use std::fmt::Write;

/// A tag's value as it is stored. Line protocol has no way to write a line break, a backslash before a separator, or
/// nothing at all in a tag, so these are written as `%XX`; every other text stays as it is, for people to read.
pub(crate) fn tag_value(text: &str) -> String {
    if text.is_empty() {
        return "%".to_owned();
    }
    let mut stored = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '%' || c == '\\' || c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                let _ = write!(stored, "%{byte:02X}");
            }
        } else {
            stored.push(c);
        }
    }
    stored
}

/// The text that a stored tag value stands for; `None` when it was not written by [`tag_value`].
pub(crate) fn tag_text(stored: &str) -> Option<String> {
    if stored == "%" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(stored.len());
    let mut rest = stored.as_bytes();
    while let [byte, after @ ..] = rest {
        if *byte == b'%' {
            let (hex, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// A string literal of InfluxQL.
pub(crate) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// An identifier of InfluxQL.
pub(crate) fn identifier(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// One point in line protocol, being written.
pub(crate) struct Line {
    text: String,
    has_field: bool,
}

impl Line {
    /// A point of a measurement whose name needs no escaping.
    pub(crate) fn of(measurement: &'static str) -> Self {
        Line {
            text: measurement.to_owned(),
            has_field: false,
        }
    }

    /// Adds a tag; before any field.
    pub(crate) fn tag(mut self, name: &'static str, text: &str) -> Self {
        self.text.push(',');
        self.text.push_str(name);
        self.text.push('=');
        for c in tag_value(text).chars() {
            if matches!(c, ',' | '=' | ' ') {
                self.text.push('\\');
            }
            self.text.push(c);
        }
        self
    }

    fn name(&mut self, name: &str) {
        self.text.push(if self.has_field { ',' } else { ' ' });
        self.has_field = true;
        self.text.push_str(name);
        self.text.push('=');
    }

    /// A whole number.
    pub(crate) fn int(&mut self, name: &str, value: i64) -> &mut Self {
        self.name(name);
        let _ = write!(self.text, "{value}i");
        self
    }

    /// A count; beyond 2^63 it wraps, and [`count`] undoes that.
    pub(crate) fn count(&mut self, name: &str, value: u64) -> &mut Self {
        self.int(name, value as i64)
    }

    /// A number, if InfluxDB can hold it: it has no infinity and no NaN.
    pub(crate) fn float(&mut self, name: &str, value: f64) -> &mut Self {
        if value.is_finite() {
            self.name(name);
            let _ = write!(self.text, "{value:e}");
        }
        self
    }

    /// A yes or no.
    pub(crate) fn yes(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
        self
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        self.text.push('"');
        for c in value.chars() {
            if matches!(c, '"' | '\\') {
                self.text.push('\\');
            }
            self.text.push(c);
        }
        self.text.push('"');
        self
    }

    /// A text that may be unknown; then the field is left out.
    pub(crate) fn known(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// The whole line, without its end.
    pub(crate) fn at(self, nanos: i64) -> String {
        format!("{} {nanos}", self.text)
    }
}

/// What [`Line::count`] wrote.
pub(crate) fn count(stored: i64) -> u64 {
    stored as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Guarantees: every text becomes a tag value that line protocol can carry, and comes back as it was.
        #[test]
        fn tags_come_back(text in any::<String>()) {
            let stored = tag_value(&text);
            prop_assert!(!stored.is_empty() && !stored.contains('\\') && !stored.chars().any(char::is_control));
            prop_assert_eq!(tag_text(&stored), Some(text));
        }

        /// Guarantees: a literal ends where it should: every quote within is escaped.
        #[test]
        fn literals_are_closed(text in any::<String>()) {
            let quoted = literal(&text);
            let inner = &quoted[1..quoted.len() - 1];
            let mut escaped = false;
            for c in inner.chars() {
                prop_assert!(escaped || c != '\'');
                prop_assert!(c != '\n');
                escaped = c == '\\' && !escaped;
            }
            prop_assert!(!escaped);
        }
    }

    /// Guarantees: the forms of line protocol, and what is not ours is not taken for a text of ours.
    #[test]
    fn lines_have_their_form() {
        let mut line = Line::of("m").tag("a", "x, y=z\\\n%");
        line.int("i", -1)
            .count("u", u64::MAX)
            .float("f", 0.5)
            .float("nan", f64::NAN)
            .yes("b", true)
            .text("s", "say \"\\\"")
            .known("n", None);
        assert_eq!(
            line.at(7),
            r#"m,a=x\,\ y\=z%5C%0A%25 i=-1i,u=-1i,f=5e-1,b=true,s="say \"\\\"" 7"#
        );
        assert_eq!(count(-1), u64::MAX);
        assert_eq!(tag_text("%4"), None);
        assert_eq!(tag_text("%FF"), None);
        assert_eq!(identifier("a\"b\\"), r#""a\"b\\""#);
    }
}
