//! Who asks, for which run.

use crate::problems::{Answer, field};
use crate::rest::read::params::Params;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use immune_domain::case::Case;
use immune_domain::{AgentId, AgentKey, ErrorKind, RunId, id};
use immune_runtime::access::Caller;
use immune_runtime::http::problem::Problem;

/// Header that names the run.
const RUN_HEADER: &str = "x-run-id";

/// A verified caller and the run that the request is about.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub caller: Caller,
    pub run: RunId,
}

impl Context {
    /// The run comes from the header, else from the query, else from the key, else it is the default run.
    pub fn resolve(caller: Caller, request: &Request) -> Answer<Self> {
        let header = request
            .headers()
            .get(RUN_HEADER)
            .filter(|value| !value.is_empty());
        let run = match header {
            Some(value) => {
                let text =
                    std::str::from_utf8(value.as_bytes()).map_err(|_| field("X-Run-Id", "is not UTF-8"))?;
                run_named("X-Run-Id", text)?
            }
            None => match Params::of(request.uri())?.text("run_id")? {
                Some(text) => run_named("run_id", &text)?,
                None => caller.runs.first().cloned().unwrap_or_default(),
            },
        };
        if !caller.may_use(&run) {
            return Err(Problem::new(
                ErrorKind::Forbidden,
                "access.run",
                format!(
                    "{} is bound to other runs than {:?}",
                    caller.person.subject,
                    run.as_str()
                ),
            ));
        }
        Ok(Context { caller, run })
    }

    /// An agent of the run.
    pub fn agent(&self, agent: AgentId) -> AgentKey {
        AgentKey {
            run: self.run.clone(),
            agent,
        }
    }

    /// Whether the caller may know of a case.
    pub fn may_see(&self, case: &Case) -> bool {
        self.caller.may_use(&case.key.run)
    }
}

fn run_named(name: &str, text: &str) -> Answer<RunId> {
    match id::is_well_formed(text) {
        true => Ok(RunId::new(text)),
        false => Err(field(
            name,
            format!(
                "is not a run id: 1 to {} bytes without control characters, not `.` or `..`",
                id::ID_BYTES_MAX
            ),
        )),
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Context {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Answer<Self> {
        // The guard puts it there for every endpoint that needs a caller; without it nobody was verified.
        parts.extensions.get::<Context>().cloned().ok_or_else(|| {
            Problem::new(
                ErrorKind::Unauthenticated,
                "access.unauthenticated",
                "nobody was verified",
            )
        })
    }
}
