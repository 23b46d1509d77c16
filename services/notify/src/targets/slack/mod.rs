//! Slack. With a bot token there is one message per case, changed whenever the case does, and a reply beneath it when
//! a person is needed anew; with an incoming webhook, a message per piece of news.

mod api;
pub(crate) mod blocks;
pub(crate) mod click;

use super::{Receiver, client, parse, secret, secret_if_any};
use crate::config;
use crate::http::{Failure, Http};
use crate::kind::Kind;
use crate::news::{Digest, News};
use crate::words;
use api::{Api, Posted, Said};
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_domain::case::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// A Slack channel.
pub(super) struct Slack {
    target: String,
    has_buttons: bool,
    way: Way,
}

enum Way {
    Bot(Api),
    Webhook { http: Http, url: Url },
}

/// What a delivery leaves for the next one of the case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    channel: String,
    ts: String,
    /// The call for a person that was made last.
    called: Option<String>,
}

impl Slack {
    pub fn new(target: &str, options: &config::Slack, timeout: Duration) -> Result<Self, String> {
        let signing = secret_if_any(
            "signing_secret",
            &options.signing_secret,
            &options.signing_secret_file,
        )?;
        let way = match secret_if_any("token", &options.token, &options.token_file)? {
            Some(token) => Way::Bot(Api::new(options, token, timeout)?),
            None => {
                let address = secret("webhook_url", &options.webhook_url, &options.webhook_url_file)?;
                let url = parse("webhook_url", address.expose())?;
                let http = client(timeout, &url, &options.ca_file, vec![address])?;
                Way::Webhook { http, url }
            }
        };
        Ok(Slack {
            target: target.to_owned(),
            has_buttons: signing.is_some(),
            way,
        })
    }

    fn said(&self, news: &News) -> Said {
        Said {
            text: blocks::escaped(&words::headline(news)),
            blocks: blocks::of_news(news, self.has_buttons.then_some(self.target.as_str())),
        }
    }

    /// Makes or changes the message of a case.
    async fn tell_as_bot(&self, api: &Api, news: &News) -> Result<Option<Value>, Failure> {
        let said = self.said(news);
        let call = call(news);
        let held = receipt(news);
        let mut receipt = match held {
            Some(receipt) => match api.update(&receipt.channel, &receipt.ts, &said, news.now).await? {
                Posted::Yes => receipt,
                // Somebody removed it. News that calls for a person makes a new one, the rest stays unsaid.
                Posted::Gone if is_calling(news, Some(&receipt)) => self.post(api, news, &said).await?,
                Posted::Gone => return Ok(None),
            },
            None => {
                let mut receipt = self.post(api, news, &said).await?;
                receipt.called = call;
                return Ok(Some(json!(receipt)));
            }
        };
        if is_calling(news, Some(&receipt)) {
            let reply = Said {
                text: blocks::escaped(&format!(
                    "{}: {}",
                    words::what(news.kind),
                    words::short(&news.event.text, 600)
                )),
                blocks: Value::Null,
            };
            let found = match news.is_doubtful {
                true => {
                    api.find(&receipt.channel, Some(&receipt.ts), &news.id, news.event.at)
                        .await
                }
                false => None,
            };
            if found.is_none() {
                api.post(&receipt.channel, Some(&receipt.ts), &news.id, &reply, news.now)
                    .await?;
            }
            receipt.called = call;
        }
        Ok(Some(json!(receipt)))
    }

    async fn post(&self, api: &Api, news: &News, said: &Said) -> Result<Receipt, Failure> {
        let channel = api.channel();
        let found = match news.is_doubtful {
            true => api.find(channel, None, &news.id, news.event.at).await,
            false => None,
        };
        let (channel, ts) = match found {
            Some(ts) => (channel.to_owned(), ts),
            None => api.post(channel, None, &news.id, said, news.now).await?,
        };
        Ok(Receipt {
            channel,
            ts,
            called: None,
        })
    }

    async fn send(&self, said: &Said, id: &str, now: Timestamp) -> Result<(), Failure> {
        match &self.way {
            Way::Bot(api) => api.post(api.channel(), None, id, said, now).await.map(|_| ()),
            Way::Webhook { http, url } => {
                let body = json!({ "text": said.text, "blocks": said.blocks });
                http.succeed(http.post(url.clone()).json(&body), now)
                    .await
                    .map(|_| ())
            }
        }
    }
}

fn receipt(news: &News) -> Option<Receipt> {
    serde_json::from_value(news.receipt.clone()?).ok()
}

/// Names the present call for a person: a new wait, an escalation, a first word of two and a breach are new calls.
fn call(news: &News) -> Option<String> {
    let case = news.case.as_ref()?;
    let first = case
        .first_approval
        .as_ref()
        .map_or(0, |first| first.at.as_micros());
    match (&case.state, case.quarantine.breaches) {
        (
            State::AwaitingApproval {
                since, escalations, ..
            },
            breaches,
        ) => Some(format!("{}.{escalations}.{breaches}.{first}", since.as_micros())),
        (
            State::Rejected { .. }
            | State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. },
            breaches,
        ) => (breaches > 0 || first > 0).then(|| format!("{breaches}.{first}")),
    }
}

/// Whether the news calls for a person who has not been called yet.
fn is_calling(news: &News, receipt: Option<&Receipt>) -> bool {
    match news.kind {
        Kind::Waiting | Kind::Breached => {
            let call = call(news);
            call.is_some() && call != receipt.and_then(|receipt| receipt.called.clone())
        }
        Kind::Opened
        | Kind::Worsened
        | Kind::Contained
        | Kind::Decided
        | Kind::Healing
        | Kind::Healed
        | Kind::Failed
        | Kind::Released
        | Kind::Test => false,
    }
}

#[async_trait]
impl Receiver for Slack {
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure> {
        match &self.way {
            Way::Bot(api) => self.tell_as_bot(api, news).await,
            Way::Webhook { .. } => self
                .send(&self.said(news), &news.id, news.now)
                .await
                .map(|()| None),
        }
    }

    async fn tell_digest(&self, digest: &Digest) -> Result<(), Failure> {
        let said = Said {
            text: words::digest_headline(digest),
            blocks: blocks::of_digest(digest),
        };
        self.send(&said, &digest.id, digest.now).await
    }

    fn is_loud(&self, news: &News) -> bool {
        match (&self.way, receipt(news)) {
            (Way::Bot(_), Some(receipt)) => is_calling(news, Some(&receipt)),
            (Way::Bot(_), None) | (Way::Webhook { .. }, _) => true,
        }
    }

    fn keeps_messages(&self) -> bool {
        match &self.way {
            Way::Bot(_) => true,
            Way::Webhook { .. } => false,
        }
    }

    fn wants_plan(&self) -> bool {
        true
    }
}
