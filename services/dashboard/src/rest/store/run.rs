//! `POST /api/v1/run`: a new run for a client that wants one of its own.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::read::body::OptionalObject;
use crate::rest::read::context::Context;
use axum::Json;
use axum::extract::State;
use immune_domain::{ErrorKind, RunId};
use immune_runtime::http::problem::Problem;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use uuid::Uuid;

/// A new run.
#[derive(Serialize, ToSchema)]
pub struct NewRun {
    /// Give it as `X-Run-Id` from now on.
    run_id: String,
}

/// Opens a run.
#[utoipa::path(post, path = "/api/v1/run", tag = "store",
    responses((status = 200, description = "The run", body = NewRun)))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    _body: OptionalObject,
) -> Answer<Json<NewRun>> {
    let caller = &context.caller;
    if !caller.runs.is_empty() {
        return Err(Problem::new(
            ErrorKind::Forbidden,
            "access.run",
            format!(
                "{} is bound to its runs and cannot open another",
                caller.person.subject
            ),
        ));
    }
    let run = RunId::new(format!("run-{}", Uuid::new_v4().simple()));
    app.client_records
        .register_run(&run, app.clock.now())
        .await
        .map_err(stored)?;
    Ok(Json(NewRun {
        run_id: run.to_string(),
    }))
}
