//! What types cannot say about the options.

use super::{Beyond, Config, Target};
use crate::http::is_loopback;
use crate::sign::WebhookKey;
use immune_runtime::config::Secret;
use std::collections::BTreeSet;
use std::path::Path;
use url::Url;

/// The most targets.
const TARGETS_MAX: usize = 64;
/// The longest name of a target or replica, bytes.
const NAME_BYTES_MAX: usize = 64;
const REPLICA_BYTES_MAX: usize = 200;

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        within(path, "interval_ms", self.interval_ms, 10, 60_000, mistakes);
        within(path, "lease_seconds", self.lease_seconds, 1, 600, mistakes);
        if let Some(url) = &self.external_url {
            check_url(&format!("{path}.external_url"), url, true, mistakes);
        }
        if self.replica.len() > REPLICA_BYTES_MAX {
            mistakes.push(format!(
                "{path}.replica has {} bytes: at most {REPLICA_BYTES_MAX} are allowed",
                self.replica.len()
            ));
        }
        if self.targets.len() > TARGETS_MAX {
            mistakes.push(format!(
                "{path}.targets has {}: at most {TARGETS_MAX} are allowed",
                self.targets.len()
            ));
        }
        let mut names = BTreeSet::new();
        for (n, target) in self.targets.iter().enumerate() {
            let at = format!("{path}.targets[{n}] ({})", target.name);
            if !names.insert(&target.name) {
                mistakes.push(format!("{at}: another target has this name"));
            }
            target.check(&at, mistakes);
        }
    }
}

impl Target {
    fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(is_name) {
            mistakes.push(format!(
                "{path}: the name must be 1 to {NAME_BYTES_MAX} of a-z, 0-9, - and _"
            ));
        }
        within(
            path,
            "rate.per_minute",
            self.rate.per_minute.into(),
            1,
            6_000,
            mistakes,
        );
        within(
            path,
            "retry.request_seconds",
            self.retry.request_seconds,
            1,
            120,
            mistakes,
        );
        within(path, "retry.first_ms", self.retry.first_ms, 1, 60_000, mistakes);
        within(
            path,
            "retry.wait_seconds_max",
            self.retry.wait_seconds_max,
            1,
            3_600,
            mistakes,
        );
        within(
            path,
            "retry.give_up_seconds",
            self.retry.give_up_seconds,
            1,
            30 * 86_400,
            mistakes,
        );
        within(path, "retry.at_once", self.retry.at_once as u64, 1, 32, mistakes);
        if !(0.0..=10.0).contains(&self.filter.severity_min) {
            let given = self.filter.severity_min;
            mistakes.push(format!(
                "{path}.filter.severity_min = {given}: must be between 0 and 10"
            ));
        }
        let receivers = [
            self.webhook.is_some(),
            self.slack.is_some(),
            self.teams.is_some(),
            self.pagerduty.is_some(),
            self.alertmanager.is_some(),
            self.appdynamics.is_some(),
        ];
        if receivers.iter().filter(|given| **given).count() != 1 {
            mistakes.push(format!(
                "{path}: needs exactly one of webhook, slack, teams, pagerduty, alertmanager, appdynamics"
            ));
        }
        let folds = self.webhook.is_some() || self.slack.is_some() || self.teams.is_some();
        if self.rate.beyond == Some(Beyond::Digest) && !folds {
            mistakes.push(format!(
                "{path}.rate.beyond = digest: this receiver folds on its own; use wait"
            ));
        }
        self.check_receiver(path, mistakes);
    }

    fn check_receiver(&self, path: &str, mistakes: &mut Vec<String>) {
        if let Some(webhook) = &self.webhook {
            let path = format!("{path}.webhook");
            let url = needed(&path, "url", &webhook.url, &webhook.url_file, mistakes);
            check_secret_url(&format!("{path}.url"), url.as_ref(), webhook.allow_http, mistakes);
            let secret = needed(&path, "secret", &webhook.secret, &webhook.secret_file, mistakes);
            let (value, file) = (&webhook.previous_secret, &webhook.previous_secret_file);
            let previous = wanted(&path, "previous_secret", value, file, mistakes);
            for (name, secret) in [("secret", secret), ("previous_secret", previous)] {
                if let Some(Err(why)) = secret.as_ref().map(WebhookKey::read) {
                    mistakes.push(format!("{path}.{name}: {why}"));
                }
            }
            wanted(
                &path,
                "authorization",
                &webhook.authorization,
                &webhook.authorization_file,
                mistakes,
            );
            check_ca(&path, webhook.ca_file.as_deref(), mistakes);
        }
        if let Some(slack) = &self.slack {
            check_slack(&format!("{path}.slack"), slack, mistakes);
        }
        if let Some(teams) = &self.teams {
            let path = format!("{path}.teams");
            let url = needed(&path, "url", &teams.url, &teams.url_file, mistakes);
            check_secret_url(&format!("{path}.url"), url.as_ref(), false, mistakes);
            check_ca(&path, teams.ca_file.as_deref(), mistakes);
        }
        if let Some(pagerduty) = &self.pagerduty {
            let path = format!("{path}.pagerduty");
            needed(
                &path,
                "routing_key",
                &pagerduty.routing_key,
                &pagerduty.routing_key_file,
                mistakes,
            );
            check_url(&format!("{path}.url"), &pagerduty.url, false, mistakes);
            check_ca(&path, pagerduty.ca_file.as_deref(), mistakes);
        }
        if let Some(alertmanager) = &self.alertmanager {
            let path = format!("{path}.alertmanager");
            check_url(&format!("{path}.url"), &alertmanager.url, true, mistakes);
            wanted(
                &path,
                "token",
                &alertmanager.token,
                &alertmanager.token_file,
                mistakes,
            );
            within(
                &path,
                "resend_seconds",
                alertmanager.resend_seconds,
                1,
                3_600,
                mistakes,
            );
            for name in alertmanager.labels.keys().filter(|name| !is_label(name)) {
                mistakes.push(format!("{path}.labels.{name}: is no name of a label"));
            }
            check_ca(&path, alertmanager.ca_file.as_deref(), mistakes);
        }
        if let Some(appdynamics) = &self.appdynamics {
            let path = format!("{path}.appdynamics");
            check_url(
                &format!("{path}.controller_url"),
                &appdynamics.controller_url,
                appdynamics.allow_http,
                mistakes,
            );
            for (name, value) in [
                ("application", &appdynamics.application),
                ("client_name", &appdynamics.client_name),
                ("account", &appdynamics.account),
            ] {
                if value.is_empty() {
                    mistakes.push(format!("{path}.{name} is missing"));
                }
            }
            needed(
                &path,
                "client_secret",
                &appdynamics.client_secret,
                &appdynamics.client_secret_file,
                mistakes,
            );
            if let Some(agent) = &appdynamics.machine_agent {
                check_url(&format!("{path}.machine_agent.url"), &agent.url, true, mistakes);
                within(
                    &path,
                    "machine_agent.interval_seconds",
                    agent.interval_seconds,
                    10,
                    300,
                    mistakes,
                );
            }
            check_ca(&path, appdynamics.ca_file.as_deref(), mistakes);
        }
    }
}

