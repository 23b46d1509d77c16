//! Options of the notifier: whom to tell what, and how.

mod check;
#[cfg(test)]
mod check_tests;
mod targets;

pub use targets::{
    Alertmanager, AppDynamics, MachineAgent, Mode, PagerDuty, Slack, SlackUser, Teams, Webhook,
};

use crate::kind::Kind;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whom to tell what. Default: nobody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where people reach the page, as `https://host`; links to cases begin with it. Default none: no links.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_url: Option<String>,
    /// Whom to tell, at most 64; default none.
    pub targets: Vec<Target>,
    /// Time between two looks for something to tell, milliseconds, default 1,000. What happens in this process is
    /// looked at immediately.
    pub interval_ms: u64,
    /// How long a target stays with a replica that has died before another takes it over, seconds, default 15.
    pub lease_seconds: u64,
    /// Name under which this replica holds targets, different from that of every other one that runs at the same
    /// time. Empty, the default: another one at every start.
    pub replica: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            external_url: None,
            targets: Vec::new(),
            interval_ms: 1_000,
            lease_seconds: 15,
            replica: String::new(),
        }
    }
}

/// One receiver. Exactly one of `webhook`, `slack`, `teams`, `pagerduty`, `alertmanager`, `appdynamics` says what it
/// is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Its name: 1 to 64 of `a-z`, `0-9`, `-` and `_`. What it has still to be told is kept under it.
    pub name: String,
    /// What it is told.
    pub filter: Filter,
    /// How often.
    pub rate: Rate,
    /// What happens when it does not answer.
    pub retry: Retry,
    /// CloudEvents over HTTP, signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// A Slack channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<Slack>,
    /// A Microsoft Teams channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teams: Option<Teams>,
    /// A PagerDuty service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pagerduty: Option<PagerDuty>,
    /// A Prometheus Alertmanager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alertmanager: Option<Alertmanager>,
    /// An AppDynamics Controller, and a machine agent for numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appdynamics: Option<AppDynamics>,
}

/// What a target is told; all parts must fit. Texts may hold `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Kinds of news; empty, the default: `opened, waiting, decided, healed, failed, breached, released`, for
    /// AppDynamics all. There are also `worsened`, `contained` and `healing`.
    pub kinds: Vec<Kind>,
    /// Only cases of at least this severity, 0 to 10, default 0.
    pub severity_min: f64,
    /// Only these runs; default all.
    pub runs: Vec<String>,
    /// Only these agents; default all.
    pub agents: Vec<String>,
}

/// How often a target is told something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// Messages per minute, 1 to 6,000, default 30; as many may go out at once after a quiet minute. Changing a
    /// message that is there takes no place.
    pub per_minute: u32,
    /// What happens with more: `digest` puts the rest into one message that counts and names them, `wait` sends each
    /// later. Default `digest` for Slack and Teams, `wait` for programs; only `wait` for PagerDuty, Alertmanager and
    /// AppDynamics, which fold on their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beyond: Option<Beyond>,
}

impl Default for Rate {
    fn default() -> Self {
        Rate {
            per_minute: 30,
            beyond: None,
        }
    }
}

/// What happens with more messages than the rate allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// One message for all of them.
    Digest,
    /// Each later.
    Wait,
}

/// What happens when a target does not answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retry {
    /// Longest time for one request, seconds, default 10.
    pub request_seconds: u64,
    /// First wait before a repetition, milliseconds, default 1,000; doubles each time, spread between half and whole.
    pub first_ms: u64,
    /// Longest wait, seconds, default 300. A `Retry-After` of the receiver is honoured up to one hour.
    pub wait_seconds_max: u64,
    /// Time after which what was not delivered becomes a dead letter, seconds, default 86,400 (a day).
    pub give_up_seconds: u64,
    /// Requests at the same time, 1 to 32, default 4; those of one case follow each other.
    pub at_once: usize,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            request_seconds: 10,
            first_ms: 1_000,
            wait_seconds_max: 300,
            give_up_seconds: 86_400,
            at_once: 4,
        }
    }
}

impl Config {
    pub(crate) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds)
    }

    /// The page of a case.
    pub(crate) fn case_url(&self, run: &str, case: &str) -> Option<String> {
        use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
        let base = self.external_url.as_deref()?.trim_end_matches('/');
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        Some(format!("{base}/cases/{}?run={}", encoded(case), encoded(run)))
    }
}

impl Target {
    /// Kind of the receiver.
    pub fn receiver(&self) -> &'static str {
        let receivers = [
            ("webhook", self.webhook.is_some()),
            ("slack", self.slack.is_some()),
            ("teams", self.teams.is_some()),
            ("pagerduty", self.pagerduty.is_some()),
            ("alertmanager", self.alertmanager.is_some()),
            ("appdynamics", self.appdynamics.is_some()),
        ];
        receivers
            .into_iter()
            .find(|(_, is_given)| *is_given)
            .map_or("none", |(name, _)| name)
    }
}

impl Retry {
    pub(crate) fn request(&self) -> Duration {
        Duration::from_secs(self.request_seconds)
    }

    pub(crate) fn give_up(&self) -> Duration {
        Duration::from_secs(self.give_up_seconds)
    }
}
