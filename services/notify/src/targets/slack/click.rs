//! Buttons that were pressed: who pressed which, believed only with Slack's signature, and what the presser is told.
//! <https://docs.slack.dev/interactivity/handling-user-interaction>

use super::blocks::{APPROVE, Pressed, REJECT, of_news};
use crate::config::{Config, SlackUser};
use crate::http::{Http, SetupError};
use crate::kind::Kind;
use crate::news::News;
use crate::sign::{Forged, check_slack};
use crate::targets::{client, parse, secret};
use immune_domain::case::{Case, Decision};
use immune_domain::{CaseId, Timestamp};
use immune_runtime::config::Secret;
use immune_store::cases::NewEvent;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use url::{Url, form_urlencoded};

/// The longest time for an answer to Slack.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// The longest name of a Slack user that is recorded, characters.
const NAME_CHARS_MAX: usize = 80;

/// Every Slack app whose buttons may be pressed.
#[derive(Debug, Clone, Default)]
pub struct Clicks {
    apps: Vec<Arc<App>>,
    links: Config,
}

#[derive(Debug)]
struct App {
    target: String,
    secret: Secret,
    team: Option<String>,
    users: BTreeMap<String, SlackUser>,
    origin: Url,
    http: Http,
    /// Whether messages are changed by the notifier itself; else by the answer to a click.
    is_bot: bool,
}

/// A button that was pressed.
#[derive(Debug, Clone)]
pub struct Click {
    app: Arc<App>,
    response: Option<Url>,
    /// Id of the Slack user.
    pub slack_user: String,
    /// Name of the Slack user, for the record only; it says nothing about who that is.
    pub slack_name: String,
    /// Whom configuration says that the user is; `None`: nobody.
    pub user: Option<SlackUser>,
    /// What was decided.
    pub decision: Decision,
    /// On which case.
    pub case: CaseId,
    /// The version that the message showed.
    pub version: u64,
    /// [`super::blocks::stamp`] of what the message showed.
    pub stamp: String,
}

