//! Who may do what: every request passes [`guard`] before its handler.
//!
//! Without keys the listener must be a loopback address and whoever reaches it is `loopback`, with every right. With
//! keys each request presents one. What a role may do stands in one [`table`]; what the table does not name is
//! refused. Browsers are kept from lending their place on this machine to other sites ([`browser`]). Refused writes
//! are recorded ([`refusals`]).

pub mod browser;
pub mod refusals;
pub mod table;

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::context::Context;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use immune_domain::ErrorKind;
use immune_runtime::access::{Caller, KeyRing};
use immune_runtime::http::problem::Problem;
use refusals::Refused;
use std::sync::Arc;
use table::{Needs, Rule};

/// How callers are told apart.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    /// A loopback listener without keys: whoever is on this machine.
    Open,
    /// Each request presents a key.
    Keys(KeyRing),
}

impl Door {
    pub fn new(keys: KeyRing) -> Self {
        if keys.is_empty() {
            Door::Open
        } else {
            Door::Keys(keys)
        }
    }

    /// Name in `/api/status`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Door::Open => "open_loopback",
            Door::Keys(_) => "api_keys",
        }
    }

    /// The verified caller.
    fn identify(&self, headers: &HeaderMap) -> Answer<Caller> {
        match self {
            Door::Open => Ok(Caller::loopback()),
            Door::Keys(keys) => match presented(headers) {
                None => Err(unauthenticated(
                    "this needs an API key, as X-API-Key or Authorization: Bearer",
                )),
                Some(key) => keys
                    .verify(key)
                    .cloned()
                    .ok_or_else(|| unauthenticated("the API key is not known here")),
            },
        }
    }
}

/// The secret that a request presents.
fn presented(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(ErrorKind::Unauthenticated, "access.unauthenticated", detail)
}

fn forbidden(word: &str, detail: String) -> Problem {
    Problem::new(ErrorKind::Forbidden, word, detail)
}

/// Lets a request through to its handler, with its caller and run, or refuses it.
pub(crate) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let line = (request.method().clone(), request.uri().clone());
    if let Err(foreign) = browser::check(&app, &request) {
        return refuse(&app, &line, None, foreign.as_str(), foreign.problem()).await;
    }
    let Some(pattern) = request.extensions().get::<MatchedPath>() else {
        return next.run(request).await;
    };
    let needs = match table::find(request.method(), pattern.as_str()) {
        Rule::Needs(Needs::Nobody) | Rule::NoSuchMethod => return next.run(request).await,
        Rule::Needs(needs) => needs,
        Rule::None => {
            let problem = forbidden("access.no_rule", "no rule says who may do this".to_owned());
            return refuse(&app, &line, None, "no_rule", problem).await;
        }
    };
    let caller = match app.door.identify(request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return refuse(&app, &line, None, "stranger", problem).await,
    };
    if !needs.allows(caller.role) {
        let problem = forbidden(
            "access.role",
            format!(
                "{} has role {}; this needs {needs}",
                caller.person.subject, caller.role
            ),
        );
        return refuse(&app, &line, Some(&caller), "role", problem).await;
    }
    let context = match Context::resolve(caller.clone(), &request) {
        Ok(context) => context,
        Err(problem) if problem.status == 403 => {
            return refuse(&app, &line, Some(&caller), "run", problem).await;
        }
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(context);
    next.run(request).await
}

async fn refuse(
    app: &App,
    (method, uri): &(Method, Uri),
    caller: Option<&Caller>,
    reason: &'static str,
    problem: Problem,
) -> Response {
    app.metrics.refuse(reason);
    if is_write(method) {
        let refused = Refused {
            method,
            path: uri.path(),
            caller,
            because: reason,
        };
        app.refusals
            .record(refused, app.clock.now(), &*app.action_log)
            .await;
    }
    let is_stranger = problem.status == 401;
    let mut response = problem.into_response();
    if is_stranger {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Whether a request may change something.
pub(crate) fn is_write(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}
