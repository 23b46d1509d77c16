//! From a request to an agent. Sources are asked in their order; the first that finds something decides. One that finds
//! something it cannot read ends the search: whoever could spoil one source must not choose the next.

mod claim;
mod forwarded;
mod header;
mod pattern;

pub(crate) use claim::Claims;
pub(crate) use header::Headers;
pub(crate) use pattern::Pattern;

use crate::config::{AgentName, Config, Source, SpiffeFrom};
use header::Found;
use immune_domain::is_well_formed;
use std::collections::HashMap;

/// The header in which a proxy hands on the client's certificate.
const FORWARDED: &str = "x-forwarded-client-cert";

/// What a request says, by whichever protocol it came.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) headers: Headers<'a>,
    /// The peer of the gateway's connection, where the gateway says it.
    pub(crate) principal: &'a str,
    /// What the gateway's filters have found out.
    pub(crate) claims: Claims<'a>,
}

/// Whose request it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identified {
    /// This agent's.
    Agent { run: String, agent: String },
    /// No source found anything.
    Nobody,
    /// A source found something that names no agent; a sentence about it.
    Unclear(String),
}

/// The configured sources, ready to be asked.
pub(crate) struct Identity {
    sources: Vec<Ready>,
    run: String,
}

enum Ready {
    Header {
        name: String,
        run: Option<String>,
    },
    Spiffe {
        from: SpiffeFrom,
        pattern: Option<Pattern>,
        agents: HashMap<String, AgentName>,
    },
    Claim(claim::Lookup),
}

/// An agent as a source names it.
struct Named {
    agent: String,
    run: Option<String>,
}

impl Identity {
    /// Of a configuration that was checked; a pattern that cannot be read finds nothing.
    pub(crate) fn new(config: &Config) -> Self {
        let ready = |source: &Source| match source {
            Source::Header(header) => Ready::Header {
                name: header.name.to_ascii_lowercase(),
                run: header.run_header.as_ref().map(|name| name.to_ascii_lowercase()),
            },
            Source::Spiffe(spiffe) => {
                let parse = |text: &String| Pattern::parse(text, &spiffe.agent, spiffe.run.as_deref()).ok();
                Ready::Spiffe {
                    from: spiffe.from,
                    pattern: spiffe.pattern.as_ref().and_then(parse),
                    agents: spiffe.agents.clone().into_iter().collect(),
                }
            }
            Source::JwtClaim(claim) => Ready::Claim(claim::Lookup::new(claim)),
        };
        Identity {
            sources: config.identity.iter().map(ready).collect(),
            run: config.run.clone(),
        }
    }

    /// Whose request it is.
    pub(crate) fn of(&self, asked: Asked<'_>) -> Identified {
        for source in &self.sources {
            match source.find(asked) {
                Ok(None) => {}
                Ok(Some(Named { agent, run })) => return self.named(source, agent, run),
                Err(problem) => return Identified::Unclear(format!("{}: {problem}", source.name())),
            }
        }
        Identified::Nobody
    }

    fn named(&self, source: &Ready, agent: String, run: Option<String>) -> Identified {
        let run = run.unwrap_or_else(|| self.run.clone());
        // What was sent is not repeated: it may be long, and it may be anything.
        for (what, text) in [("agent", &agent), ("run", &run)] {
            if !is_well_formed(text) {
                return Identified::Unclear(format!(
                    "{}: names no {what}: empty, too long, or with control characters",
                    source.name()
                ));
            }
        }
        Identified::Agent { run, agent }
    }

    /// Names of headers that sources read, in lower case.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().flat_map(|source| match source {
            Ready::Header { name, run } => [Some(name.as_str()), run.as_deref()].into_iter().flatten(),
            Ready::Spiffe { .. } | Ready::Claim(_) => [None, None].into_iter().flatten(),
        })
    }
}

impl Ready {
    /// For messages.
    fn name(&self) -> String {
        match self {
            Ready::Header { name, .. } => format!("header {name}"),
            Ready::Spiffe {
                from: SpiffeFrom::Principal,
                ..
            } => "spiffe id of the peer".to_owned(),
            Ready::Spiffe {
                from: SpiffeFrom::ForwardedClientCert,
                ..
            } => format!("spiffe id in header {FORWARDED}"),
            Ready::Claim(claim) => format!("claim {}", claim.name()),
        }
    }

    fn find(&self, asked: Asked<'_>) -> Result<Option<Named>, String> {
        match self {
            Ready::Header { name, run } => {
                let Some(agent) = one(asked.headers.get(name))? else {
                    return Ok(None);
                };
                let run = match run {
                    Some(header) => one(asked.headers.get(header))
                        .map_err(|problem| format!("header {header} {problem}"))?,
                    None => None,
                };
                Ok(Some(Named { agent, run }))
            }
            Ready::Spiffe {
                from,
                pattern,
                agents,
            } => {
                let id = match from {
                    SpiffeFrom::Principal => Some(asked.principal.to_owned()),
                    SpiffeFrom::ForwardedClientCert => match asked.headers.get(FORWARDED) {
                        // Elements are separated by commas, so that several headers are one with several elements.
                        Found::One(text) | Found::Several(text) => forwarded::last_spiffe_id(&text)?,
                        Found::None => None,
                        Found::NoText => return Err("is no text".to_owned()),
                    },
                };
                Ok(id.and_then(|id| spiffe(&id, pattern.as_ref(), agents)))
            }
            Ready::Claim(claim) => claim.find(asked.claims),
        }
    }
}

/// The agent of a SPIFFE ID. One that nobody has named may be that of something else.
fn spiffe(id: &str, pattern: Option<&Pattern>, agents: &HashMap<String, AgentName>) -> Option<Named> {
    if !id.starts_with("spiffe://") {
        return None;
    }
    if let Some(name) = agents.get(id) {
        return Some(Named {
            agent: name.agent.clone(),
            run: name.run.clone(),
        });
    }
    pattern?.find(id)
}

/// A header that says one thing. Envoy joins headers of one name by commas, and one that an agent has added beside
/// the gateway's would be part of the value; so a name with a comma is refused.
fn one(found: Found<'_>) -> Result<Option<String>, String> {
    match found {
        Found::None => Ok(None),
        Found::One(text) if text.contains(',') => Err("has a comma, or was sent more than once".to_owned()),
        Found::One(text) => Ok(Some(text.trim().to_owned())),
        Found::Several(_) => Err("was sent more than once".to_owned()),
        Found::NoText => Err("is no text".to_owned()),
    }
}

#[cfg(test)]
mod tests;
