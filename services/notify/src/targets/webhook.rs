//! CloudEvents 1.0 over HTTP (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>),
//! signed as Standard Webhooks says: `webhook-id` is the id of the event and stays the same when it is sent again,
//! `webhook-timestamp` the second of this attempt, `webhook-signature` one signature per secret, separated by spaces.

use super::{Receiver, client, parse, secret, secret_if_any};
use crate::config::{self, Config, Mode};
use crate::http::{Failure, Http};
use crate::news::{Digest, News};
use crate::sign::WebhookKey;
use crate::words;
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_runtime::config::Secret;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// What the HTTP binding escapes in headers (section 3.1.3.2): spaces, double quotes, percent signs, and everything
/// that is no printable ASCII.
const HEADER: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// A CloudEvents receiver.
pub(super) struct Webhook {
    http: Http,
    url: Url,
    keys: Vec<WebhookKey>,
    authorization: Option<Secret>,
    mode: Mode,
    source: String,
}

/// What differs between events.
struct Event {
    id: String,
    kind: String,
    subject: String,
    at: Timestamp,
    run: Option<String>,
    data: Value,
}

impl Webhook {
    pub fn new(config: &Config, options: &config::Webhook, timeout: Duration) -> Result<Self, String> {
        let address = secret("url", &options.url, &options.url_file)?;
        let url = parse("url", address.expose())?;
        let first = secret("secret", &options.secret, &options.secret_file)?;
        let previous = secret_if_any(
            "previous_secret",
            &options.previous_secret,
            &options.previous_secret_file,
        )?;
        let authorization = secret_if_any(
            "authorization",
            &options.authorization,
            &options.authorization_file,
        )?;
        let mut secrets = vec![address, first.clone()];
        let mut keys = vec![WebhookKey::read(&first)?];
        if let Some(previous) = previous {
            keys.push(WebhookKey::read(&previous)?);
            secrets.push(previous);
        }
        secrets.extend(authorization.clone());
        Ok(Webhook {
            http: client(timeout, &url, &options.ca_file, secrets)?,
            url,
            keys,
            authorization,
            mode: options.mode,
            source: config
                .external_url
                .clone()
                .unwrap_or_else(|| "/immune".to_owned()),
        })
    }

    async fn send(&self, event: Event, now: Timestamp) -> Result<(), Failure> {
        let mut request = self.http.post(self.url.clone());
        let time = event.at.to_string();
        let body = match self.mode {
            Mode::Structured => {
                request = request.header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8");
                let mut whole = json!({
                    "specversion": "1.0", "id": event.id, "source": self.source, "type": event.kind,
                    "subject": event.subject, "time": time, "datacontenttype": "application/json",
                    "data": event.data,
                });
                if let Some(run) = &event.run {
                    whole["immunerun"] = json!(run);
                }
                whole.to_string()
            }
            Mode::Binary => {
                request = request.header(CONTENT_TYPE, "application/json");
                let attributes = [
                    ("ce-specversion", Some("1.0")),
                    ("ce-id", Some(event.id.as_str())),
                    ("ce-source", Some(self.source.as_str())),
                    ("ce-type", Some(event.kind.as_str())),
                    ("ce-subject", Some(event.subject.as_str())),
                    ("ce-time", Some(time.as_str())),
                    ("ce-immunerun", event.run.as_deref()),
                ];
                for (name, value) in attributes {
                    if let Some(value) = value {
                        request = request.header(name, utf8_percent_encode(value, HEADER).to_string());
                    }
                }
                event.data.to_string()
            }
        };
        let seconds = now.as_micros() / 1_000_000;
        let signatures: Vec<String> = self
            .keys
            .iter()
            .map(|key| key.sign(&event.id, seconds, body.as_bytes()))
            .collect();
        request = request
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", signatures.join(" "));
        if let Some(authorization) = &self.authorization {
            let value = HeaderValue::from_str(authorization.expose());
            let mut value =
                value.map_err(|_| Failure::refused("the authorization holds what no header can carry"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        self.http.succeed(request.body(body), now).await.map(|_| ())
    }
}

/// What a program is told of one event. Times are RFC 3339.
fn data(news: &News) -> Value {
    let event = &news.event;
    let mut data = json!({
        "id": news.id, "kind": news.kind, "sequence": news.sequence, "time": event.at.to_string(),
        "run_id": event.key.run, "agent_id": event.key.agent, "case_id": event.case, "text": event.text,
        "url": news.url, "details": event.payload,
    });
    if let Some(case) = &news.case {
        data["case"] = json!({
            "version": case.version, "state": case.state.as_str(), "quarantine": case.quarantine.phase.as_str(),
            "severity": case.infection.severity, "diagnosis_type": case.diagnosis(),
            "opened_at": case.opened_at.to_string(), "updated_at": case.updated_at.to_string(),
        });
    }
    data
}

#[async_trait]
impl Receiver for Webhook {
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure> {
        let event = Event {
            id: news.id.clone(),
            kind: format!("io.immune.case.{}", news.kind),
            subject: news.event.case.to_string(),
            at: news.event.at,
            run: Some(news.event.key.run.to_string()),
            data: data(news),
        };
        self.send(event, news.now).await.map(|()| None)
    }

    async fn tell_digest(&self, digest: &Digest) -> Result<(), Failure> {
        let events: Vec<Value> = digest.news.iter().map(data).collect();
        let event = Event {
            id: digest.id.clone(),
            kind: "io.immune.digest".to_owned(),
            subject: "digest".to_owned(),
            at: digest.now,
            run: None,
            data: json!({
                "id": digest.id, "text": words::digest_headline(digest), "url": digest.url, "events": events,
            }),
        };
        self.send(event, digest.now).await
    }
}
