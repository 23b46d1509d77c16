//! One file per kind of receiver. To add one: its options in `config/targets.rs` with their checks, a file here that
//! implements [`Receiver`], a line in [`build`], and its test against a server that checks what it is sent.

mod alertmanager;
mod appdynamics;
mod pagerduty;
pub(crate) mod slack;
mod teams;
mod webhook;

use crate::config::{Beyond, Config, Target};
use crate::http::{Failure, Http, SetupError};
use crate::kind::Kind;
use crate::news::{Digest, News};
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_domain::case::Case;
use immune_runtime::config::Secret;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// Somebody who is told news.
#[async_trait]
pub(crate) trait Receiver: Send + Sync {
    /// Tells one piece of news; what is returned is handed to the next one of the same case.
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure>;

    /// Tells many in one message.
    async fn tell_digest(&self, digest: &Digest) -> Result<(), Failure> {
        Err(Failure::never(format!(
            "{} pieces of news cannot be folded for this receiver",
            digest.news.len()
        )))
    }

    /// Whether telling this makes a new message, which takes a place of the rate.
    fn is_loud(&self, _news: &News) -> bool {
        true
    }

    /// Whether there is one message per case, which also news that nobody asked for keeps up to date.
    fn keeps_messages(&self) -> bool {
        false
    }

    /// Whether people read it, who want to know what would be done next.
    fn wants_plan(&self) -> bool {
        false
    }

    /// Time between two tellings of all that is open; `None` for receivers that remember.
    fn repeats(&self) -> Option<Duration> {
        None
    }

    /// Tells all that is open.
    async fn repeat(&self, _open: &[Case], _now: Timestamp) -> Result<(), Failure> {
        Ok(())
    }
}

/// A receiver with what holds for its kind where configuration does not say.
pub(crate) struct Built {
    pub receiver: Box<dyn Receiver>,
    pub kinds: Vec<Kind>,
    pub beyond: Beyond,
}

/// Builds the receiver of a target.
pub(crate) fn build(config: &Config, target: &Target) -> Result<Built, SetupError> {
    let timeout = target.retry.request();
    let usual = Kind::USUAL.to_vec();
    let (receiver, kinds, beyond): (Result<Box<dyn Receiver>, String>, Vec<Kind>, Beyond) = match target {
        Target {
            webhook: Some(webhook),
            ..
        } => (
            webhook::Webhook::new(config, webhook, timeout).map(boxed),
            usual,
            Beyond::Wait,
        ),
        Target {
            slack: Some(slack), ..
        } => (
            slack::Slack::new(&target.name, slack, timeout).map(boxed),
            usual,
            Beyond::Digest,
        ),
        Target {
            teams: Some(teams), ..
        } => (
            teams::Teams::new(teams, timeout).map(boxed),
            usual,
            Beyond::Digest,
        ),
        Target {
            pagerduty: Some(pagerduty),
            ..
        } => (
            pagerduty::PagerDuty::new(pagerduty, timeout).map(boxed),
            usual,
            Beyond::Wait,
        ),
        Target {
            alertmanager: Some(alertmanager),
            ..
        } => (
            alertmanager::Alertmanager::new(config, &target.filter, alertmanager, timeout).map(boxed),
            Kind::ALL.to_vec(),
            Beyond::Wait,
        ),
        Target {
            appdynamics: Some(appdynamics),
            ..
        } => (
            appdynamics::AppDynamics::new(&target.filter, appdynamics, timeout).map(boxed),
            Kind::ALL.to_vec(),
            Beyond::Wait,
        ),
        Target { .. } => (Err("it names no receiver".to_owned()), usual, Beyond::Wait),
    };
    let kinds = if target.filter.kinds.is_empty() {
        kinds
    } else {
        target.filter.kinds.clone()
    };
    let receiver = receiver.map_err(|why| SetupError {
        target: target.name.clone(),
        why,
    })?;
    Ok(Built {
        receiver,
        kinds,
        beyond: target.rate.beyond.unwrap_or(beyond),
    })
}

fn boxed<T: Receiver + 'static>(receiver: T) -> Box<dyn Receiver> {
    Box::new(receiver)
}

/// The secret named by `x` or `x_file`.
fn secret(name: &str, value: &Option<Secret>, file: &Option<PathBuf>) -> Result<Secret, String> {
    let mut mistakes = Vec::new();
    Secret::resolve("it", name, value.as_ref(), file.as_deref(), &mut mistakes)
        .ok_or_else(|| mistakes.join("; "))
}

/// The same where it may be absent.
fn secret_if_any(
    name: &str,
    value: &Option<Secret>,
    file: &Option<PathBuf>,
) -> Result<Option<Secret>, String> {
    match (value, file) {
        (None, None) => Ok(None),
        (Some(_), _) | (None, Some(_)) => secret(name, value, file).map(Some),
    }
}

/// A URL whose text is not repeated in errors: it may be a secret.
fn parse(name: &str, text: &str) -> Result<Url, String> {
    Url::parse(text).map_err(|error| format!("{name} cannot be read: {error}"))
}

/// A URL below another one.
fn below(name: &str, base: &str, path: &str) -> Result<Url, String> {
    parse(name, &format!("{}/{path}", base.trim_end_matches('/')))
}

fn client(
    timeout: Duration,
    url: &Url,
    ca_file: &Option<PathBuf>,
    secrets: Vec<Secret>,
) -> Result<Http, String> {
    Http::new(timeout, url, ca_file.as_deref().map(Path::new), secrets)
}
