//! `/api/fleet`: every agent of a run in one answer, for a list that is shown whole.

use crate::app::App;
use crate::overview::{self, Overview};
use crate::problems::Answer;
use crate::rest::read::context::Context;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use std::sync::Arc;

/// Every agent of the run in brief, ordered by id. What changes afterwards comes as `agents` events of `/api/events`.
#[utoipa::path(get, path = "/api/fleet", tag = "operators",
    responses((status = 200, description = "The agents, at most 50,000", body = Overview)))]
pub async fn get(State(app): State<Arc<App>>, context: Context) -> Answer<impl IntoResponse> {
    let document = overview::collect(&app, &context.run).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], document))
}
