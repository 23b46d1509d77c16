//! Claims of a token that Envoy's filter has verified, as the filter leaves them in the request's metadata.

use super::Named;
use crate::config;
use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};

/// The metadata of a checked request; `None` where there is none.
pub(crate) type Claims<'a> = Option<&'a Metadata>;

/// Where to look.
pub(super) struct Lookup {
    filter: String,
    key: Option<String>,
    agent: Path,
    run: Option<Path>,
}

/// The place of a claim.
struct Path {
    shown: String,
    parts: Vec<String>,
}

impl Path {
    fn new(text: &str) -> Self {
        let parts = match text.strip_prefix('/') {
            Some(path) => path.split('/').map(str::to_owned).collect(),
            None => vec![text.to_owned()],
        };
        Path {
            shown: text.to_owned(),
            parts,
        }
    }

    /// What is there; `None` when nothing is.
    fn find<'a>(&self, token: &'a Struct) -> Option<&'a Kind> {
        let (last, way) = self.parts.split_last()?;
        let mut place = token;
        for part in way {
            match place.fields.get(part)?.kind.as_ref()? {
                Kind::StructValue(inner) => place = inner,
                Kind::NullValue(_)
                | Kind::NumberValue(_)
                | Kind::StringValue(_)
                | Kind::BoolValue(_)
                | Kind::ListValue(_) => return None,
            }
        }
        place.fields.get(last)?.kind.as_ref()
    }

    /// The text there.
    fn text(&self, token: &Struct) -> Result<Option<String>, String> {
        match self.find(token) {
            None | Some(Kind::NullValue(_)) => Ok(None),
            Some(Kind::StringValue(text)) => Ok(Some(text.clone())),
            Some(Kind::NumberValue(_) | Kind::BoolValue(_) | Kind::StructValue(_) | Kind::ListValue(_)) => {
                Err(format!("claim {} is no text", self.shown))
            }
        }
    }
}

impl Lookup {
    pub(super) fn new(claim: &config::Claim) -> Self {
        Lookup {
            filter: claim.filter.clone(),
            key: claim.key.clone(),
            agent: Path::new(&claim.agent),
            run: claim.run.as_deref().map(Path::new),
        }
    }

    /// For messages.
    pub(super) fn name(&self) -> &str {
        &self.agent.shown
    }

    pub(super) fn find(&self, claims: Claims<'_>) -> Result<Option<Named>, String> {
        let Some(stored) = claims.and_then(|metadata| metadata.filter_metadata.get(&self.filter)) else {
            return Ok(None);
        };
        let mut named: Option<Named> = None;
        for token in self.tokens(stored) {
            let Some(agent) = self.agent.text(token)? else {
                continue;
            };
            let run = match &self.run {
                Some(path) => path.text(token)?,
                None => None,
            };
            match &named {
                Some(before) if before.agent != agent || before.run != run => {
                    return Err("tokens name different agents".to_owned());
                }
                Some(_) => {}
                None => named = Some(Named { agent, run }),
            }
        }
        Ok(named)
    }

    /// The tokens that the filter has stored.
    fn tokens<'a>(&self, stored: &'a Struct) -> Vec<&'a Struct> {
        let payload = |value: &'a Value| match value.kind.as_ref()? {
            Kind::StructValue(token) => Some(token),
            Kind::NullValue(_)
            | Kind::NumberValue(_)
            | Kind::StringValue(_)
            | Kind::BoolValue(_)
            | Kind::ListValue(_) => None,
        };
        match &self.key {
            Some(key) => stored.fields.get(key).and_then(payload).into_iter().collect(),
            None => stored.fields.values().filter_map(payload).collect(),
        }
    }
}
