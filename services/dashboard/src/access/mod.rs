//! Who may do what: every request passes [`guard`] before its handler.
//!
//! Who is calling is said by `immune_door`. What a role may do stands in one [`table`]; what the table does not name is
//! refused. Browsers are kept from lending their place on this machine to other sites ([`browser`]). Refused writes
//! are recorded ([`refusals`]).

pub mod browser;
pub mod refusals;
pub mod table;
pub(crate) mod ways;

use crate::app::App;
use crate::rest::read::context::Context;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use immune_domain::ErrorKind;
use immune_door::sessions::{HOLDS, is_csrf_right};
use immune_door::{Identity, Peer, Refusal};
use immune_runtime::access::{Caller, Role};
use immune_runtime::http::problem::Problem;
use refusals::Refused;
use std::sync::Arc;
use table::{Needs, Rule};

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
        Rule::Needs(Needs::Nobody | Needs::Signature) | Rule::NoSuchMethod => {
            return next.run(request).await;
        }
        Rule::Needs(needs) => needs,
        Rule::None => {
            let problem = forbidden("access.no_rule", "no rule says who may do this".to_owned());
            return refuse(&app, &line, None, "no_rule", problem).await;
        }
    };
    let (peer, now) = (Peer::of(request.extensions()), app.clock.now());
    let identity = match app.door.identify(request.headers(), peer, now).await {
        Ok(identity) => identity,
        Err(refusal) => return refuse(&app, &line, None, stranger(&refusal), refusal.problem()).await,
    };
    let caller = identity.caller.clone();
    // A browser adds the cookie by itself, whoever made it ask; the token only our page has read.
    if let Some(session) = &identity.session
        && is_write(request.method())
        && !is_csrf_right(session, request.headers())
    {
        app.door.metrics().refuse(&Refusal::Csrf);
        return refuse(&app, &line, Some(&caller), "csrf", Refusal::Csrf.problem()).await;
    }
    // Telemetry is never slowed here, nor are the systems that post theirs; `requests_max` bounds them.
    let is_limited = !needs.allows(Role::Ingest) && !pattern.as_str().starts_with("/api/v1/");
    let admitted = match is_limited {
        true => app.door.admit(&caller, is_write(request.method()), now),
        false => Ok(()),
    };
    if let Err(refusal) = admitted {
        return refuse(&app, &line, Some(&caller), stranger(&refusal), refusal.problem()).await;
    }
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
    request.extensions_mut().insert(identity);
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
    match problem.status {
        401 => ways::answer(problem, &app.door),
        _ => problem.into_response(),
    }
}

/// Name of a refusal at the door, in metrics and in the action log.
const fn stranger(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoCredential | Refusal::UnknownKey => "stranger",
        Refusal::SessionEnded
        | Refusal::Csrf
        | Refusal::LockedOut { .. }
        | Refusal::TooMany { .. }
        | Refusal::NotReady => refusal.word(),
    }
}

/// Ends when somebody who was let in may stay no longer: answers that take long must not outlast a logout.
pub(crate) async fn left(app: Arc<App>, identity: Identity) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOLDS) => {}
            () = app.stopped.cancelled() => return,
        }
        if !app.door.may_stay(&identity, app.clock.now()).await {
            return;
        }
    }
}

/// Whether a request may change something.
pub(crate) fn is_write(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}
