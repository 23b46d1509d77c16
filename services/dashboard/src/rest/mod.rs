//! REST: the store API of the original, and the operators' API.

mod compression;
mod layers;
pub(crate) mod operators;
pub(crate) mod read;
pub(crate) mod store;

use crate::access;
use crate::app::App;
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use immune_domain::ErrorKind;
use immune_runtime::http::problem::Problem;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

/// Every endpoint, with its description.
pub(crate) fn endpoints() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .merge(store::router())
        .merge(operators::router())
}

/// The whole service: endpoints behind the layers. The last layer added is the first that a request passes.
pub(crate) fn service(app: Arc<App>) -> Router {
    let (router, _) = endpoints().split_for_parts();
    router
        .merge(crate::ui::router())
        .merge(immune_door::routes::router(&app.door, app.clock.clone()))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), access::guard))
        .layer(from_fn_with_state(app.clone(), layers::bound))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(compression::layer())
        .layer(from_fn(layers::harden))
        .layer(from_fn_with_state(app.clone(), layers::observe))
        .with_state(app)
}

async fn not_found(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        ErrorKind::NotFound,
        "request.no_such_path",
        format!("there is nothing at {path:?}; see /api/openapi.json"),
    )
}

async fn method_not_allowed() -> Problem {
    let detail = "this path has other methods; the Allow header names them";
    Problem::with_status(
        StatusCode::METHOD_NOT_ALLOWED,
        "request.method_not_allowed",
        detail,
    )
}
