//! The HTTP form: `proto/lifecycle.openapi.yaml`.

mod answer;

use crate::config::{Base, Config};
use crate::credential::Credential;
use crate::reply::{Order, Reply, Seen, Wire, Word, words};
use answer::Answered;
use async_trait::async_trait;
use immune_domain::AgentKey;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Certificate, Client, Method, RequestBuilder, Response, redirect};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Whatever a path segment must not hold; the unreserved characters of RFC 3986 stay readable.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// What a header cannot carry as it is, and the escape itself.
const HEADER: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// One platform over HTTP.
pub(crate) struct Http {
    client: Client,
    base: Url,
    credential: Credential,
    bytes_max: usize,
}

#[derive(Deserialize)]
struct AgentBody {
    contained: bool,
    #[serde(default)]
    state: Option<String>,
}

impl Http {
    pub(crate) fn new(
        base: &Base,
        config: &Config,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut url = Url::parse(&base.url)?;
        // Joining replaces what follows the last slash.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(Duration::from_secs_f64(config.request_seconds))
            .user_agent(concat!("immune/", env!("CARGO_PKG_VERSION")));
        if !base.is_tls() {
            // Without this the client would want the system's certificates even where none is ever checked.
            client = client.tls_certs_only(Vec::<Certificate>::new());
        }
        if is_loopback(&url) {
            client = client.no_proxy();
        }
        if let Some(file) = &base.ca_file {
            for certificate in Certificate::from_pem_bundle(&std::fs::read(file)?)? {
                client = client.add_root_certificate(certificate);
            }
        }
        let credential = Credential::of(base);
        Ok(Http {
            client: client.build()?,
            base: url,
            credential,
            bytes_max: config.response_bytes_max,
        })
    }

    fn agent_url(&self, key: &AgentKey, rest: &str) -> Result<Url, String> {
        let agent = utf8_percent_encode(key.agent.as_str(), SEGMENT);
        self.base
            .join(&format!("agents/{agent}{rest}"))
            .map_err(|e| format!("no url can name {key}: {e}"))
    }

    /// One request and its whole answer; the error is a sentence without the url, which may be told to people.
    async fn send(
        &self,
        method: Method,
        url: Url,
        key: &AgentKey,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Answered, String> {
        let mut request = self.client.request(method, url).timeout(timeout);
        request = request.header(
            "x-run-id",
            utf8_percent_encode(key.run.as_str(), HEADER).to_string(),
        );
        request = self.authorised(request).await?;
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| reason(&e))?;
        let (status, headers, url) = (
            response.status(),
            response.headers().clone(),
            response.url().clone(),
        );
        let body = self.read(response).await?;
        Ok(Answered {
            status,
            headers,
            body,
            url,
        })
    }

    async fn authorised(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let Some((name, value)) = self.credential.header().await? else {
            return Ok(request);
        };
        let name =
            HeaderName::try_from(name).map_err(|_| "the credential's header has no valid name".to_owned())?;
        let mut value = HeaderValue::from_str(value.expose())
            .map_err(|_| "the token holds characters that no header can carry".to_owned())?;
        value.set_sensitive(true);
        Ok(request.header(name, value))
    }

