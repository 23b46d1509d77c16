//! `/auth/...`: logging in and out. People's browsers are answered with redirects, programs with JSON.
//!
//! | path | what |
//! |---|---|
//! | `GET /auth/login?then=/path` | to the OpenID provider |
//! | `GET /auth/callback` | back from it, with a session, to `then` |
//! | `POST /auth/key` | a session for an API key: `{"key": "...", "then": "/path"}` or the same as a form |
//! | `POST /auth/logout` | ends the session; says where to end the provider's, too |
//! | `POST /auth/backchannel-logout` | the provider says that somebody has logged out |
//!
//! A login that fails leads a browser to `/login?error=WORD`; the words are those of [`crate::OidcError::word`],
//! [`crate::Refusal::word`] and `not_configured`.

mod answer;
mod key;
mod login;
mod logout;
pub(crate) mod record;
mod then;

use crate::{Address, Door, Logins, Peer, Refusal};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Extensions, HeaderMap};
use axum::routing::{get, post};
use immune_domain::Timestamp;
use immune_runtime::clock::SharedClock;
use std::sync::Arc;

/// The largest body, bytes: a logout token and its form.
const BODY_BYTES_MAX: usize = 96 << 10;

/// Paths of this router, for who lists them all.
pub const PATHS: [(&str, &str); 5] = [
    ("GET", "/auth/login"),
    ("GET", "/auth/callback"),
    ("POST", "/auth/key"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/backchannel-logout"),
];

/// What the handlers work with.
#[derive(Clone)]
struct Auth {
    door: Door,
    logins: Arc<Logins>,
    clock: SharedClock,
}

/// The routes; none for a door without logins. Whoever merges them puts its layers around them: bounds, security
/// headers, and the check that no other site's page sends a write.
pub fn router<S: Clone + Send + Sync + 'static>(door: &Door, clock: SharedClock) -> Router<S> {
    let Some(logins) = door.logins.clone() else {
        return Router::new();
    };
    let auth = Auth {
        door: door.clone(),
        logins,
        clock,
    };
    Router::new()
        .route("/auth/login", get(login::login))
        .route("/auth/callback", get(login::callback))
        .route("/auth/key", post(key::login))
        .route("/auth/logout", post(logout::logout))
        .route("/auth/backchannel-logout", post(logout::backchannel))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(auth)
}

impl Auth {
    fn address(&self, extensions: &Extensions, headers: &HeaderMap) -> Address {
        self.door.address(Peer::of(extensions), headers)
    }

    /// Lets somebody whom we do not know yet ask once more.
    fn admit(&self, address: Address, now: Timestamp) -> Result<(), Refusal> {
        let admitted = self.door.limits().admit_stranger(address, now);
        if let Err(refusal) = &admitted {
            self.door.metrics().refuse(refusal);
        }
        admitted
    }
}
