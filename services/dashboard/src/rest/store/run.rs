//! `POST /api/v1/run`: a new run for a client that wants one of its own.

use crate::app::App;
use crate::audit;
use crate::problems::{Answer, stored};
use crate::rest::read::body::OptionalObject;
use crate::rest::read::context::Context;
use axum::Json;
use axum::extract::State;
use immune_domain::RunId;
use serde::Serialize;
use serde_json::json;
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
        let detail = format!(
            "{} is bound to its runs and cannot open another",
            caller.person.subject
        );
        return Err(audit::forbidden(&app, &context, "/api/v1/run", "run", "access.run", detail).await);
    }
    let run = RunId::new(format!("run-{}", Uuid::new_v4().simple()));
    app.client_records
        .register_run(&run, app.clock.now())
        .await
        .map_err(stored)?;
    // In the run from which it was opened: the new one begins empty.
    audit::done(&app, &context, "run_opened", None, json!({ "new_run_id": run })).await?;
    Ok(Json(NewRun {
        run_id: run.to_string(),
    }))
}
