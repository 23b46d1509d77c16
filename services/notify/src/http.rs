//! One request and its whole answer: TLS verified, redirects refused, sizes and times bounded, and no words that
//! could hold a secret.

use immune_domain::Timestamp;
use immune_runtime::config::Secret;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use url::Url;

/// The most of an answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// The most of an answer that is repeated, characters.
const WORDS_CHARS_MAX: usize = 200;
/// The longest wait that a receiver may ask for.
pub(crate) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// Why something could not be told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// For people and the log; holds no secret.
    pub words: String,
    /// What it means for what comes next.
    pub fate: Fate,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The receiver is away or busy: nothing else will get through either. Not before the wait it asked for.
    Away {
        /// The receiver's wish.
        after: Option<Duration>,
    },
    /// The receiver refuses for a reason that a person may mend (a key, a channel).
    Refused,
    /// This message will never be taken.
    Never,
}

impl Failure {
    pub fn never(words: impl Into<String>) -> Self {
        let words = words.into();
        Failure {
            words,
            fate: Fate::Never,
        }
    }

    pub fn refused(words: impl Into<String>) -> Self {
        let words = words.into();
        Failure {
            words,
            fate: Fate::Refused,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// A client for one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    /// What never appears in words.
    secrets: Vec<Secret>,
}

/// A receiver that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("target {target} cannot be set up: {why}")]
pub struct SetupError {
    /// Its name.
    pub target: String,
    /// Why; holds no secret.
    pub why: String,
}

impl SetupError {
    /// What a caller may do about it.
    pub fn kind(&self) -> immune_domain::ErrorKind {
        immune_domain::ErrorKind::Invalid
    }
}

impl Http {
    /// A client whose requests take at most `timeout`.
    pub fn new(
        timeout: Duration,
        url: &Url,
        ca_file: Option<&Path>,
        secrets: Vec<Secret>,
    ) -> Result<Self, String> {
        // A second installation is refused and changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(timeout)
            .connect_timeout(timeout)
            .user_agent(concat!("immune/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // Without this the client would want the system's certificates even where none is ever checked.
            client = client.tls_certs_only(Vec::<Certificate>::new());
        }
        if is_loopback(url) {
            client = client.no_proxy();
        }
        if let Some(file) = ca_file {
            let pem = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let bundle =
                Certificate::from_pem_bundle(&pem).map_err(|error| format!("{}: {error}", file.display()))?;
            for certificate in bundle {
                client = client.add_root_certificate(certificate);
            }
        }
        let client = client.build().map_err(|error| deepest(&error))?;
        Ok(Http { client, secrets })
    }

    pub fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    pub fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    /// Sends a request and reads its answer.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answered, Failure> {
        let mut response = request.send().await.map_err(|error| self.broken(&error))?;
        let (status, headers, mut body) = (response.status(), response.headers().clone(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            let room = ANSWER_BYTES_MAX - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if body.len() == ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(Answered {
            status,
            headers,
            body,
        })
    }

    /// As [`Http::send`], with every answer but a success as a failure.
    pub async fn succeed(&self, request: RequestBuilder, now: Timestamp) -> Result<Answered, Failure> {
        let answered = self.send(request).await?;
        if answered.status.is_success() {
            return Ok(answered);
        }
        Err(self.failure(&answered, now))
    }

    /// What an answer that is no success means.
    pub fn failure(&self, answered: &Answered, now: Timestamp) -> Failure {
        let status = answered.status;
        let fate = match status.as_u16() {
            408 | 425 | 429 | 500..=599 => Fate::Away {
                after: retry_after(&answered.headers, now),
            },
            400 | 405 | 406 | 410 | 411 | 413..=415 | 422 | 431 => Fate::Never,
            _ => Fate::Refused,
        };
        let said = self.clean(&String::from_utf8_lossy(&answered.body));
        let words = match status.as_u16() {
            300..=399 => format!("{status}: answered with a redirect, which is not followed"),
            410 => format!("{status}: the receiver says that it is gone for good"),
            _ if said.is_empty() => status.to_string(),
            _ => format!("{status}: {said}"),
        };
        Failure { words, fate }
    }

    /// Words of somebody else, short, on one line, without our secrets.
    pub fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter(|secret| !secret.expose().is_empty()) {
            text = text.replace(secret.expose(), "***");
        }
        let line: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        line.trim().chars().take(WORDS_CHARS_MAX).collect()
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        let words = if error.is_timeout() {
            "no answer in time".to_owned()
        } else if error.is_builder() {
            return Failure::never("the request cannot be built");
        } else {
            let what = if error.is_connect() {
                "cannot be reached"
            } else {
                "the answer broke off"
            };
            format!("{what}: {}", self.clean(&deepest(error)))
        };
        let fate = Fate::Away { after: None };
        Failure { words, fate }
    }
}

/// The innermost cause: the outer ones repeat the URL, which may be a secret.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Seconds or a date, RFC 9110 section 10.2.3.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => {
            let date = httpdate::parse_http_date(text).ok()?;
            let micros = i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()?;
            Timestamp::from_micros(micros).since(now)
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Whether a URL leads to this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    /// Guarantees: seconds and dates are read, the past is now, absurd wishes are bounded, nonsense is nothing.
    #[test]
    fn wishes_to_wait() {
        let now = Timestamp::from_micros(1_767_225_600_000_000);
        let wish = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, now)
        };
        assert_eq!(wish("7"), Some(Duration::from_secs(7)));
        assert_eq!(wish("999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(
            wish("Thu, 01 Jan 2026 00:00:30 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(wish("Thu, 01 Jan 2015 00:00:30 GMT"), Some(Duration::ZERO));
        assert_eq!(wish("soon"), None);
    }

    /// Guarantees: a receiver's words are one short line without our secrets.
    #[test]
    fn words_hold_no_secrets() {
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let http = Http::new(
            Duration::from_secs(1),
            &url,
            None,
            vec![Secret::new("hunter2"), Secret::new("")],
        );
        let said = http
            .unwrap()
            .clean(&format!("you sent\r\nhunter2 {}", "x".repeat(500)));
        assert!(
            said.starts_with("you sent  *** xxx") && said.chars().count() == WORDS_CHARS_MAX,
            "{said}"
        );
    }
}
