//! To the provider and back.

use super::answer::{Failure, redirect, with_cookie};
use super::{Auth, then};
use crate::oidc::{Callback, LOGIN_LASTS, OidcError};
use crate::sessions::Stay;
use crate::sessions::cookies::Cookie;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use immune_domain::Timestamp;
use immune_store::access::Ending;
use serde::Deserialize;

/// Name of this way in metrics and in the action log.
const OIDC: &str = "oidc";

/// Where to go afterwards.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Then {
    then: Option<String>,
}

/// Sends the browser to the provider.
pub(super) async fn login(State(auth): State<Auth>, request: Parts) -> Response {
    let asked = Query::<Then>::try_from_uri(&request.uri).map_or(None, |Query(asked)| asked.then);
    let then = then::path(asked.as_deref());
    match begin(&auth, &request, then.clone()).await {
        Ok(response) => response,
        Err(failure) => {
            if let Failure::Oidc(error) = &failure {
                tracing::warn!(%error, "a login could not begin");
            }
            auth.door.metrics().login(OIDC, failure.word());
            failure.answer(&request.headers, &then)
        }
    }
}

async fn begin(auth: &Auth, request: &Parts, then: String) -> Result<Response, Failure> {
    let now = auth.clock.now();
    auth.admit(auth.address(&request.extensions, &request.headers), now)?;
    let provider = auth.logins.provider.as_ref().ok_or(Failure::NotConfigured)?;
    let signer = auth.logins.sessions.signer().await.map_err(OidcError::from)?;
    let (to, kept) = provider.begin(signer, then, now).await?;
    let cookie = auth
        .logins
        .sessions
        .cookies()
        .set(Cookie::Login, &kept, LOGIN_LASTS);
    Ok(with_cookie(redirect(to.as_str()), cookie))
}

/// Takes the browser back, with a session.
pub(super) async fn callback(State(auth): State<Auth>, request: Parts) -> Response {
    let headers = &request.headers;
    let sessions = &auth.logins.sessions;
    let (response, is_over) = match finish(&auth, &request).await {
        Ok((cookie, then)) => {
            auth.door.metrics().login(OIDC, "done");
            (with_cookie(redirect(&then), cookie), true)
        }
        Err(failure) => {
            auth.door.metrics().login(OIDC, failure.word());
            // Of another login this browser may well be in the middle.
            let is_over = !matches!(failure, Failure::Oidc(OidcError::State) | Failure::Refused(_));
            (failure.answer(headers, "/"), is_over)
        }
    };
    match is_over {
        true => with_cookie(response, sessions.cookies().remove(Cookie::Login)),
        false => response,
    }
}

async fn finish(auth: &Auth, request: &Parts) -> Result<(HeaderValue, String), Failure> {
    let (now, headers) = (auth.clock.now(), &request.headers);
    auth.admit(auth.address(&request.extensions, &request.headers), now)?;
    let logins = &auth.logins;
    let provider = logins.provider.as_ref().ok_or(Failure::NotConfigured)?;
    let callback = Query::<Callback>::try_from_uri(&request.uri).map_err(|_| OidcError::State)?;
    let signer = logins.sessions.signer().await.map_err(OidcError::from)?;
    let kept = logins.sessions.cookies().read(Cookie::Login, headers);
    match provider.finish(signer, &kept, callback.0, now).await {
        Ok((stay, then)) => Ok((enter(auth, headers, stay, now).await?, then)),
        Err(error) => {
            tracing::warn!(%error, "a login failed");
            let who = match &error {
                OidcError::NoRole { subject, .. } => Some(subject.as_str()),
                OidcError::Away { .. }
                | OidcError::Described(_)
                | OidcError::State
                | OidcError::Refused { .. }
                | OidcError::Token { .. }
                | OidcError::Store(_) => None,
            };
            logins.record_refused(OIDC, error.word(), who, now).await;
            Err(error.into())
        }
    }
}

/// Opens a session in place of the one that this browser had.
pub(super) async fn enter(
    auth: &Auth,
    headers: &HeaderMap,
    stay: Stay,
    now: Timestamp,
) -> Result<HeaderValue, OidcError> {
    let logins = &auth.logins;
    if let Ok(Some(before)) = logins.sessions.find(headers, now).await {
        logins.sessions.end(&Ending::Session(before.current.hash)).await?;
    }
    let caller = stay.caller.clone();
    let cookie = logins.sessions.open(stay, now).await?;
    logins.record_login(&caller, now).await;
    Ok(cookie)
}
