//! The description of the REST API, generated from the handlers. What every endpoint has in common is added here: how
//! callers are told apart, how a run is named, what a problem looks like.

use crate::access::table::{self, Needs, Rule};
use axum::http::Method;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{Object, SchemaType, Type};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Required, tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};

/// What went wrong (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[allow(
    dead_code,
    reason = "describes `immune_runtime::http::problem::Problem` for OpenAPI"
)]
struct ProblemBody {
    /// Kind of problem, as a URN.
    r#type: String,
    /// The kind in words.
    title: String,
    /// HTTP status.
    status: u16,
    /// What happened this time and what to do next.
    detail: String,
    /// The fields that are wrong.
    errors: Option<Vec<FieldProblem>>,
    /// Seconds after which the same request may succeed.
    retry_after_seconds: Option<u32>,
}

/// One field that is wrong.
#[derive(ToSchema)]
#[allow(
    dead_code,
    reason = "describes `immune_runtime::http::problem::FieldError` for OpenAPI"
)]
struct FieldProblem {
    /// Path of the field in the body, or name of the query parameter or header.
    field: String,
    /// What is wrong with it.
    problem: String,
}

/// The REST API as OpenAPI 3.1.
pub fn openapi() -> OpenApi {
    let (_, mut api) = crate::rest::endpoints().split_for_parts();
    api.info = InfoBuilder::new()
        .title("AI Agent Immune System")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Store API for client-deployed immune systems, and the operators' API.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    api.tags = Some(vec![
        TagBuilder::new()
            .name("store")
            .description(Some("What client-deployed immune systems use"))
            .build(),
        TagBuilder::new()
            .name("operators")
            .description(Some("What people, the page and scripts use"))
            .build(),
    ]);
    let mut components = api
        .components
        .take()
        .unwrap_or_else(|| ComponentsBuilder::new().build());
    components
        .schemas
        .insert("Problem".to_owned(), ProblemBody::schema());
    components
        .schemas
        .insert("FieldProblem".to_owned(), FieldProblem::schema());
    let key = ApiKey::Header(ApiKeyValue::new("X-API-Key"));
    components
        .security_schemes
        .insert("api_key".to_owned(), SecurityScheme::ApiKey(key).into());
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components
        .security_schemes
        .insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    let session = ApiKeyValue::with_description(
        "__Host-immune",
        "The page's session (over plain HTTP: immune); writes also need X-CSRF-Token, see /api/me",
    );
    let session = SecurityScheme::ApiKey(ApiKey::Cookie(session));
    components
        .security_schemes
        .insert("session".to_owned(), session.into());
    api.components = Some(components);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete(operation, &method, path);
        }
    }
    api
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem {
        get, post, delete, ..
    } = item;
    let get = get.as_mut().map(|operation| (Method::GET, operation));
    let post = post.as_mut().map(|operation| (Method::POST, operation));
    let delete = delete.as_mut().map(|operation| (Method::DELETE, operation));
    get.into_iter().chain(post).chain(delete)
}

/// Adds what every endpoint has in common.
fn complete(operation: &mut Operation, method: &Method, path: &str) {
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("Problem")))
        .build();
    let refused = ResponseBuilder::new()
        .description("What went wrong (RFC 9457)")
        .content("application/problem+json", problem)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(refused));
    // Handlers share names across groups; an operation is named for what it is called by.
    let name: String = path
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    operation.operation_id =
        Some(format!("{}{name}", method.as_str().to_ascii_lowercase()).replace("__", "_"));
    match table::find(method, path) {
        Rule::Needs(Needs::Any(_)) => {}
        Rule::Needs(Needs::Nobody | Needs::Signature) | Rule::NoSuchMethod | Rule::None => return,
    }
    let empty: [String; 0] = [];
    operation.security = Some(vec![
        SecurityRequirement::new("api_key", empty.clone()),
        SecurityRequirement::new("bearer", empty.clone()),
        SecurityRequirement::new("session", empty),
    ]);
    let parameters = operation.parameters.get_or_insert_default();
    for (name, place) in [("X-Run-Id", ParameterIn::Header), ("run_id", ParameterIn::Query)] {
        let text = Object::with_type(SchemaType::Type(Type::String));
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(Required::False)
            .description(Some(
                "The run; the header counts before the query. Default: the key's run, else `default`.",
            ))
            .schema(Some(text));
        parameters.push(parameter.build().into());
    }
}
