//! What each kind of receiver needs. A secret is `x` or `x_file`, read at start; URLs come from here and nowhere else.

use immune_runtime::access::Role;
use immune_runtime::config::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// CloudEvents 1.0 over HTTP, signed as Standard Webhooks says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhook {
    /// Where to POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// The same, in a file; some receivers' URLs are secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Shared secret that signs: `whsec_` and base64, or any text of at least 24 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    /// The secret before this one, which signs as well while receivers change over; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_secret: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_secret_file: Option<PathBuf>,
    /// Value of the `Authorization` header; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_file: Option<PathBuf>,
    /// How the event is put into the request, default `structured`.
    pub mode: Mode,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether http:// may lead to another machine; default false.
    pub allow_http: bool,
}

/// How a CloudEvent is put into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// All in the body, `application/cloudevents+json`; the signature covers all of it.
    #[default]
    Structured,
    /// Attributes as `ce-` headers, data as the body; the signature covers the body only, which repeats them.
    Binary,
}

/// A Slack channel, by bot token (one message per case, kept up to date) or by incoming webhook (a message per piece
/// of news).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slack {
    /// Bot token (`xoxb-...`) with the scope `chat:write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Id of the channel, with a token.
    pub channel: String,
    /// Incoming webhook, instead of token and channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_url_file: Option<PathBuf>,
    /// Signing secret of the app. With it, messages have buttons, and `POST /chat/slack` takes the answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret_file: Option<PathBuf>,
    /// Who may press the buttons, by Slack user id; whoever is not here may not.
    pub users: BTreeMap<String, SlackUser>,
    /// Id of the workspace that clicks must come from; default any that the secret signs for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Slack's API, default `https://slack.com/api/`.
    pub api_url: String,
    /// Where Slack takes answers to clicks, default `https://hooks.slack.com`; answers go nowhere else.
    pub response_origin: String,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for Slack {
    fn default() -> Self {
        Slack {
            token: None,
            token_file: None,
            channel: String::new(),
            webhook_url: None,
            webhook_url_file: None,
            signing_secret: None,
            signing_secret_file: None,
            users: BTreeMap::new(),
            team: None,
            api_url: "https://slack.com/api/".to_owned(),
            response_origin: "https://hooks.slack.com".to_owned(),
            ca_file: None,
        }
    }
}

/// Whom a Slack user is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackUser {
    /// Subject in the action log.
    pub subject: String,
    /// What the person may do.
    pub role: Role,
    /// Runs that the person is bound to; empty means all.
    #[serde(default)]
    pub runs: Vec<String>,
}

/// A Microsoft Teams channel, through a webhook of Workflows ("Post to a channel when a webhook request is received").
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teams {
    /// The workflow's URL; it is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A PagerDuty service, through the Events API v2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PagerDuty {
    /// Integration key of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_key_file: Option<PathBuf>,
    /// The API, default `https://events.pagerduty.com/v2/enqueue`.
    pub url: String,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for PagerDuty {
    fn default() -> Self {
        PagerDuty {
            routing_key: None,
            routing_key_file: None,
            url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            ca_file: None,
        }
    }
}

/// A Prometheus Alertmanager, through its API v2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alertmanager {
    /// Its address, as `http://alertmanager:9093`, with its route prefix if it has one.
    pub url: String,
    /// Bearer token; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Time between two tellings of a case that is still open, seconds, default 60. An alert that is not told again
    /// for four times as long ends by itself.
    pub resend_seconds: u64,
    /// Labels of every alert beside ours.
    pub labels: BTreeMap<String, String>,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for Alertmanager {
    fn default() -> Self {
        Alertmanager {
            url: String::new(),
            token: None,
            token_file: None,
            resend_seconds: 60,
            labels: BTreeMap::new(),
            ca_file: None,
        }
    }
}

/// An AppDynamics Controller: custom events, and, where a machine agent listens, numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppDynamics {
    /// Address of the Controller, as `https://name.saas.appdynamics.com`.
    pub controller_url: String,
    /// Name or id of the business application that the events belong to.
    pub application: String,
    /// Name of the API client.
    pub client_name: String,
    /// Name of the account.
    pub account: String,
    /// Secret of the API client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<Secret>,
    /// The same, in a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// A machine agent that takes numbers; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_agent: Option<MachineAgent>,
    /// Certificates to trust beside the system's, PEM; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Whether http:// may lead to another machine; default false.
    pub allow_http: bool,
}

/// The HTTP listener of a machine agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineAgent {
    /// Its address, default `http://127.0.0.1:8293`.
    pub url: String,
    /// Path under which the metrics appear, default `Custom Metrics|Agent Immune System`.
    pub prefix: String,
    /// Time between two reports, seconds, 10 to 300, default 60; the agent forgets metrics after 300.
    pub interval_seconds: u64,
}

impl Default for MachineAgent {
    fn default() -> Self {
        MachineAgent {
            url: "http://127.0.0.1:8293".to_owned(),
            prefix: "Custom Metrics|Agent Immune System".to_owned(),
            interval_seconds: 60,
        }
    }
}