/// Why a request of Slack asks for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoClick {
    /// It is not from Slack, or not from an app of ours.
    #[error(transparent)]
    Forged(#[from] Forged),
    /// It is signed but makes no sense here.
    #[error("the request cannot be read: {0}")]
    Unreadable(&'static str),
    /// It is signed and asks for nothing, like a link that was followed.
    #[error("nothing to do")]
    Nothing,
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    team: Option<Team>,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

impl Clicks {
    /// The apps of a configuration.
    ///
    /// # Errors
    /// When a secret cannot be read or a client cannot be built.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let mut apps = Vec::new();
        for target in &config.targets {
            let Some(slack) = &target.slack else { continue };
            if slack.signing_secret.is_none() && slack.signing_secret_file.is_none() {
                continue;
            }
            let build = || -> Result<App, String> {
                let secret = secret(
                    "signing_secret",
                    &slack.signing_secret,
                    &slack.signing_secret_file,
                )?;
                let origin = parse("response_origin", &slack.response_origin)?;
                Ok(App {
                    target: target.name.clone(),
                    http: client(ANSWER_MAX, &origin, &slack.ca_file, vec![secret.clone()])?,
                    secret,
                    team: slack.team.clone(),
                    users: slack.users.clone(),
                    origin,
                    is_bot: slack.token.is_some() || slack.token_file.is_some(),
                })
            };
            let app = build().map_err(|why| SetupError {
                target: target.name.clone(),
                why,
            })?;
            apps.push(Arc::new(app));
        }
        let links = Config {
            external_url: config.external_url.clone(),
            ..Config::default()
        };
        Ok(Clicks { apps, links })
    }

    /// Whether no app has buttons.
    pub fn is_empty(&self) -> bool {
        self.apps.is_empty()
    }

    /// Reads a request of Slack: `X-Slack-Request-Timestamp`, `X-Slack-Signature` and the raw body.
    ///
    /// # Errors
    /// Why it asks for nothing.
    pub fn read(
        &self,
        timestamp: Option<&str>,
        signature: Option<&str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Click, NoClick> {
        let (Some(timestamp), Some(signature)) = (timestamp, signature) else {
            return Err(Forged::Malformed.into());
        };
        let mut refusal = Forged::Mismatch;
        // Several targets may share an app and its secret; the button says which one it belongs to.
        let mut signed: Vec<&Arc<App>> = Vec::new();
        for app in &self.apps {
            match check_slack(&app.secret, timestamp, signature, body, now) {
                Ok(()) => signed.push(app),
                Err(why) => refusal = why,
            }
        }
        if signed.is_empty() {
            return Err(refusal.into());
        }
        let payload = form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let (_, payload) = payload.ok_or(NoClick::Unreadable("it has no payload"))?;
        let payload: Payload = serde_json::from_str(&payload)
            .map_err(|_| NoClick::Unreadable("the payload is not one of ours"))?;
        let [action] = payload.actions.as_slice() else {
            return Err(NoClick::Nothing);
        };
        let decision = match action.action_id.as_str() {
            APPROVE => Decision::Approve,
            REJECT => Decision::Reject,
            _ => return Err(NoClick::Nothing),
        };
        if payload.kind != "block_actions" {
            return Err(NoClick::Nothing);
        }
        let pressed: Pressed = serde_json::from_str(&action.value)
            .map_err(|_| NoClick::Unreadable("the button is not one of ours"))?;
        let app = signed.into_iter().find(|app| app.target == pressed.t);
        let app = app.ok_or(NoClick::Unreadable("the button belongs to no target of this app"))?;
        let team = payload.team.map(|team| team.id);
        if app.team.is_some() && app.team != team {
            return Err(NoClick::Unreadable("the click comes from another workspace"));
        }
        let name = if payload.user.username.is_empty() {
            payload.user.name
        } else {
            payload.user.username
        };
        Ok(Click {
            response: payload.response_url.and_then(|url| app.answerable(&url)),
            user: app.users.get(&payload.user.id).cloned(),
            slack_user: payload.user.id,
            slack_name: name
                .chars()
                .filter(|c| !c.is_control())
                .take(NAME_CHARS_MAX)
                .collect(),
            decision,
            case: CaseId::from(pressed.c),
            version: pressed.v,
            stamp: pressed.s,
            app: app.clone(),
        })
    }
}

impl App {
    /// Answers go to Slack and nowhere else, whatever a request says.
    fn answerable(&self, url: &str) -> Option<Url> {
        Url::parse(url)
            .ok()
            .filter(|url| url.origin() == self.origin.origin())
    }
}

impl Click {
    /// Name of the target whose message was clicked.
    pub fn target(&self) -> &str {
        &self.app.target
    }

    /// Tells the presser alone.
    pub async fn tell(&self, text: &str) {
        let body = json!({
            "response_type": "ephemeral", "replace_original": false, "text": super::blocks::escaped(text),
        });
        self.answer(body).await;
    }

    /// Whether the notifier itself changes the message after a decision, as it does with a bot's.
    pub fn is_kept(&self) -> bool {
        self.app.is_bot
    }

    /// Shows everyone how the case stands now, in place of the message that was clicked.
    pub async fn show(&self, clicks: &Clicks, case: &Case, text: &str, now: Timestamp) {
        let news = News {
            id: String::new(),
            kind: Kind::Decided,
            sequence: 0,
            event: NewEvent {
                kind: Kind::Decided.event().to_owned(),
                case: case.id.clone(),
                key: case.key.clone(),
                at: now,
                text: text.to_owned(),
                payload: Value::Null,
            },
            case: Some(Arc::new(case.clone())),
            plan: None,
            url: clicks.links.case_url(case.key.run.as_str(), case.id.as_str()),
            receipt: None,
            is_doubtful: false,
            now,
        };
        let blocks = of_news(&news, Some(&self.app.target));
        let text = super::blocks::escaped(text);
        self.answer(json!({ "replace_original": true, "text": text, "blocks": blocks }))
            .await;
    }

    async fn answer(&self, body: Value) {
        let Some(url) = &self.response else { return };
        let answered = self
            .app
            .http
            .send(self.app.http.post(url.clone()).json(&body))
            .await;
        match answered {
            Ok(answered) if answered.status.is_success() => {}
            Ok(answered) => {
                tracing::warn!(receiver = %self.app.target, status = %answered.status, "slack takes no answer")
            }
            Err(failure) => {
                tracing::warn!(receiver = %self.app.target, error = %failure.words, "slack takes no answer")
            }
        }
    }
}
