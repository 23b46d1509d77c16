//! Where the name of an agent comes from.

use crate::identity::Pattern;
use immune_domain::is_well_formed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most SPIFFE IDs that are listed one by one.
const LISTED_MAX: usize = 10_000;

/// One source of identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A header of the checked request. The gateway must overwrite it: agents can write headers.
    Header(Header),
    /// The SPIFFE ID of the certificate that the agent has shown the gateway.
    Spiffe(Spiffe),
    /// A claim of a JSON web token that Envoy's filter has verified; over Envoy's protocol only.
    JwtClaim(Claim),
}

/// A header that names the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Which header; its value is the agent id.
    pub name: String,
    /// The header that names the run; default none. Where it is missing in a request, `gate.run` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_header: Option<String>,
}

/// A SPIFFE ID that names the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spiffe {
    /// Where the ID is found, default `principal`.
    #[serde(default)]
    pub from: SpiffeFrom,
    /// What IDs look like, for instance `spiffe://example.org/ns/{namespace}/sa/{account}`. `{name}` stands for
    /// characters of one part of the path, `{name...}` at the end for the rest, `*` for any one part; each part has
    /// one of them at most. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The agent id, made of the pattern's names, for instance `{namespace}/{account}`; default `{agent}`.
    #[serde(default = "agent_template")]
    pub agent: String,
    /// The run, made of the pattern's names; default `{run}` where the pattern has it, else `gate.run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Agents by their whole SPIFFE ID; looked at before the pattern.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agents: BTreeMap<String, AgentName>,
}

/// Where the SPIFFE ID is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpiffeFrom {
    /// The peer of the gateway's connection, as Envoy says (`attributes.source.principal`).
    #[default]
    Principal,
    /// The last element of the header `x-forwarded-client-cert`. Only for gateways that set it themselves
    /// (`SANITIZE_SET` or `APPEND_FORWARD`): any other lets agents write it.
    ForwardedClientCert,
}

/// An agent by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentName {
    /// Its id.
    pub agent: String,
    /// Its run; default `gate.run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// Claims that name the agent. A name is that of a claim at the top, or a path into it when it begins with a slash
/// (`/kubernetes.io/serviceaccount/name`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The claim that is the agent id.
    pub agent: String,
    /// The claim that is the run; default none. Where a token lacks it, `gate.run` holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The filter whose metadata holds the token, default `envoy.filters.http.jwt_authn`.
    #[serde(default = "jwt_filter")]
    pub filter: String,
    /// The key under which the filter stores the token (`payload_in_metadata`); default none: whatever it has stored,
    /// which must be of one mind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

fn agent_template() -> String {
    "{agent}".to_owned()
}

fn jwt_filter() -> String {
    "envoy.filters.http.jwt_authn".to_owned()
}

impl Source {
    pub(super) fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        match self {
            Source::Header(header) => header.check(&format!("{path}.header"), mistakes),
            Source::Spiffe(spiffe) => spiffe.check(&format!("{path}.spiffe"), mistakes),
            Source::JwtClaim(claim) => {
                let texts = [
                    ("agent", Some(&claim.agent)),
                    ("run", claim.run.as_ref()),
                    ("filter", Some(&claim.filter)),
                    ("key", claim.key.as_ref()),
                ];
                for (name, text) in texts {
                    if text.is_some_and(|text| text.is_empty() || text == "/") {
                        mistakes.push(format!("{path}.jwt_claim.{name} is empty"));
                    }
                }
            }
        }
    }
}

impl Header {
    fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let names = [
            ("name", Some(&self.name)),
            ("run_header", self.run_header.as_ref()),
        ];
        for (field, name) in names {
            if let Some(name) = name
                && http::HeaderName::try_from(name).is_err()
            {
                mistakes.push(format!("{path}.{field} = {name:?}: is no name of a header"));
            }
        }
    }
}

impl Spiffe {
    fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if self.pattern.is_none() && self.agents.is_empty() {
            mistakes.push(format!("{path}: must have a pattern, agents, or both"));
        }
        if let Some(pattern) = &self.pattern
            && let Err(problem) = Pattern::parse(pattern, &self.agent, self.run.as_deref())
        {
            mistakes.push(format!("{path}.pattern = {pattern:?}: {problem}"));
        }
        if self.agents.len() > LISTED_MAX {
            mistakes.push(format!(
                "{path}.agents has {} entries: at most {LISTED_MAX} are allowed; use a pattern",
                self.agents.len()
            ));
        }
        for (id, name) in &self.agents {
            let run = name.run.as_deref().unwrap_or("default");
            if !id.starts_with("spiffe://") || !is_well_formed(&name.agent) || !is_well_formed(run) {
                mistakes.push(format!(
                    "{path}.agents[{id:?}]: must be a SPIFFE ID with the names of an agent and a run"
                ));
            }
        }
    }
}
