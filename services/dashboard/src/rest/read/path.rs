//! Ids in paths. They may hold slashes and anything else, percent-encoded.

use crate::problems::{Answer, field, no_case};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use immune_domain::{AgentId, CaseId, id};
use immune_runtime::http::problem::Problem;

/// The agent that the path names.
#[derive(Debug, Clone)]
pub(crate) struct AgentPath(pub AgentId);

/// The case that the path names.
#[derive(Debug, Clone)]
pub(crate) struct CasePath(pub CaseId);

/// What else the path names. The handler says when there is nothing of that name.
#[derive(Debug, Clone)]
pub(crate) struct NamePath(pub String);

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(NamePath(text)),
            Err(_) => Err(field("path", "is not UTF-8")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for AgentPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) if id::is_well_formed(&text) => Ok(AgentPath(AgentId::from(text))),
            Ok(_) | Err(_) => Err(field(
                "agent_id",
                format!(
                    "is not an agent id: 1 to {} bytes of UTF-8 without control characters",
                    id::ID_BYTES_MAX
                ),
            )),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CasePath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) if id::is_well_formed(&text) => Ok(CasePath(CaseId::from(text))),
            Ok(Path(text)) => Err(no_case(&text.chars().take(64).collect::<String>())),
            Err(_) => Err(field("case_id", "is not UTF-8")),
        }
    }
}
