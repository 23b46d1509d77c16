//! Rows and JSON in the one form that is hashed: RFC 8785, <https://www.rfc-editor.org/rfc/rfc8785>.

use super::StoredRow;
use immune_domain::Timestamp;
use serde_json::{Number, Value};

/// The canonical bytes of a row; the order of the fields is that of RFC 8785.
pub(super) fn row(stored: &StoredRow) -> Vec<u8> {
    let row = &stored.row;
    let mut out = String::with_capacity(256);
    out.push_str("{\"actor\":");
    text(&mut out, &row.actor);
    out.push_str(",\"agent_id\":");
    match &row.agent {
        Some(agent) => text(&mut out, agent.as_str()),
        None => out.push_str("null"),
    }
    out.push_str(",\"at\":");
    text(&mut out, &time(row.at));
    out.push_str(",\"outcome\":");
    text(&mut out, &row.outcome);
    out.push_str(",\"payload\":");
    value(&mut out, &row.payload);
    out.push_str(",\"run_id\":");
    text(&mut out, row.run.as_str());
    out.push_str(",\"sequence\":");
    out.push_str(&stored.sequence.to_string());
    out.push_str(",\"type\":");
    text(&mut out, &row.kind);
    out.push('}');
    out.into_bytes()
}

/// A JSON value in canonical form.
pub fn canonical_json(json: &Value) -> String {
    let mut out = String::new();
    value(&mut out, json);
    out
}

/// A time as RFC 3339 with six digits of a second.
pub(super) fn time(at: Timestamp) -> String {
    // The domain prints milliseconds; what is below them follows.
    let mut text = at.to_string();
    text.pop();
    format!("{text}{:03}Z", at.as_micros().rem_euclid(1_000))
}

fn value(out: &mut String, json: &Value) {
    match json {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => self::number(out, number),
        Value::String(string) => text(out, string),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                value(out, item);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            // RFC 8785, 3.2.3: by UTF-16 code units, which differs from bytes beyond U+FFFF.
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (n, (name, field)) in fields.into_iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                text(out, name);
                out.push(':');
                value(out, field);
            }
            out.push('}');
        }
    }
}

/// RFC 8785, 3.2.2.2: short escapes where there are some, `\u00xx` for other control characters, nothing else.
fn text(out: &mut String, string: &str) {
    out.push('"');
    for character in string.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if u32::from(control) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// RFC 8785, 3.2.2.3: as ECMAScript prints it; integers with all their digits.
fn number(out: &mut String, number: &Number) {
    match number.as_f64() {
        Some(float) if number.is_f64() => out.push_str(&ecmascript(float)),
        _ => out.push_str(&number.to_string()),
    }
}

/// Number::toString of ECMA-262, 6.1.6.1.20, radix 10.
fn ecmascript(float: f64) -> String {
    if float == 0.0 {
        return "0".to_owned();
    }
    // The shortest digits that read back as the same number, the even ones of two; Rust's own `{:e}` takes the odd.
    let shortest = Value::from(float.abs()).to_string();
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{part}");
    let digits = all.trim_start_matches('0');
    let point = whole.len() as i32 + exponent.parse::<i32>().unwrap_or(0);
    let n = point - (all.len() - digits.len()) as i32;
    let digits = digits.trim_end_matches('0');
    let k = digits.len() as i32;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let sign = if float < 0.0 { "-" } else { "" };
    if k <= n && n <= 21 {
        format!("{sign}{digits}{}", zeros(n - k))
    } else if 0 < n && n <= 21 {
        let (whole, part) = digits.split_at(n as usize);
        format!("{sign}{whole}.{part}")
    } else if -6 < n && n <= 0 {
        format!("{sign}0.{}{digits}", zeros(-n))
    } else {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        let plus = if n > 0 { "+" } else { "" };
        format!("{sign}{first}{point}{rest}e{plus}{}", n - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action_log::{LinkHash, LogRow};
    use serde_json::json;

    /// Scenario: the example of RFC 8785, 3.2.2, and of its appendix B.
    /// Guarantees: canonical form is the standard's.
    #[test]
    fn json_is_written_as_rfc_8785_says() {
        let given: Value = serde_json::from_str(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
                "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
        )
        .unwrap();
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                        \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical_json(&given), expected);
        let names =
            json!({ "\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "ö": 7 });
        let expected = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical_json(&names), expected);
        for (bits, expected) in [
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(ecmascript(f64::from_bits(bits)), expected);
        }
        assert_eq!(
            canonical_json(&json!([u64::MAX, i64::MIN, 100.0])),
            "[18446744073709551615,-9223372036854775808,100]"
        );
    }

    /// Guarantees: the canonical form of a row, and its hash, stay what they are for ever: rows that were chained by
    /// an older version must verify.
    #[test]
    fn the_hash_of_a_row_never_changes() {
        let stored = StoredRow {
            sequence: 42,
            row: LogRow {
                run: "default".into(),
                at: Timestamp::from_micros(1_767_225_600_000_001),
                kind: "user_approved".to_owned(),
                agent: Some("agent-7".into()),
                actor: "ada".to_owned(),
                outcome: "done".to_owned(),
                payload: json!({ "severity": 8.0, "reason": "looks \"curable\"\n" }),
            },
            hash: None,
        };
        let canonical = String::from_utf8(row(&stored)).unwrap();
        let expected = r#"{"actor":"ada","agent_id":"agent-7","at":"2026-01-01T00:00:00.000001Z","outcome":"done","payload":{"reason":"looks \"curable\"\n","severity":8},"run_id":"default","sequence":42,"type":"user_approved"}"#;
        assert_eq!(canonical, expected);
        let as_json: Value = serde_json::from_str(&canonical).unwrap();
        assert_eq!(canonical_json(&as_json), expected);
        assert_eq!(LinkHash::ZERO.then_row(&stored).to_string(), HASH);
    }

    /// Computed with another program.
    const HASH: &str = "c958212fc650d72b52a4571930e1397c36c1d83ccd89da9860affe4a8294eb84";
}
