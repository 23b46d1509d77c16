//! A session for an API key, so that a page need not keep the key.

use super::answer::{Failure, redirect, with_cookie};
use super::login::enter;
use super::{Auth, then};
use crate::Refusal;
use crate::oidc::OidcError;
use crate::sessions::Stay;
use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use immune_runtime::access::Role;
use immune_runtime::config::Secret;
use immune_runtime::http::problem::{FieldError, Problem};
use serde::Deserialize;
use serde_json::json;

/// Name of this way in metrics and in the action log.
const API_KEY: &str = "api_key";

/// What is sent.
#[derive(Deserialize)]
struct Sent {
    key: Secret,
    then: Option<String>,
}

/// Opens a session for whoever holds the key.
pub(super) async fn login(State(auth): State<Auth>, request: Request) -> Response {
    let address = auth.address(request.extensions(), request.headers());
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    let Ok(body) = to_bytes(body, super::BODY_BYTES_MAX).await else {
        return not_read().into_response();
    };
    let Some(sent) = read(&headers, &body) else {
        return not_read().into_response();
    };
    let then = then::path(sent.then.as_deref());
    let opened = open(&auth, &headers, sent.key, address).await;
    let outcome = opened.as_ref().map_or_else(Failure::word, |_| "done");
    auth.door.metrics().login(API_KEY, outcome);
    match opened {
        Ok(cookie) if is_form(&headers) => with_cookie(redirect(&then), cookie),
        Ok(cookie) => with_cookie(Json(json!({ "then": then })).into_response(), cookie),
        Err(failure) => failure.answer(&headers, &then),
    }
}

async fn open(
    auth: &Auth,
    headers: &HeaderMap,
    key: Secret,
    address: crate::Address,
) -> Result<HeaderValue, Failure> {
    let now = auth.clock.now();
    auth.admit(address, now)?;
    let caller = match auth.door.present(key.expose().trim(), address, now) {
        Ok(caller) => caller,
        Err(refusal) => {
            auth.door.metrics().refuse(&refusal);
            auth.logins
                .record_refused(API_KEY, refusal.word(), None, now)
                .await;
            return Err(refusal.into());
        }
    };
    let subject = caller.person.subject.clone();
    if caller.role == Role::Ingest {
        auth.logins
            .record_refused(API_KEY, "no_role", Some(&subject), now)
            .await;
        return Err(OidcError::NoRole { subject, groups: 0 }.into());
    }
    let stay = Stay {
        name: subject,
        provider_session: auth.door.keys().fingerprint(&caller.person.via),
        provider_subject: None,
        id_token: None,
        ends_at_most: None,
        caller,
    };
    enter(auth, headers, stay, now).await.map_err(|error| {
        tracing::warn!(%error, "a session could not be opened");
        Refusal::NotReady.into()
    })
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

fn read(headers: &HeaderMap, body: &Bytes) -> Option<Sent> {
    if !is_form(headers) {
        return serde_json::from_slice(body).ok();
    }
    let (mut key, mut then) = (None, None);
    for (name, value) in url::form_urlencoded::parse(body) {
        match &*name {
            "key" => key = Some(Secret::new(value)),
            "then" => then = Some(value.into_owned()),
            _ => {}
        }
    }
    Some(Sent { key: key?, then })
}

/// Says nothing of what was sent: it may hold the key.
fn not_read() -> Problem {
    Problem::fields(vec![FieldError {
        field: "key".to_owned(),
        problem: "is missing: send {\"key\": \"...\"} as JSON, or a form".to_owned(),
    }])
}
