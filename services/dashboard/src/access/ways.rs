//! The ways to log in, for a page to offer: in `/api/me`, and beside every problem of somebody who is not known.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use immune_door::Door;
use immune_door::sessions::Way;
use immune_runtime::http::problem::Problem;
use serde::Serialize;
use utoipa::ToSchema;

/// A way to log in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WayView {
    /// `oidc` or `api_key`.
    kind: &'static str,
    /// What to call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `oidc`: where to send the browser, with the page to come back to in `then`. `api_key`: where to post
    /// `{"key": "..."}`.
    url: &'static str,
}

/// The ways to log in.
pub(crate) fn ways(door: &Door) -> Vec<WayView> {
    let view = |way| match way {
        Way::Oidc { name } => WayView {
            kind: "oidc",
            name: Some(name),
            url: "/auth/login",
        },
        Way::ApiKey => WayView {
            kind: "api_key",
            name: None,
            url: "/auth/key",
        },
    };
    door.ways().into_iter().map(view).collect()
}

/// A problem with the member `ways` (RFC 9457, section 3.2).
#[derive(Serialize)]
struct WithWays {
    #[serde(flatten)]
    problem: Problem,
    ways: Vec<WayView>,
}

/// The answer to somebody who is not known.
pub(super) fn answer(problem: Problem, door: &Door) -> Response {
    let ways = ways(door);
    let mut response = problem.clone().into_response();
    *response.body_mut() = Json(WithWays { problem, ways }).into_response().into_body();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}
