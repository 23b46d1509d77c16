//! Access tokens of an API client: short-lived, fetched when needed.

use crate::http::{Failure, Http};
use immune_domain::Timestamp;
use immune_runtime::config::Secret;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use url::{Url, form_urlencoded};

/// How long before its end a token is replaced.
const MARGIN: Duration = Duration::from_secs(30);

/// The tokens of one API client.
pub(super) struct Tokens {
    http: Http,
    place: Url,
    client_id: String,
    client_secret: Secret,
    held: Mutex<Option<(Secret, Timestamp)>>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    expires_in: u64,
}

impl Tokens {
    pub fn new(http: Http, place: Url, client_id: String, client_secret: Secret) -> Self {
        Tokens {
            http,
            place,
            client_id,
            client_secret,
            held: Mutex::new(None),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<(Secret, Timestamp)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token that holds for a while.
    pub async fn get(&self, now: Timestamp) -> Result<Secret, Failure> {
        if let Some((token, _)) = self.held().as_ref().filter(|(_, until)| now < *until) {
            return Ok(token.clone());
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", self.client_secret.expose())
            .finish();
        let request = self.http.post(self.place.clone());
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let answered = self.http.send(request).await?;
        if !answered.status.is_success() {
            let mut failure = self.http.failure(&answered, now);
            failure.words = format!("no access token: {}", failure.words);
            // The message is not to blame.
            if failure.fate == crate::http::Fate::Never {
                failure.fate = crate::http::Fate::Refused;
            }
            return Err(failure);
        }
        let granted: Granted = serde_json::from_slice(&answered.body)
            .map_err(|_| Failure::refused("no access token: the answer cannot be read"))?;
        let until = now.plus(Duration::from_secs(granted.expires_in).saturating_sub(MARGIN));
        *self.held() = Some((granted.access_token.clone(), until));
        Ok(granted.access_token)
    }

    /// Forgets a token that was refused.
    pub fn forget(&self, token: &Secret) {
        let mut held = self.held();
        if held.as_ref().is_some_and(|(known, _)| known == token) {
            *held = None;
        }
    }
}
