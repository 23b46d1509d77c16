//! Approvals by agent, as existing scripts decide them. Native cases and what client-deployed systems posted are
//! decided alike.

use crate::app::App;
use crate::approvals::{PENDING, REJECTED, with_decision};
use crate::decisions::{Taken, Verb, on_agent, on_all};
use crate::problems::Answer;
use crate::rest::read::body::{JsonObject, OptionalObject};
use crate::rest::read::context::Context;
use crate::rest::read::fields::{Fields, TEXT_BYTES_MAX};
use crate::rest::store::approvals::listed;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// A decision on an agent.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body for OpenAPI; `approve_healing` reads it"
)]
pub struct ApproveHealing {
    /// Which agent.
    agent_id: String,
    /// True: heal it. False: keep it contained and do not heal it.
    approved: bool,
    /// Why, for the record.
    reason: Option<String>,
}

/// A decision on everything that waits.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for OpenAPI; `approve_all` reads it")]
pub struct ApproveAll {
    /// True: heal all. False: reject all.
    approved: bool,
    /// Why, for the record.
    reason: Option<String>,
}

/// An order to heal an agent.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes the body for OpenAPI; `heal_explicitly` reads it"
)]
pub struct HealExplicitly {
    /// Which agent.
    agent_id: String,
    /// Why, for the record.
    reason: Option<String>,
}

/// What was decided.
#[derive(Serialize, ToSchema)]
pub struct Decided {
    /// True.
    ok: bool,
    /// As asked.
    approved: bool,
    /// That it takes somebody else to say the same before anything happens; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
}

/// What was ordered.
#[derive(Serialize, ToSchema)]
pub struct Ordered {
    /// True.
    ok: bool,
    /// That it takes somebody else to say the same before anything happens; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'static str>,
}

/// The words for a decision that is the first of two.
const fn waits_for(taken: Taken) -> Option<&'static str> {
    match taken {
        Taken::Done => None,
        Taken::FirstOfTwo => {
            Some("a second person: the case is so severe that somebody else must say the same")
        }
    }
}

/// What was decided on everything that waited.
#[derive(Serialize, ToSchema)]
pub struct AllDecided {
    /// True.
    ok: bool,
    /// Approvals that were accepted.
    approved_count: u64,
    /// Rejections that were accepted.
    rejected_count: u64,
    /// Decisions that were accepted and wait for a second person.
    second_person_count: u64,
    /// Decisions that were refused: others were faster, or policy does not let this person decide.
    refused_count: u64,
}

/// What was ordered.
#[derive(Serialize, ToSchema)]
pub struct AllOrdered {
    /// True.
    ok: bool,
    /// Orders that were accepted.
    healed_count: u64,
    /// Orders that were accepted and wait for a second person.
    second_person_count: u64,
    /// Orders that were refused: others were faster, or policy does not let this person decide.
    refused_count: u64,
}

/// Agents that wait for a person, the oldest first.
#[utoipa::path(get, path = "/api/pending-approvals", tag = "operators",
    responses((status = 200, description = "Who waits, since when and why", body = Vec<Object>)))]
pub async fn pending(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Vec<Value>>> {
    listed(&app, &context, PENDING, "requested_at").await
}

/// Agents that a person refused to heal, the oldest first.
#[utoipa::path(get, path = "/api/rejected-approvals", tag = "operators",
    responses((status = 200, description = "Who was rejected, when and why", body = Vec<Object>)))]
pub async fn rejected(State(app): State<Arc<App>>, context: Context) -> Answer<Json<Vec<Value>>> {
    listed(&app, &context, REJECTED, "rejected_at").await
}

/// Approves or rejects the healing of an agent.
#[utoipa::path(post, path = "/api/approve-healing", tag = "operators", request_body = ApproveHealing,
    responses((status = 200, description = "Decided", body = Decided),
              (status = 404, description = "Nothing waits for a decision on this agent"),
              (status = 409, description = "Somebody else has decided; the detail names who")))]
pub async fn approve_healing(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Decided>> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    let approved = fields.required_boolean("approved");
    let reason = fields.text("reason", TEXT_BYTES_MAX).unwrap_or_default();
    fields.done()?;
    let taken = on_agent(&app, &context, agent, verb(approved), &reason).await?;
    Ok(Json(Decided {
        ok: true,
        approved,
        waits_for: waits_for(taken),
    }))
}

/// Approves or rejects everything that waits.
#[utoipa::path(post, path = "/api/approve-all", tag = "operators", request_body = ApproveAll,
    responses((status = 200, description = "Decided", body = AllDecided)))]
pub async fn approve_all(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<AllDecided>> {
    let mut fields = Fields::of(&body);
    let approved = fields.required_boolean("approved");
    let reason = fields.text("reason", TEXT_BYTES_MAX).unwrap_or_default();
    fields.done()?;
    let waiting = with_decision(&app, &context.run, PENDING).await?;
    let tally = on_all(&app, &context, waiting, verb(approved), &reason).await?;
    let (approved_count, rejected_count) = if approved {
        (tally.done, 0)
    } else {
        (0, tally.done)
    };
    Ok(Json(AllDecided {
        ok: true,
        approved_count,
        rejected_count,
        second_person_count: tally.first_of_two,
        refused_count: tally.refused,
    }))
}

/// Heals an agent although it was rejected, or before it is decided.
#[utoipa::path(post, path = "/api/heal-explicitly", tag = "operators", request_body = HealExplicitly,
    responses((status = 200, description = "Ordered", body = Ordered),
              (status = 404, description = "Nothing waits for a decision on this agent"),
              (status = 409, description = "It is being healed already, or somebody else has decided")))]
pub async fn heal_explicitly(
    State(app): State<Arc<App>>,
    context: Context,
    JsonObject(body): JsonObject,
) -> Answer<Json<Ordered>> {
    let mut fields = Fields::of(&body);
    let agent = fields.agent();
    let reason = fields.text("reason", TEXT_BYTES_MAX).unwrap_or_default();
    fields.done()?;
    let taken = on_agent(&app, &context, agent, Verb::HealNow, &reason).await?;
    Ok(Json(Ordered {
        ok: true,
        waits_for: waits_for(taken),
    }))
}

/// Heals every agent that was rejected.
#[utoipa::path(post, path = "/api/heal-all-rejected", tag = "operators",
    responses((status = 200, description = "Ordered", body = AllOrdered)))]
pub async fn heal_all_rejected(
    State(app): State<Arc<App>>,
    context: Context,
    OptionalObject(body): OptionalObject,
) -> Answer<Json<AllOrdered>> {
    let mut fields = Fields::of(&body);
    let reason = fields.text("reason", TEXT_BYTES_MAX).unwrap_or_default();
    fields.done()?;
    let rejected = with_decision(&app, &context.run, REJECTED).await?;
    let tally = on_all(&app, &context, rejected, Verb::HealNow, &reason).await?;
    Ok(Json(AllOrdered {
        ok: true,
        healed_count: tally.done,
        second_person_count: tally.first_of_two,
        refused_count: tally.refused,
    }))
}

const fn verb(approved: bool) -> Verb {
    if approved { Verb::Approve } else { Verb::Reject }
}