    /// Reads a body up to the limit; what is longer is no answer of this API.
    async fn read(&self, mut response: Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| reason(&e))? {
            if body.len() + chunk.len() > self.bytes_max {
                return Err(format!(
                    "the answer ({}) is larger than {} bytes",
                    response.status(),
                    self.bytes_max
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

#[async_trait]
impl Wire for Http {
    async fn act(&self, order: &Order, timeout: Duration) -> Reply {
        let url = match self.agent_url(&order.key, "/actions") {
            Ok(url) => url,
            Err(why) => return Reply::Unclear { why },
        };
        let body = json!({
            "action": order.verb.as_str(),
            "case_id": order.case,
            "idempotency_key": order.idempotency_key,
            "reason": order.reason,
            "parameters": order.parameters,
        });
        let answered = match self
            .send(Method::POST, url, &order.key, Some(&body), timeout)
            .await
        {
            Ok(answered) => answered,
            Err(why) => return Reply::Again { why, wait: None },
        };
        let status = answered.status;
        match status.as_u16() {
            202 => match answered.place(&self.base) {
                Ok(place) => Reply::Pending {
                    place,
                    wait: answered.retry_after(),
                },
                Err(why) => Reply::Unclear { why },
            },
            200..=299 => answered.outcome().unwrap_or_else(|| {
                // Perhaps a page of a proxy in front of a platform that is starting: worth another try.
                Reply::Again {
                    why: format!("{status}, but the answer tells no outcome: {}", answered.words()),
                    wait: None,
                }
            }),
            300..=399 => answered.settled(
                Word::Failed,
                format!("the platform answers with a redirect ({status}), which is not followed"),
            ),
            408 | 425 | 429 => answered.again(),
            404 => {
                let said = answered.words();
                answered.settled(
                    Word::Failed,
                    format!("the platform does not know agent {}: {said}", order.key.agent),
                )
            }
            501 => answered.settled(Word::Unsupported, answered.words()),
            400..=499 => match answered.outcome() {
                Some(
                    reply @ Reply::Settled {
                        word: Word::Failed | Word::Unsupported,
                        ..
                    },
                ) => reply,
                _ => answered.settled(Word::Failed, format!("{status}: {}", answered.words())),
            },
            _ => answered.again(),
        }
    }

    async fn operation(&self, key: &AgentKey, place: &str, timeout: Duration) -> Reply {
        let url = match Url::parse(place) {
            Ok(url) => url,
            Err(e) => {
                return Reply::Unclear {
                    why: format!("the place to poll is no url: {e}"),
                };
            }
        };
        let answered = match self.send(Method::GET, url, key, None, timeout).await {
            Ok(answered) => answered,
            Err(why) => return Reply::Again { why, wait: None },
        };
        let status = answered.status;
        match status.as_u16() {
            // Without a new place the old one holds.
            202 => match answered.place(&self.base) {
                Ok(place) => Reply::Pending {
                    place,
                    wait: answered.retry_after(),
                },
                Err(_) => Reply::Again {
                    why: "it is under way".to_owned(),
                    wait: answered.retry_after(),
                },
            },
            200..=299 => answered.outcome().unwrap_or_else(|| Reply::Again {
                why: format!("{status}, but the answer tells no outcome: {}", answered.words()),
                wait: None,
            }),
            408 | 425 | 429 | 500..=599 => answered.again(),
            // The order was accepted: what became of it is not told by a page that is missing.
            _ => Reply::Unclear {
                why: format!(
                    "the operation cannot be asked for, {status}: {}",
                    answered.words()
                ),
            },
        }
    }

    async fn agent(&self, key: &AgentKey, timeout: Duration) -> Seen {
        let url = match self.agent_url(key, "") {
            Ok(url) => url,
            Err(why) => return Seen::Nothing { why },
        };
        let answered = match self.send(Method::GET, url, key, None, timeout).await {
            Ok(answered) => answered,
            Err(why) => return Seen::Again { why, wait: None },
        };
        let status = answered.status;
        match status.as_u16() {
            200 => match serde_json::from_slice::<AgentBody>(&answered.body) {
                Ok(body) => Seen::Agent {
                    contained: body.contained,
                    state: words(body.state.as_deref().unwrap_or_default(), "no word for the state"),
                    details: serde_json::from_slice(&answered.body).unwrap_or_default(),
                },
                Err(e) => Seen::Again {
                    why: format!("the agent's state cannot be read: {e}"),
                    wait: None,
                },
            },
            404 | 405 | 501 => Seen::Nothing {
                why: format!("the platform does not show the agent ({status})"),
            },
            _ => Seen::Again {
                why: format!("{status}: {}", answered.words()),
                wait: answered.retry_after(),
            },
        }
    }
}

/// What went wrong, without the url: agent ids are the customer's, and errors travel further than logs.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let what = if error.is_connect() {
        "the platform cannot be reached"
    } else {
        "the answer broke off"
    };
    format!("{what}: {deepest}")
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
