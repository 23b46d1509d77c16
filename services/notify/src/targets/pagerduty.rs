//! PagerDuty, Events API v2 (<https://developer.pagerduty.com/docs/events-api-v2-overview>). One incident per case:
//! the case id is its `dedup_key`, so that what is sent twice is one. A person's decision acknowledges it, the end of
//! the case resolves it.

use super::{Receiver, client, parse, secret};
use crate::config;
use crate::http::{Failure, Http};
use crate::kind::Kind;
use crate::news::News;
use crate::words;
use async_trait::async_trait;
use immune_runtime::config::Secret;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// The longest summary, characters.
const SUMMARY_CHARS_MAX: usize = 1_024;
/// The longest key, characters.
const KEY_CHARS_MAX: usize = 255;

/// A PagerDuty service.
pub(super) struct PagerDuty {
    http: Http,
    url: Url,
    routing_key: Secret,
}

/// What an event does to the incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Trigger,
    Acknowledge,
    Resolve,
    Nothing,
}

fn deed(news: &News) -> Deed {
    if news.is_over() {
        return Deed::Resolve;
    }
    match news.kind {
        Kind::Opened | Kind::Worsened | Kind::Waiting | Kind::Failed | Kind::Breached | Kind::Test => {
            Deed::Trigger
        }
        Kind::Decided => Deed::Acknowledge,
        Kind::Healed => Deed::Resolve,
        Kind::Contained | Kind::Healing | Kind::Released => Deed::Nothing,
    }
}

/// PagerDuty's four words for a severity from 0 to 10.
fn severity(news: &News) -> &'static str {
    match (news.kind, news.severity()) {
        (Kind::Test, _) => "info",
        (Kind::Breached, _) => "critical",
        (_, severity) if severity >= 9.0 => "critical",
        (_, severity) if severity >= 7.0 => "error",
        (_, severity) if severity >= 4.0 => "warning",
        (_, _) => "info",
    }
}

impl PagerDuty {
    pub fn new(options: &config::PagerDuty, timeout: Duration) -> Result<Self, String> {
        let routing_key = secret("routing_key", &options.routing_key, &options.routing_key_file)?;
        let url = parse("url", &options.url)?;
        Ok(PagerDuty {
            http: client(timeout, &url, &options.ca_file, vec![routing_key.clone()])?,
            url,
            routing_key,
        })
    }

    async fn send(&self, news: &News, mut event: Value) -> Result<(), Failure> {
        event["routing_key"] = json!(self.routing_key.expose());
        event["dedup_key"] = json!(words::short(news.event.case.as_str(), KEY_CHARS_MAX));
        self.http
            .succeed(self.http.post(self.url.clone()).json(&event), news.now)
            .await
            .map(|_| ())
    }

    async fn trigger(&self, news: &News) -> Result<(), Failure> {
        let key = &news.event.key;
        let summary = format!("{} ({})", words::headline(news), news.event.text);
        let mut details = json!({
            "kind": news.kind, "run_id": key.run, "agent_id": key.agent, "case_id": news.event.case,
            "severity": news.severity(), "text": news.event.text,
        });
        if let Some(case) = &news.case {
            details["now"] = json!(words::standing(case));
            details["moved"] = json!(words::moved(case));
            details["because"] = json!(words::because(case));
        }
        let links: Vec<Value> = news
            .url
            .iter()
            .map(|url| json!({ "href": url, "text": "Look and decide" }))
            .collect();
        let event = json!({
            "event_action": "trigger", "client": "AI Agent Immune System", "client_url": news.url, "links": links,
            "payload": {
                "summary": words::short(&summary, SUMMARY_CHARS_MAX), "timestamp": news.event.at.to_string(),
                "severity": severity(news), "source": format!("{}/{}", key.run, key.agent),
                "component": key.agent, "group": key.run, "class": news.diagnosis(), "custom_details": details,
            },
        });
        self.send(news, event).await
    }
}

#[async_trait]
impl Receiver for PagerDuty {
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure> {
        match deed(news) {
            Deed::Trigger => self.trigger(news).await?,
            Deed::Acknowledge => self.send(news, json!({ "event_action": "acknowledge" })).await?,
            Deed::Resolve => self.send(news, json!({ "event_action": "resolve" })).await?,
            Deed::Nothing => {}
        }
        if news.kind == Kind::Test {
            self.send(news, json!({ "event_action": "resolve" })).await?;
        }
        Ok(None)
    }

    fn is_loud(&self, news: &News) -> bool {
        deed(news) != Deed::Nothing
    }
}
