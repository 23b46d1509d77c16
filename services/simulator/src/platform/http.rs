//! The HTTP form of the API: `proto/lifecycle.openapi.yaml`. Translation only.

use super::{Order, Platform, Refusal, Reply, Verb, details};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The largest order.
const BODY_BYTES_MAX: usize = 64 * 1_024;

/// The body of an order.
#[derive(Deserialize)]
#[allow(
    dead_code,
    reason = "the platform keeps no records of its own, but the contract names them"
)]
struct ActBody {
    action: String,
    case_id: String,
    idempotency_key: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

pub(crate) fn router(platform: Arc<Platform>) -> Router {
    Router::new()
        .route("/agents/{agent_id}/actions", post(act))
        .route("/agents/{agent_id}", get(agent))
        .route("/operations/{operation_id}", get(operation))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&platform), admit))
        .with_state(platform)
}

async fn admit(State(platform): State<Arc<Platform>>, request: Request, next: Next) -> Response {
    let authorization = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    match platform.admit(authorization) {
        Ok(()) => next.run(request).await,
        Err(refusal) => problem(&refusal),
    }
}

async fn act(
    State(platform): State<Arc<Platform>>,
    Path(agent): Path<String>,
    body: Result<Json<ActBody>, JsonRejection>,
) -> Response {
    let body = match body {
        Ok(Json(body)) => body,
        Err(rejection) => return problem(&Refusal::Invalid(rejection.body_text())),
    };
    let Some(verb) = Verb::parse(&body.action) else {
        return problem(&Refusal::Invalid(format!(
            "action {:?} is not known",
            body.action
        )));
    };
    let order = Order {
        agent,
        verb,
        idempotency_key: body.idempotency_key,
        parameters: body.parameters,
    };
    platform
        .act(order)
        .await
        .map_or_else(|refusal| problem(&refusal), |reply| answer(&reply))
}

async fn operation(State(platform): State<Arc<Platform>>, Path(operation): Path<String>) -> Response {
    platform
        .operation(&operation)
        .map_or_else(|refusal| problem(&refusal), |reply| answer(&reply))
}

async fn agent(State(platform): State<Arc<Platform>>, Path(agent): Path<String>) -> Response {
    match platform.agent(&agent) {
        Ok(snapshot) => Json(json!({
            "agent_id": snapshot.id,
            "contained": snapshot.is_contained(),
            "state": snapshot.state(),
            "details": details(&snapshot),
        }))
        .into_response(),
        Err(refusal) => problem(&refusal),
    }
}

fn answer(reply: &Reply) -> Response {
    match reply {
        Reply::Settled(settled) => Json(json!({
            "outcome": settled.word.as_str(),
            "detail": settled.detail,
            "evidence": settled.evidence,
        }))
        .into_response(),
        Reply::Pending { operation } => {
            let place = format!("/operations/{operation}");
            let mut response = (StatusCode::ACCEPTED, Json(json!({ "poll": place }))).into_response();
            if let Ok(place) = HeaderValue::try_from(place) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            response
        }
    }
}

/// RFC 9457.
fn problem(refusal: &Refusal) -> Response {
    let (status, title) = match refusal {
        Refusal::UnknownAgent(_) => (StatusCode::NOT_FOUND, "unknown agent"),
        Refusal::UnknownOperation(_) => (StatusCode::NOT_FOUND, "unknown operation"),
        Refusal::KeyReused(_) => (StatusCode::CONFLICT, "idempotency key reused"),
        Refusal::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid request"),
        Refusal::Unauthenticated => (StatusCode::UNAUTHORIZED, "unauthenticated"),
        Refusal::Broken => (StatusCode::INTERNAL_SERVER_ERROR, "broken"),
    };
    let body = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": refusal.to_string(),
    });
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    response
}
