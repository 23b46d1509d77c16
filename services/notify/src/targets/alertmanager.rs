//! Prometheus Alertmanager, API v2 (<https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>). One
//! alert per case, told again while the case is open, as Prometheus itself does: an Alertmanager that restarts learns
//! it anew, and an alert whose teller died ends by itself.

use super::{Receiver, below, client, secret_if_any};
use crate::config::{self, Config, Filter};
use crate::http::{Failure, Http};
use crate::kind::Kind;
use crate::news::News;
use crate::words;
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_domain::case::Case;
use immune_runtime::config::Secret;
use immune_store::cases::closed_at;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Alerts in one request.
const BATCH: usize = 100;
/// An alert holds for so many times between two tellings.
const HOLDS: u32 = 4;

/// An Alertmanager.
pub(super) struct Alertmanager {
    http: Http,
    url: Url,
    token: Option<Secret>,
    resend: Duration,
    labels: BTreeMap<String, String>,
    filter: Filter,
    links: Config,
}

impl Alertmanager {
    pub fn new(
        config: &Config,
        filter: &Filter,
        options: &config::Alertmanager,
        timeout: Duration,
    ) -> Result<Self, String> {
        let url = below("url", &options.url, "api/v2/alerts")?;
        let token = secret_if_any("token", &options.token, &options.token_file)?;
        Ok(Alertmanager {
            http: client(timeout, &url, &options.ca_file, token.iter().cloned().collect())?,
            url,
            token,
            resend: Duration::from_secs(options.resend_seconds),
            labels: options.labels.clone(),
            filter: filter.clone(),
            links: Config {
                external_url: config.external_url.clone(),
                ..Config::default()
            },
        })
    }

    /// The labels are the alert's identity: what changes during a case belongs into annotations. Only the severity
    /// is a label all the same, since routes go by it; when it changes, the alert of the old one ends by itself.
    fn alert(&self, case: &Case, now: Timestamp) -> Value {
        let mut labels: Map<String, Value> = self.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        for (name, value) in [
            ("alertname", "AgentInfected"),
            ("severity", severity(case.infection.severity)),
            ("run", case.key.run.as_str()),
            ("agent", case.key.agent.as_str()),
            ("case_id", case.id.as_str()),
        ] {
            labels.insert(name.to_owned(), json!(value));
        }
        let ends_at = closed_at(case).unwrap_or_else(|| now.plus(self.resend * HOLDS));
        let mut alert = json!({
            "labels": labels,
            "annotations": {
                "summary": format!("{} is infected: {}", words::short(case.key.agent.as_str(), 80), words::because(case)),
                "description": format!("{}. {}", words::moved(case).join("; "), words::standing(case)),
                "diagnosis": case.diagnosis().as_str(),
                "severity": format!("{:.1}", case.infection.severity),
            },
            "startsAt": case.opened_at.to_string(),
            "endsAt": ends_at.to_string(),
        });
        if let Some(url) = self.links.case_url(case.key.run.as_str(), case.id.as_str()) {
            alert["generatorURL"] = json!(url);
        }
        alert
    }

    async fn send(&self, alerts: &[Value], now: Timestamp) -> Result<(), Failure> {
        let mut request = self.http.post(self.url.clone()).json(alerts);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        self.http.succeed(request, now).await.map(|_| ())
    }
}

/// The three words that routes usually go by.
fn severity(severity: f64) -> &'static str {
    match severity {
        severity if severity < 4.0 => "info",
        severity if severity < 7.0 => "warning",
        _ => "critical",
    }
}

#[async_trait]
impl Receiver for Alertmanager {
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure> {
        let alert = match &news.case {
            Some(case) => self.alert(case, news.now),
            None if news.kind == Kind::Test => json!({
                "labels": { "alertname": "ImmuneTest", "severity": "info" },
                "annotations": { "summary": words::headline(news) },
                "startsAt": news.event.at.to_string(),
                "endsAt": news.now.plus(Duration::from_secs(60)).to_string(),
            }),
            // The case is gone, and so is its alert.
            None => return Ok(None),
        };
        self.send(&[alert], news.now).await.map(|()| None)
    }

    fn repeats(&self) -> Option<Duration> {
        Some(self.resend)
    }

    async fn repeat(&self, open: &[Case], now: Timestamp) -> Result<(), Failure> {
        let alerts: Vec<Value> = open
            .iter()
            .filter(|case| self.filter.fits_case(case))
            .map(|case| self.alert(case, now))
            .collect();
        for batch in alerts.chunks(BATCH) {
            self.send(batch, now).await?;
        }
        Ok(())
    }
}
