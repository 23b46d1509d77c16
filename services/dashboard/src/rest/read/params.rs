//! The query of a request.

use crate::problems::{Answer, field};
use axum::extract::{FromRequestParts, Query};
use axum::http::Uri;
use axum::http::request::Parts;
use immune_domain::{AgentId, id};
use immune_runtime::http::problem::Problem;
use std::fmt::Display;
use std::str::FromStr;

/// The parameters as given; an empty value counts as not given, of several of a name the last counts.
#[derive(Debug, Clone)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub fn of(uri: &Uri) -> Answer<Self> {
        match Query::<Vec<(String, String)>>::try_from_uri(uri) {
            Ok(Query(pairs)) => Ok(Params(pairs)),
            Err(_) => Err(field("query", "cannot be read as name=value pairs")),
        }
    }

    /// A parameter's text.
    pub fn text(&self, name: &str) -> Answer<Option<String>> {
        let value = self
            .0
            .iter()
            .rev()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone());
        match value {
            Some(text) if text.len() > id::ID_BYTES_MAX => Err(field(
                name,
                format!("has {} bytes, the most is {}", text.len(), id::ID_BYTES_MAX),
            )),
            Some(text) if text.is_empty() => Ok(None),
            value => Ok(value),
        }
    }

    /// A parameter that must be there.
    pub fn required(&self, name: &str) -> Answer<String> {
        self.text(name)?.ok_or_else(|| field(name, "is missing"))
    }

    /// The agent that a parameter names.
    pub fn agent(&self, name: &str) -> Answer<Option<AgentId>> {
        match self.text(name)? {
            None => Ok(None),
            Some(text) if id::is_well_formed(&text) => Ok(Some(AgentId::from(text))),
            Some(_) => Err(field(
                name,
                "is not an agent id: control characters, `.` and `..` are not allowed",
            )),
        }
    }

    /// The agents that a parameter names, once for each; at most `max`, each once.
    pub fn agents(&self, name: &str, max: usize) -> Answer<Vec<AgentId>> {
        let mut agents = Vec::new();
        let named = self
            .0
            .iter()
            .filter(|(known, text)| known == name && !text.is_empty());
        for (_, text) in named {
            if !id::is_well_formed(text) {
                return Err(field(name, "names what is not an agent id"));
            }
            let agent = AgentId::from(text.as_str());
            if agents.contains(&agent) {
                continue;
            }
            if agents.len() == max {
                return Err(field(name, format!("names more than {max} agents")));
            }
            agents.push(agent);
        }
        Ok(agents)
    }

    /// The agent that `agent_id` must name.
    pub fn required_agent(&self) -> Answer<AgentId> {
        self.agent("agent_id")?
            .ok_or_else(|| field("agent_id", "is missing"))
    }

    /// A parameter that is read from its text; `wanted` says what it should be.
    pub fn parsed<T: FromStr>(&self, name: &str, wanted: impl Display) -> Answer<Option<T>> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| field(name, format!("is {text:?}, not {wanted}")))
    }

    /// How many rows: at least 1; more than `max` is `max`.
    pub fn limit(&self, default: u32, max: u32) -> Answer<u32> {
        match self.parsed::<u64>("limit", "an integer of at least 1")? {
            None => Ok(default),
            Some(0) => Err(field("limit", "is 0, not an integer of at least 1")),
            Some(limit) => Ok(u32::try_from(limit).unwrap_or(u32::MAX).min(max)),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        Params::of(&parts.uri)
    }
}
