//! `/api/incidents`: many agents of a run that depart at once.

use crate::app::App;
use crate::incidents::{IncidentView, merged};
use crate::problems::Answer;
use crate::rest::read::context::Context;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// Fleet incidents of the run: those that are open, and the last ones that were closed since the sentinel began, open
/// ones first, the newest first. The action log has all of them (`fleet_incident_opened`, `fleet_incident_closed`).
#[utoipa::path(get, path = "/api/incidents", tag = "operators",
    responses((status = 200, description = "Incidents", body = Vec<IncidentView>)))]
pub async fn list(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Vec<IncidentView>>> {
    let incidents = merged(app.roles.incidents(&context.run).await?);
    Ok(Json(incidents.iter().map(IncidentView::from).collect()))
}
