//! Writes that go through this role alone, on record. What other roles do for a person they record themselves, in the
//! transaction that does it.
//!
//! Records of executions, baselines, events and healings that client-deployed systems post are records already, with
//! their time, and are not recorded twice.

use crate::access::refusals::Refused;
use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::context::Context;
use axum::http::Method;
use immune_domain::AgentId;
use immune_domain::ErrorKind;
use immune_runtime::http::problem::Problem;
use immune_store::action_log::LogRow;
use serde_json::{Value, json};

/// Writes a row about what the caller has done.
pub(crate) async fn done(
    app: &App,
    context: &Context,
    kind: &str,
    agent: Option<AgentId>,
    mut payload: Value,
) -> Answer<()> {
    let person = &context.caller.person;
    payload["via"] = json!(person.via);
    let row = LogRow {
        run: context.run.clone(),
        at: app.clock.now(),
        kind: kind.to_owned(),
        agent,
        actor: person.subject.clone(),
        outcome: "done".to_owned(),
        payload,
    };
    app.action_log.append(&[row]).await.map_err(stored)
}

/// Records a write that its handler refuses, and says why it is forbidden.
pub(crate) async fn forbidden(
    app: &App,
    context: &Context,
    path: &str,
    because: &'static str,
    word: &str,
    detail: String,
) -> Problem {
    app.metrics.refuse(because);
    let refused = Refused {
        method: &Method::POST,
        path,
        caller: Some(&context.caller),
        because,
    };
    app.refusals
        .record(refused, app.clock.now(), &*app.action_log)
        .await;
    Problem::new(ErrorKind::Forbidden, word, detail)
}
