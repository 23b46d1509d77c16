//! Microsoft Teams, through a Workflows webhook that takes Adaptive Cards. A message cannot be changed and has no
//! identity for the receiver, so each piece of news is a card of its own; one whose answer was lost may come twice.

use super::{Receiver, client, parse, secret};
use crate::config;
use crate::http::{Failure, Http};
use crate::news::{Digest, News};
use crate::words;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// A Teams channel.
pub(super) struct Teams {
    http: Http,
    url: Url,
}

impl Teams {
    pub fn new(options: &config::Teams, timeout: Duration) -> Result<Self, String> {
        let address = secret("url", &options.url, &options.url_file)?;
        let url = parse("url", address.expose())?;
        let http = client(timeout, &url, &options.ca_file, vec![address])?;
        Ok(Teams { http, url })
    }

    async fn send(
        &self,
        body: Vec<Value>,
        link: Option<&str>,
        now: immune_domain::Timestamp,
    ) -> Result<(), Failure> {
        let actions: Vec<Value> = link
            .map(|url| json!({ "type": "Action.OpenUrl", "title": "Look and decide", "url": url }))
            .into_iter()
            .collect();
        // https://adaptivecards.io/explorer/AdaptiveCard.html
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
            "version": "1.4", "msteams": { "width": "Full" }, "body": body, "actions": actions,
        });
        let message = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card,
            }],
        });
        self.http
            .succeed(self.http.post(self.url.clone()).json(&message), now)
            .await
            .map(|_| ())
    }
}

/// Text blocks read some Markdown; what comes from agents must not become links or lists.
fn plain(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_{}[]()#+-!<>|~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn block(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": plain(text), "wrap": true })
}

fn title(text: &str) -> Value {
    json!({ "type": "TextBlock", "text": plain(text), "wrap": true, "size": "Medium", "weight": "Bolder" })
}

#[async_trait]
impl Receiver for Teams {
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure> {
        let mut body = vec![
            title(&words::headline(news)),
            block(&words::short(&news.event.text, 600)),
        ];
        if let Some(case) = &news.case {
            let mut facts = vec![
                json!({ "title": "Agent", "value": plain(case.key.agent.as_str()) }),
                json!({ "title": "Run", "value": plain(case.key.run.as_str()) }),
                json!({ "title": "Now", "value": plain(&words::standing(case)) }),
                json!({ "title": "What moved", "value": plain(&words::moved(case).join("; ")) }),
                json!({ "title": "Why", "value": plain(&words::because(case)) }),
            ];
            if let Some(plan) = &news.plan {
                facts.push(json!({ "title": "What would be done", "value": plain(&words::plan(plan)) }));
            }
            body.push(json!({ "type": "FactSet", "facts": facts }));
        }
        self.send(body, news.url.as_deref(), news.now)
            .await
            .map(|()| None)
    }

    async fn tell_digest(&self, digest: &Digest) -> Result<(), Failure> {
        let (lines, more) = words::digest_lines(digest);
        let mut body = vec![title(&words::digest_headline(digest))];
        body.extend(lines.into_iter().map(|news| block(&words::headline(news))));
        if more > 0 {
            body.push(block(&format!("and {more} more")));
        }
        self.send(body, digest.url.as_deref(), digest.now).await
    }

    fn wants_plan(&self) -> bool {
        true
    }
}
