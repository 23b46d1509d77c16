//! `POST /api/feedback`: what an operator found out afterwards.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::operators::{DONE, Done};
use crate::rest::read::body::JsonObject;
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, TEXT_BYTES_MAX};
use axum::Json;
use axum::extract::State;
use immune_store::action_log::LogRow;
use immune_store::client_records::RecordKind;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// What was really wrong.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `post` reads it")]
pub struct NewFeedback {
    /// Which agent.
    agent_id: String,
    /// `false_positive`, `wrong_diagnosis`, or another word.
    actual_cause: String,
    /// In the operator's words.
    notes: Option<String>,
}

/// Records an operator's feedback.
#[utoipa::path(post, path = "/api/feedback", tag = "operators", request_body = NewFeedback,
    responses((status = 200, description = "Recorded", body = Done)))]
pub async fn post(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(mut body): JsonObject,
) -> Answer<Json<Done>> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    let cause = fields.required_text("actual_cause", 128);
    let notes = fields.text("notes", TEXT_BYTES_MAX).unwrap_or_default();
    fields.done()?;
    let by = context.caller.person.subject.clone();
    body.insert("by".to_owned(), json!(by));
    let key = context.agent(agent.clone());
    app.keep(key, RecordKind::Feedback, body).await?;
    let row = LogRow {
        run: context.run.clone(),
        at: app.clock.now(),
        kind: "feedback_given".to_owned(),
        agent: Some(agent),
        actor: by,
        outcome: "done".to_owned(),
        payload: json!({ "actual_cause": cause, "reason": notes, "via": context.caller.person.via }),
    };
    app.action_log.append(&[row]).await.map_err(stored)?;
    Ok(Json(DONE))
}
