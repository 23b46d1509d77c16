//! The deadline of a call as it travels: metadata `grpc-timeout`
//! (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).

use http::{HeaderMap, HeaderValue};
use std::time::Duration;

const NAME: &str = "grpc-timeout";
/// What eight digits can say in milliseconds: more than a day.
const MILLIS_MAX: u128 = 99_999_999;

/// How long the caller waits; `None` when it does not say, or says it in no form that the specification has.
pub(crate) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(NAME)?.to_str().ok()?;
    let unit_at = text.len().checked_sub(1)?;
    if unit_at == 0 || unit_at > 8 {
        return None;
    }
    let (digits, unit) = text.split_at_checked(unit_at)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// Says how long the caller waits, in milliseconds, at least one.
pub(crate) fn write(headers: &mut HeaderMap, wait: Duration) {
    let millis = wait.as_millis().clamp(1, MILLIS_MAX);
    let value = HeaderValue::from_str(&format!("{millis}m")).expect("digits and a letter are a header value");
    headers.insert(NAME, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &'static str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::from_static(text));
        read(&headers)
    }

    /// Guarantees: every unit of the specification is read, and what is none of its forms is no deadline.
    #[test]
    fn units_are_read() {
        assert_eq!(of("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(of("3M"), Some(Duration::from_secs(180)));
        assert_eq!(of("4S"), Some(Duration::from_secs(4)));
        assert_eq!(of("250m"), Some(Duration::from_millis(250)));
        assert_eq!(of("5u"), Some(Duration::from_micros(5)));
        assert_eq!(of("6n"), Some(Duration::from_nanos(6)));
        for text in ["", "S", "5", "5s", "-5S", "+5S", "1234567890S", "1.5S", "5 S"] {
            assert_eq!(of(text), None, "{text:?}");
        }
    }

    /// Guarantees: what is written is read back, and never as "no time at all".
    #[test]
    fn what_is_written_is_read() {
        let mut headers = HeaderMap::new();
        for (wait, read_back) in [
            (Duration::from_millis(10_000), Duration::from_millis(10_000)),
            (Duration::from_micros(3), Duration::from_millis(1)),
            (
                Duration::from_secs(u64::MAX / 1000),
                Duration::from_millis(99_999_999),
            ),
        ] {
            write(&mut headers, wait);
            assert_eq!(read(&headers), Some(read_back));
        }
    }
}
