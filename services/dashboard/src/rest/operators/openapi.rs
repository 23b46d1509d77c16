//! `/api/openapi.json`: this API's own description.

use crate::rest::read::context::Context;
use axum::http::header;
use axum::response::IntoResponse;
use std::sync::LazyLock;

/// The description, rendered once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    crate::openapi()
        .to_json()
        .expect("the description is made of texts, numbers and lists")
});

/// This API as OpenAPI 3.1.
#[utoipa::path(get, path = "/api/openapi.json", tag = "operators",
    responses((status = 200, description = "The description", body = Object)))]
pub async fn document(_context: Context) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str())
}
