//! `/check` for gateways that ask over HTTP: nginx (`auth_request`), Traefik (`forwardAuth`), Caddy (`forward_auth`),
//! Envoy (`ext_authz` with `http_service`). 200 or 403; 503 while nothing is known.

use crate::check::{Answer, Checker, Denial};
use crate::identity::{Asked, Headers};
use crate::words;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use immune_domain::ErrorKind;
use immune_runtime::http::problem::Problem;
use std::sync::Arc;
use tokio::time::Instant;

/// In an answer to Envoy: headers that it removes from the request, separated by commas. Others do not know it.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// The routes. Some gateways send the method and the path of the request that they ask about (behind `/check`);
/// neither matters here.
pub(crate) fn router(checker: Arc<Checker>) -> Router {
    Router::new()
        .route("/check", any(check))
        .route("/check/", any(check))
        .route("/check/{*path}", any(check))
        .fallback(nothing_here)
        .with_state(checker)
}

async fn check(State(checker): State<Arc<Checker>>, request_headers: HeaderMap) -> Response {
    let began = Instant::now();
    let asked = Asked {
        headers: Headers::Plain(&request_headers),
        principal: "",
        claims: None,
    };
    let (_, answer) = checker.answer(asked);
    let mut response = match answer {
        Answer::Allowed(_) => {
            let names = words::forged(asked.headers, &checker.identity).join(",");
            let mut response = StatusCode::OK.into_response();
            if let Ok(names) = HeaderValue::try_from(names) {
                response.headers_mut().insert(TO_REMOVE, names);
            }
            response
        }
        Answer::Denied(denial) => denied(&denial),
        Answer::Starting => words::starting().into_response(),
    };
    // An answer holds for one request, whatever stands between.
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    checker
        .metrics
        .check_duration
        .observe(began.elapsed().as_secs_f64());
    response
}

fn denied(denial: &Denial) -> Response {
    let mut response = (StatusCode::FORBIDDEN, words::body(denial)).into_response();
    for (name, value) in words::headers(denial) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn nothing_here() -> Problem {
    Problem::new(
        ErrorKind::NotFound,
        "gate.not_found",
        "this listener answers /check, and envoy.service.auth.v3.Authorization over gRPC",
    )
}
