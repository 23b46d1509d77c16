//! Requests to the provider: bounded in time and size, never redirected.

use super::config::{Config, is_loopback};
use super::error::OidcError;
use immune_runtime::config::Secret;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect};
use serde::de::DeserializeOwned;
use url::Url;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Why requests could not be prepared.
pub type BuildError = Box<dyn std::error::Error + Send + Sync>;

/// A client for one provider.
pub(crate) struct Fetch(Client);

impl Fetch {
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        // A process that has chosen its own provider of cryptography keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let issuer = Url::parse(&config.issuer)?;
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(config.request_max())
            .user_agent(concat!("immune/", env!("CARGO_PKG_VERSION")));
        if issuer.scheme() != "https" {
            // Without this the client would want the system's certificates even where none is ever checked.
            client = client.tls_certs_only(Vec::<Certificate>::new());
        }
        if is_loopback(&issuer) {
            client = client.no_proxy();
        }
        if let Some(file) = &config.ca_file {
            for certificate in Certificate::from_pem_bundle(&std::fs::read(file)?)? {
                client = client.add_root_certificate(certificate);
            }
        }
        Ok(Fetch(client.build()?))
    }

    /// A JSON document.
    pub async fn get<T: DeserializeOwned>(&self, what: &'static str, url: Url) -> Result<T, OidcError> {
        let (status, body) = read(what, self.0.get(url)).await?;
        if status != StatusCode::OK {
            return Err(away(what, format!("status {status}")));
        }
        parsed(what, &body)
    }

    /// A JSON document for the holder of a token.
    pub async fn get_as<T: DeserializeOwned>(
        &self,
        what: &'static str,
        url: Url,
        token: &Secret,
    ) -> Result<T, OidcError> {
        let (status, body) = read(what, self.0.get(url).bearer_auth(token.expose())).await?;
        if status != StatusCode::OK {
            return Err(away(what, format!("status {status}")));
        }
        parsed(what, &body)
    }

    /// The answer to a form, whatever its status.
    pub async fn post(
        &self,
        what: &'static str,
        url: Url,
        form: &[(&str, &str)],
        basic: Option<(&str, &Secret)>,
    ) -> Result<(StatusCode, Vec<u8>), OidcError> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut request = self
            .0
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        if let Some((id, secret)) = basic {
            // RFC 6749, section 2.3.1: both are form-encoded first.
            request = request.basic_auth(form_encoded(id), Some(form_encoded(secret.expose())));
        }
        read(what, request).await
    }
}

fn form_encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

async fn read(what: &'static str, request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), OidcError> {
    let mut response = request.send().await.map_err(|error| lost(what, error))?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| lost(what, error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(away(what, format!("more than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), body))
}

pub(crate) fn parsed<T: DeserializeOwned>(what: &'static str, body: &[u8]) -> Result<T, OidcError> {
    serde_json::from_slice(body).map_err(|error| away(what, format!("not the JSON that is due: {error}")))
}

/// An error without its URL, which may hold more than a log should.
fn lost(what: &'static str, error: reqwest::Error) -> OidcError {
    let error = error.without_url();
    let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
    away(what, format!("{error}{cause}"))
}

fn away(what: &'static str, problem: String) -> OidcError {
    OidcError::Away { what, problem }
}
