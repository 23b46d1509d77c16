//! Slack's Web API, as far as it is used: `chat.postMessage`, `chat.update`, and a look for a message of ours.
//! <https://docs.slack.dev/reference/methods>

use super::{client, parse};
use crate::config;
use crate::http::{Failure, Fate, Http, retry_after};
use immune_domain::Timestamp;
use immune_runtime::config::Secret;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// Type of the metadata that names our messages.
const EVENT_TYPE: &str = "immune_news";
/// Messages that are looked through for one of ours.
const LOOK_MAX: &str = "100";

/// What to say.
pub(super) struct Said {
    /// For notifications and readers; escaped.
    pub text: String,
    /// The message; null: the text alone.
    pub blocks: Value,
}

/// What became of a change.
pub(super) enum Posted {
    /// Done.
    Yes,
    /// There is no such message any more.
    Gone,
}

/// The API with a bot's token.
pub(super) struct Api {
    http: Http,
    base: Url,
    token: Secret,
    channel: String,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Answer {
    ok: bool,
    error: String,
    ts: String,
    channel: String,
    messages: Vec<Message>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Message {
    ts: String,
    metadata: Value,
}

impl Api {
    pub fn new(options: &config::Slack, token: Secret, timeout: Duration) -> Result<Self, String> {
        let base = parse("api_url", &format!("{}/", options.api_url.trim_end_matches('/')))?;
        Ok(Api {
            http: client(timeout, &base, &options.ca_file, vec![token.clone()])?,
            base,
            token,
            channel: options.channel.clone(),
        })
    }

    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Posts a message, or a reply that the channel sees, too. Returns its channel and time, which name it.
    pub async fn post(
        &self,
        channel: &str,
        thread: Option<&str>,
        id: &str,
        said: &Said,
        now: Timestamp,
    ) -> Result<(String, String), Failure> {
        let mut body = json!({
            "channel": channel, "text": said.text, "unfurl_links": false, "unfurl_media": false,
            "metadata": { "event_type": EVENT_TYPE, "event_payload": { "id": id } },
        });
        if !said.blocks.is_null() {
            body["blocks"] = said.blocks.clone();
        }
        if let Some(thread) = thread {
            body["thread_ts"] = json!(thread);
            body["reply_broadcast"] = json!(true);
        }
        let answer = self
            .call(self.method("chat.postMessage")?.json(&body), now)
            .await?;
        match answer.ok {
            true => Ok((answer.channel, answer.ts)),
            false => Err(self.refused(&answer.error)),
        }
    }

    /// Changes a message.
    pub async fn update(
        &self,
        channel: &str,
        ts: &str,
        said: &Said,
        now: Timestamp,
    ) -> Result<Posted, Failure> {
        let body = json!({ "channel": channel, "ts": ts, "text": said.text, "blocks": said.blocks });
        let answer = self.call(self.method("chat.update")?.json(&body), now).await?;
        match (answer.ok, answer.error.as_str()) {
            (true, _) => Ok(Posted::Yes),
            (false, "message_not_found" | "cant_update_message" | "edit_window_closed") => Ok(Posted::Gone),
            (false, error) => Err(self.refused(error)),
        }
    }

    /// Looks for a message of ours whose answer may have been lost. Needs the scope `channels:history`; without it
    /// nothing is found, and the message may come twice.
    pub async fn find(
        &self,
        channel: &str,
        thread: Option<&str>,
        id: &str,
        since: Timestamp,
    ) -> Option<String> {
        let url = self.place_of(channel, thread, since)?;
        let request = self.http.get(url).bearer_auth(self.token.expose());
        let answer = self.call(request, since).await.ok()?;
        if !answer.ok {
            tracing::debug!(error = %self.http.clean(&answer.error), "slack does not show the channel's history");
            return None;
        }
        let is_it = |message: &Message| message.metadata["event_payload"]["id"] == json!(id);
        answer.messages.into_iter().find(is_it).map(|message| message.ts)
    }

    /// Where messages can be looked through.
    fn place_of(&self, channel: &str, thread: Option<&str>, since: Timestamp) -> Option<Url> {
        let method = thread.map_or("conversations.history", |_| "conversations.replies");
        let mut url = self.base.join(method).ok()?;
        let oldest = since.minus(Duration::from_secs(60)).as_micros() / 1_000_000;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("channel", channel)
            .append_pair("limit", LOOK_MAX);
        query
            .append_pair("oldest", &oldest.to_string())
            .append_pair("include_all_metadata", "true");
        if let Some(thread) = thread {
            query.append_pair("ts", thread);
        }
        drop(query);
        Some(url)
    }

    fn method(&self, name: &str) -> Result<RequestBuilder, Failure> {
        let url = self
            .base
            .join(name)
            .map_err(|_| Failure::never("no url can name the method"))?;
        Ok(self.http.post(url).bearer_auth(self.token.expose()))
    }

    async fn call(&self, request: RequestBuilder, now: Timestamp) -> Result<Answer, Failure> {
        let answered = self.http.succeed(request, now).await?;
        let answer: Answer = serde_json::from_slice(&answered.body).map_err(|_| Failure {
            words: "the answer cannot be read".to_owned(),
            fate: Fate::Away { after: None },
        })?;
        match answer.error.as_str() {
            "ratelimited" | "rate_limited" => Err(Failure {
                words: "ratelimited".to_owned(),
                fate: Fate::Away {
                    after: retry_after(&answered.headers, now),
                },
            }),
            "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" => Err(Failure {
                words: answer.error.clone(),
                fate: Fate::Away { after: None },
            }),
            _ => Ok(answer),
        }
    }

    fn refused(&self, error: &str) -> Failure {
        let words = format!("slack says {}", self.http.clean(error));
        match error {
            "invalid_blocks"
            | "invalid_blocks_format"
            | "msg_too_long"
            | "msg_blocks_too_long"
            | "no_text" => Failure::never(words),
            _ => Failure::refused(words),
        }
    }
}
