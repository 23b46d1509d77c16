//! Out, by the person or by the provider.

use super::Auth;
use super::answer::{Failure, redirect, wants_page, with_cookie};
use crate::Refusal;
use crate::oidc::OidcError;
use crate::sessions::cookies::Cookie;
use crate::sessions::is_csrf_right;
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use immune_domain::ErrorKind;
use immune_store::access::Ending;
use serde_json::json;

/// Ends the session of this browser, and says where to go to end the provider's, too: `{"redirect": "..."}`. Without a
/// session there is nothing to end, and the answer is the same.
pub(super) async fn logout(State(auth): State<Auth>, request: Parts) -> Response {
    let headers = &request.headers;
    match end(&auth, headers).await {
        Ok(to) => {
            let response = match wants_page(headers) {
                true => redirect(&to),
                false => Json(json!({ "redirect": to })).into_response(),
            };
            with_cookie(response, auth.logins.sessions.cookies().remove(Cookie::Session))
        }
        Err(failure) => failure.problem().into_response(),
    }
}

async fn end(auth: &Auth, headers: &HeaderMap) -> Result<String, Failure> {
    let (logins, now) = (&auth.logins, auth.clock.now());
    let home = "/login".to_owned();
    let found = match logins.sessions.find(headers, now).await {
        Ok(Some(found)) => found,
        Ok(None) | Err(Refusal::SessionEnded) => return Ok(home),
        Err(refusal) => return Err(refusal.into()),
    };
    if !is_csrf_right(&found.current, headers) {
        auth.door.metrics().refuse(&Refusal::Csrf);
        return Err(Refusal::Csrf.into());
    }
    let ending = Ending::Session(found.current.hash);
    let ended = logins.sessions.end(&ending).await.map_err(OidcError::from)?;
    logins
        .record_logout(Some(&found.caller), "person", ended, now)
        .await;
    let Some(provider) = &logins.provider else {
        return Ok(home);
    };
    let there = provider.end_session_url(&found.session, now).await;
    Ok(there.unwrap_or(home))
}

/// The provider says that somebody has logged out there (OpenID Connect Back-Channel Logout 1.0, section 2.5).
pub(super) async fn backchannel(State(auth): State<Auth>, request: Request) -> Response {
    let mut response = match told(&auth, request).await {
        Ok(()) => StatusCode::OK.into_response(),
        // Section 2.8: 400 with a JSON body, whatever is wrong with the token; else the provider should come again.
        Err(Failure::Oidc(error)) if is_invalid(&error) => {
            let said = json!({ "error": "invalid_request", "error_description": error.to_string() });
            (StatusCode::BAD_REQUEST, Json(said)).into_response()
        }
        Err(failure) => failure.problem().into_response(),
    };
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}

fn is_invalid(error: &OidcError) -> bool {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Invalid | ErrorKind::Forbidden => true,
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Overloaded
        | ErrorKind::Unavailable
        | ErrorKind::Timeout
        | ErrorKind::Internal => false,
    }
}

async fn told(auth: &Auth, request: Request) -> Result<(), Failure> {
    let (logins, now) = (&auth.logins, auth.clock.now());
    auth.admit(auth.address(request.extensions(), request.headers()), now)?;
    let provider = logins.provider.as_ref().ok_or(Failure::NotConfigured)?;
    let missing = || OidcError::Token {
        what: "logout token",
        problem: "is missing".to_owned(),
    };
    let body = to_bytes(request.into_body(), super::BODY_BYTES_MAX)
        .await
        .map_err(|_| missing())?;
    let (_, token) = url::form_urlencoded::parse(&body)
        .find(|(name, _)| name == "logout_token")
        .ok_or_else(missing)?;
    let told = provider.told_logout(&token, now).await.inspect_err(|error| {
        tracing::warn!(%error, "a logout of the provider was not taken");
    })?;
    match logins.sessions.end(&told.ending).await {
        Ok(ended) => {
            if ended > 0 {
                logins.record_logout(None, "provider", ended, now).await;
            }
            Ok(())
        }
        Err(error) => {
            provider.not_done(&told);
            Err(OidcError::from(error).into())
        }
    }
}
