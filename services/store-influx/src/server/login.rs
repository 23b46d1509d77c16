//! The login that each request carries.

use crate::config::Config;
use crate::secret::Secret;
use crate::trouble::Trouble;
use crate::version::Version;
use reqwest::RequestBuilder;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use std::path::PathBuf;

/// The most bytes of a secret; more is not one.
const SECRET_BYTES_MAX: usize = 64 * 1_024;

#[derive(Debug, Clone)]
enum Source {
    Value(Secret),
    File(PathBuf),
}

impl Source {
    fn of(value: &Option<Secret>, file: &Option<PathBuf>) -> Option<Self> {
        match (value, file) {
            (Some(value), _) => Some(Source::Value(value.clone())),
            (None, Some(file)) => Some(Source::File(file.clone())),
            (None, None) => None,
        }
    }

    async fn secret(&self) -> Result<Secret, Trouble> {
        match self {
            Source::Value(secret) => Ok(secret.clone()),
            Source::File(file) => {
                let unready = |why: String| Trouble::Unready { why };
                let text = tokio::fs::read_to_string(file)
                    .await
                    .map_err(|e| unready(format!("the secret's file cannot be read: {}", e.kind())))?;
                if text.len() > SECRET_BYTES_MAX {
                    return Err(unready(format!("the secret's file has {} bytes", text.len())));
                }
                Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
            }
        }
    }
}

/// How to log in.
#[derive(Debug, Clone)]
pub(super) enum Login {
    Nobody,
    Token(Secrets),
    User { name: String, password: Secrets },
}

/// Where a secret comes from; prints no secret.
#[derive(Debug, Clone)]
pub(super) struct Secrets(Source);

impl Login {
    pub(super) fn of(config: &Config) -> Self {
        if let Some(source) = Source::of(&config.token, &config.token_file) {
            return Login::Token(Secrets(source));
        }
        match (&config.user, Source::of(&config.password, &config.password_file)) {
            (Some(name), Some(source)) => Login::User {
                name: name.clone(),
                password: Secrets(source),
            },
            (Some(_), None) | (None, _) => Login::Nobody,
        }
    }

    /// For a server of a known generation.
    pub(super) async fn known(
        &self,
        version: Version,
        request: RequestBuilder,
    ) -> Result<RequestBuilder, Trouble> {
        match version {
            Version::V1 | Version::V2 => self.with("Token", request).await,
            Version::V3 => self.with("Bearer", request).await,
        }
    }

    /// For a server of which nothing is known: only 3.x asks for a login on its ping, and it wants this form.
    pub(super) async fn unknown(&self, request: RequestBuilder) -> Result<RequestBuilder, Trouble> {
        self.with("Bearer", request).await
    }

    async fn with(&self, scheme: &str, request: RequestBuilder) -> Result<RequestBuilder, Trouble> {
        match self {
            Login::Nobody => Ok(request),
            Login::Token(token) => {
                let token = token.0.secret().await?;
                let value = HeaderValue::from_str(&format!("{scheme} {}", token.expose()));
                let mut value = value.map_err(|_| Trouble::Unready {
                    why: "the token holds characters that no header can carry".to_owned(),
                })?;
                value.set_sensitive(true);
                Ok(request.header(AUTHORIZATION, value))
            }
            Login::User { name, password } => {
                let password = password.0.secret().await?;
                Ok(request.basic_auth(name, Some(password.expose())))
            }
        }
    }
}
