//! Answers: redirects for people's browsers, JSON for programs.

use crate::{OidcError, Refusal};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use immune_runtime::http::problem::Problem;

/// Why somebody did not get in, or out.
pub(super) enum Failure {
    Refused(Refusal),
    Oidc(OidcError),
    /// There is no OpenID provider.
    NotConfigured,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<OidcError> for Failure {
    fn from(error: OidcError) -> Self {
        Failure::Oidc(error)
    }
}

impl Failure {
    pub fn word(&self) -> &'static str {
        match self {
            Failure::Refused(refusal) => refusal.word(),
            Failure::Oidc(error) => error.word(),
            Failure::NotConfigured => "not_configured",
        }
    }

    pub fn problem(&self) -> Problem {
        match self {
            Failure::Refused(refusal) => refusal.problem(),
            Failure::Oidc(error) => Problem::new(
                error.kind(),
                &format!("access.{}", error.word()),
                error.sentence(),
            ),
            Failure::NotConfigured => Problem::with_status(
                StatusCode::NOT_FOUND,
                "access.not_configured",
                "no OpenID provider is configured; log in with an API key",
            ),
        }
    }

    /// For a person the login page, which says what went wrong; for a program the problem.
    pub fn answer(&self, headers: &HeaderMap, then: &str) -> Response {
        if !wants_page(headers) {
            return self.problem().into_response();
        }
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("error", self.word());
        if then != "/" {
            query.append_pair("then", then);
        }
        redirect(&format!("/login?{}", query.finish()))
    }
}

/// Whether a browser goes from page to page, rather than a program or a script that reads the answer.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// See other: the browser asks with GET, whatever it has sent.
pub(super) fn redirect(to: &str) -> Response {
    let Ok(to) = HeaderValue::from_str(to) else {
        // Urls and paths that were parsed are ASCII.
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response()
}

/// Adds a `Set-Cookie`.
pub(super) fn with_cookie(mut response: Response, cookie: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}
