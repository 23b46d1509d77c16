//! `/api/me`: who asks, and what the page needs to know of it.

use crate::access::ways::{WayView, ways};
use crate::app::App;
use crate::rest::read::context::Context;
use axum::extract::State;
use axum::{Extension, Json};
use immune_door::Identity;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Who asks.
#[derive(Serialize, ToSchema)]
pub struct Me {
    /// Name in the action log.
    subject: String,
    /// Name to show.
    name: String,
    /// How it was verified: `oidc:ISSUER`, `api_key:ID`, `loopback`.
    via: String,
    /// `viewer`, `operator`, `admin`.
    role: String,
    /// Runs that the caller is bound to; empty means all.
    runs: Vec<String>,
    /// How callers are told apart: `open_loopback`, `keys`, `oidc`.
    access: &'static str,
    /// What writes with this session must carry in `X-CSRF-Token`; null without a session.
    csrf: Option<String>,
    /// When the session ends whatever happens, seconds since the epoch; null without a session.
    session_ends_at: Option<f64>,
    /// The ways to log in.
    ways: Vec<WayView>,
}

/// Who asks. Without a login: 401 with the member `ways`.
#[utoipa::path(get, path = "/api/me", tag = "operators",
    responses((status = 200, description = "Who asks", body = Me)))]
pub async fn me(
    State(app): State<Arc<App>>,
    Extension(identity): Extension<Identity>,
    context: Context,
) -> Json<Me> {
    let caller = context.caller;
    let session = identity.session;
    Json(Me {
        name: session
            .as_ref()
            .map_or_else(|| caller.person.subject.clone(), |session| session.name.clone()),
        subject: caller.person.subject,
        via: caller.person.via,
        role: caller.role.to_string(),
        runs: caller.runs.iter().map(ToString::to_string).collect(),
        access: app.door.access(),
        session_ends_at: session.as_ref().map(|session| session.ends_at.as_epoch_seconds()),
        csrf: session.map(|session| session.csrf),
        ways: ways(&app.door),
    })
}
