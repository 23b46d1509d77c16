//! `/api/v1/events`: what client-deployed systems saw and did. Kept and shown under their run; drives nothing here.

use crate::app::App;
use crate::problems::Answer;
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, POSITIVE};
use axum::extract::State;
use axum::http::StatusCode;
use immune_store::client_records::RecordKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The longest name of a diagnosis or an action, bytes.
pub(super) const NAME_BYTES_MAX: usize = 256;

/// An infection that a client-deployed system found.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `infection` reads it")]
pub struct NewInfection {
    /// Whose.
    agent_id: String,
    /// 0 to 10; newer clients send `max_deviation` instead.
    severity: Option<f64>,
    /// Standard deviations.
    max_deviation: Option<f64>,
    /// What departed.
    anomalies: Vec<String>,
    /// How far, by metric.
    deviations: BTreeMap<String, f64>,
    /// Its name.
    diagnosis_type: String,
}

/// A quarantine that a client-deployed system began or ended.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `quarantine` reads it")]
pub struct NewQuarantine {
    /// Whose.
    agent_id: String,
    /// `enter` or `release`.
    action: String,
    /// How long it lasted, seconds.
    duration_s: Option<f64>,
}

/// Records an infection.
#[utoipa::path(post, path = "/api/v1/events/infection", tag = "store", request_body = NewInfection,
    responses((status = 204, description = "Recorded")))]
pub async fn infection(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<StatusCode> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    if fields.has("max_deviation") {
        fields.number("max_deviation", POSITIVE);
        fields.number("severity", POSITIVE);
    } else {
        fields.required_number("severity", POSITIVE);
    }
    fields.required_texts("anomalies");
    if fields.has("deviations") {
        fields.numbers("deviations");
    } else {
        fields.mistake("deviations", "is missing");
    }
    fields.required_text("diagnosis_type", NAME_BYTES_MAX);
    fields.done()?;
    app.keep(context.agent(agent), RecordKind::Infection, body)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Records the beginning or the end of a quarantine.
#[utoipa::path(post, path = "/api/v1/events/quarantine", tag = "store", request_body = NewQuarantine,
    responses((status = 204, description = "Recorded")))]
pub async fn quarantine(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<StatusCode> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    fields.required_word("action", &["enter", "release"]);
    fields.number("duration_s", POSITIVE);
    fields.done()?;
    app.keep(context.agent(agent), RecordKind::Quarantine, body)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