fn check_slack(path: &str, slack: &super::Slack, mistakes: &mut Vec<String>) {
    let has_token = slack.token.is_some() || slack.token_file.is_some();
    let has_webhook = slack.webhook_url.is_some() || slack.webhook_url_file.is_some();
    match (has_token, has_webhook) {
        (true, false) => {
            wanted(path, "token", &slack.token, &slack.token_file, mistakes);
            if slack.channel.is_empty() {
                mistakes.push(format!(
                    "{path}.channel is missing: a token needs the id of a channel"
                ));
            }
        }
        (false, true) => {
            let url = wanted(
                path,
                "webhook_url",
                &slack.webhook_url,
                &slack.webhook_url_file,
                mistakes,
            );
            check_secret_url(&format!("{path}.webhook_url"), url.as_ref(), false, mistakes);
        }
        (true, true) | (false, false) => {
            mistakes.push(format!("{path}: needs token and channel, or webhook_url"));
        }
    }
    let has_secret = slack.signing_secret.is_some() || slack.signing_secret_file.is_some();
    wanted(
        path,
        "signing_secret",
        &slack.signing_secret,
        &slack.signing_secret_file,
        mistakes,
    );
    if !slack.users.is_empty() && !has_secret {
        mistakes.push(format!(
            "{path}.users: needs signing_secret, or no click can be believed"
        ));
    }
    for (id, _) in slack
        .users
        .iter()
        .filter(|(_, user)| user.subject.trim().is_empty())
    {
        mistakes.push(format!("{path}.users.{id}.subject is empty"));
    }
    check_url(&format!("{path}.api_url"), &slack.api_url, false, mistakes);
    check_url(
        &format!("{path}.response_origin"),
        &slack.response_origin,
        false,
        mistakes,
    );
    check_ca(path, slack.ca_file.as_deref(), mistakes);
}

fn within(path: &str, name: &str, value: u64, low: u64, high: u64, mistakes: &mut Vec<String>) {
    if !(low..=high).contains(&value) {
        mistakes.push(format!(
            "{path}.{name} = {value}: must be between {low} and {high}"
        ));
    }
}

/// A secret that must be there.
fn needed(
    path: &str,
    name: &str,
    value: &Option<Secret>,
    file: &Option<std::path::PathBuf>,
    mistakes: &mut Vec<String>,
) -> Option<Secret> {
    let secret = Secret::resolve(path, name, value.as_ref(), file.as_deref(), mistakes)?;
    if secret.expose().is_empty() {
        mistakes.push(format!("{path}.{name} is empty"));
        return None;
    }
    Some(secret)
}

/// A secret that may be there.
fn wanted(
    path: &str,
    name: &str,
    value: &Option<Secret>,
    file: &Option<std::path::PathBuf>,
    mistakes: &mut Vec<String>,
) -> Option<Secret> {
    (value.is_some() || file.is_some())
        .then(|| needed(path, name, value, file, mistakes))
        .flatten()
}

fn check_ca(path: &str, file: Option<&Path>, mistakes: &mut Vec<String>) {
    let Some(file) = file else { return };
    if let Err(error) = std::fs::metadata(file) {
        mistakes.push(format!(
            "{path}.ca_file = {}: cannot be read: {error}",
            file.display()
        ));
    }
}

fn check_secret_url(path: &str, url: Option<&Secret>, allow_http: bool, mistakes: &mut Vec<String>) {
    if let Some(url) = url {
        check_url(path, url.expose(), allow_http, mistakes);
    }
}

/// The text itself may be a secret, so it is not repeated.
fn check_url(path: &str, text: &str, allow_http: bool, mistakes: &mut Vec<String>) {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return mistakes.push(format!("{path}: cannot be read: {error}")),
    };
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none_or(str::is_empty) {
        mistakes.push(format!("{path}: must be https://host..."));
    } else if url.scheme() == "http" && !allow_http && !is_loopback(&url) {
        mistakes.push(format!(
            "{path}: leads to another machine without TLS; use https://"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        mistakes.push(format!("{path}: holds credentials, which a URL must not"));
    }
}

/// <https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels>
fn is_label(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
