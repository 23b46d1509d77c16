//! Translation between wire and domain, one file per domain room.
//!
//! Domain to wire is `From`, wire to domain `TryFrom` with [`WireError`]: what cannot be a domain value is refused
//! with the path of its field. Nothing is decided here and nothing is lost on the way.

pub mod bus;
pub mod case;
pub mod case_state;
pub mod decision;
pub mod fleet;
pub mod healing;
pub mod infection;
pub mod json;
pub mod memory;
pub mod profile;
pub mod quarantine;
pub mod time;
pub mod vitals;

#[cfg(test)]
mod arbitrary;

use crate::v1;
use immune_domain::{AgentKey, ErrorKind, RunId, id};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A message that cannot be a domain value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct WireError {
    /// Path of the field, as the contract names it: `infection.evidence[2].timestamp`.
    pub field: String,
    /// What is wrong with it, the value included.
    pub problem: String,
}

impl WireError {
    /// Names a field and its problem.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        WireError {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The sender's mistake: sending it again cannot succeed.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The same error seen from the message that holds the field.
    pub fn under(self, parent: impl Display) -> Self {
        WireError {
            field: format!("{parent}.{}", self.field),
            problem: self.problem,
        }
    }
}

/// The value of a message field that must be there.
pub fn required<T>(field: &str, value: Option<T>) -> Result<T, WireError> {
    value.ok_or_else(|| WireError::new(field, "is missing"))
}

/// The domain value of a message field that must be there.
pub fn nested<W, D>(field: &str, value: Option<W>) -> Result<D, WireError>
where
    D: TryFrom<W, Error = WireError>,
{
    D::try_from(required(field, value)?).map_err(|error| error.under(field))
}

/// The domain value of a message field that may be absent.
pub fn optional<W, D>(field: &str, value: Option<W>) -> Result<Option<D>, WireError>
where
    D: TryFrom<W, Error = WireError>,
{
    value
        .map(D::try_from)
        .transpose()
        .map_err(|error| error.under(field))
}

/// The domain values of a repeated field.
pub fn list<W, D>(field: &str, values: Vec<W>) -> Result<Vec<D>, WireError>
where
    D: TryFrom<W, Error = WireError>,
{
    let each = values.into_iter().enumerate();
    each.map(|(i, value)| D::try_from(value).map_err(|error| error.under(format_args!("{field}[{i}]"))))
        .collect()
}

/// A word of a closed list.
pub fn word<D>(field: &str, text: &str) -> Result<D, WireError>
where
    D: FromStr<Err: Display>,
{
    text.parse()
        .map_err(|error: D::Err| WireError::new(field, error.to_string()))
}

/// An id from outside, well-formed by [`id::is_well_formed`].
pub fn id<D: From<String>>(field: &str, text: String) -> Result<D, WireError> {
    if id::is_well_formed(&text) {
        return Ok(D::from(text));
    }
    let problem = match text.len() {
        0 => "is missing".to_owned(),
        length if length > id::ID_BYTES_MAX => {
            format!("has {length} bytes, the most is {}", id::ID_BYTES_MAX)
        }
        _ => format!("{text:?} is not an id: control characters, `.` and `..` are not allowed"),
    };
    Err(WireError::new(field, problem))
}

/// A run id; empty means the default run.
pub fn run(field: &str, text: String) -> Result<RunId, WireError> {
    if text.is_empty() {
        Ok(RunId::default())
    } else {
        id(field, text)
    }
}

/// Runs by name; none is no mistake.
pub fn runs(field: &str, texts: Vec<String>) -> Result<Vec<RunId>, WireError> {
    texts.into_iter().map(|text| id(field, text)).collect()
}

/// A finite number within a range.
fn number(field: &str, value: f64, range: RangeInclusive<f64>) -> Result<f64, WireError> {
    if value.is_finite() && range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (range.start(), range.end());
    let problem = if *high < f64::MAX {
        format!("{value} is not a number from {low} to {high}")
    } else if *low > f64::MIN {
        format!("{value} is not a finite number of at least {low}")
    } else {
        format!("{value} is not a finite number")
    };
    Err(WireError::new(field, problem))
}

/// Not negative.
const POSITIVE: RangeInclusive<f64> = 0.0..=f64::MAX;
/// Of any sign.
const FINITE: RangeInclusive<f64> = f64::MIN..=f64::MAX;
/// A share of a whole, or a confidence.
const SHARE: RangeInclusive<f64> = 0.0..=1.0;

impl From<&AgentKey> for v1::AgentKey {
    fn from(key: &AgentKey) -> Self {
        v1::AgentKey {
            run_id: key.run.to_string(),
            agent_id: key.agent.to_string(),
        }
    }
}

impl From<AgentKey> for v1::AgentKey {
    fn from(key: AgentKey) -> Self {
        v1::AgentKey::from(&key)
    }
}

impl TryFrom<v1::AgentKey> for AgentKey {
    type Error = WireError;

    fn try_from(wire: v1::AgentKey) -> Result<Self, Self::Error> {
        Ok(AgentKey {
            run: run("run_id", wire.run_id)?,
            agent: id("agent_id", wire.agent_id)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::AgentId;

    fn key(run: &str, agent: &str) -> Result<AgentKey, WireError> {
        nested(
            "key",
            Some(v1::AgentKey {
                run_id: run.to_owned(),
                agent_id: agent.to_owned(),
            }),
        )
    }

    /// Guarantees: no run is the default run; an agent has to be named, and the refusal says where and why.
    #[test]
    fn keys_are_strict_about_the_agent_only() {
        assert_eq!(
            key("", "a"),
            Ok(AgentKey {
                run: RunId::default(),
                agent: AgentId::new("a")
            })
        );
        let refused = |run, agent| key(run, agent).expect_err("not a key").to_string();
        assert_eq!(refused("r", ""), "key.agent_id: is missing");
        assert!(refused("r", "a\nb").starts_with(r#"key.agent_id: "a\nb" is not an id"#));
        assert!(refused("..", "a").starts_with("key.run_id: "));
        assert_eq!(
            refused("r", &"x".repeat(513)),
            "key.agent_id: has 513 bytes, the most is 512"
        );
        let missing = nested::<v1::AgentKey, AgentKey>("key", None).expect_err("not a key");
        assert_eq!(
            (missing.to_string().as_str(), missing.kind()),
            ("key: is missing", ErrorKind::Invalid)
        );
    }
}
