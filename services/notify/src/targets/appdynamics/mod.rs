//! AppDynamics: custom events through the Controller's Alert and Respond API, and numbers through the HTTP listener of
//! a machine agent. Held against the documentation of versions 24.x and 25.x ("Events API", "API Clients", "Machine
//! Agent HTTP Listener"); a Controller of one's own is not part of the tests.

mod numbers;
mod token;

use super::{Receiver, below, client, secret};
use crate::config::{self, Filter};
use crate::http::{Failure, Http};
use crate::kind::Kind;
use crate::news::News;
use crate::words;
use async_trait::async_trait;
use immune_domain::Timestamp;
use immune_domain::case::Case;
use numbers::Numbers;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::StatusCode;
use serde_json::Value;
use std::time::Duration;
use token::Tokens;
use url::Url;

/// A Controller, and perhaps a machine agent.
pub(super) struct AppDynamics {
    http: Http,
    events: Url,
    tokens: Tokens,
    numbers: Option<Numbers>,
    filter: Filter,
}

impl AppDynamics {
    pub fn new(filter: &Filter, options: &config::AppDynamics, timeout: Duration) -> Result<Self, String> {
        let application = utf8_percent_encode(&options.application, NON_ALPHANUMERIC);
        let path = format!("controller/rest/applications/{application}/events");
        let base = &options.controller_url;
        let events = below("controller_url", base, &path)?;
        let secret = secret(
            "client_secret",
            &options.client_secret,
            &options.client_secret_file,
        )?;
        let http = client(timeout, &events, &options.ca_file, vec![secret.clone()])?;
        let place = below("controller_url", base, "controller/api/oauth/access_token")?;
        let client_id = format!("{}@{}", options.client_name, options.account);
        let agent = options.machine_agent.as_ref();
        Ok(AppDynamics {
            tokens: Tokens::new(http.clone(), place, client_id, secret),
            http,
            events,
            numbers: agent.map(|agent| Numbers::new(agent, timeout)).transpose()?,
            filter: filter.clone(),
        })
    }
}

/// Type of the custom event.
fn event_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Opened | Kind::Worsened => "AgentInfection",
        Kind::Contained | Kind::Breached | Kind::Released => "AgentQuarantine",
        Kind::Healing | Kind::Healed | Kind::Failed => "AgentHealing",
        Kind::Waiting | Kind::Decided => "AgentApproval",
        Kind::Test => "AgentImmuneTest",
    }
}

fn severity(news: &News) -> &'static str {
    match news.kind {
        Kind::Breached | Kind::Failed => "ERROR",
        Kind::Opened | Kind::Worsened if news.severity() >= 7.0 => "ERROR",
        Kind::Opened | Kind::Worsened | Kind::Waiting => "WARN",
        Kind::Contained | Kind::Decided | Kind::Healing | Kind::Healed | Kind::Released | Kind::Test => {
            "INFO"
        }
    }
}

fn query(news: &News) -> Vec<(&'static str, String)> {
    let key = &news.event.key;
    let mut query = vec![
        ("severity", severity(news).to_owned()),
        ("summary", words::headline(news)),
        ("comment", words::short(&news.event.text, 600)),
        ("eventtype", "CUSTOM".to_owned()),
        ("customeventtype", event_type(news.kind).to_owned()),
    ];
    // Names and values belong together by their order.
    let properties = [
        ("event_id", Some(news.id.clone())),
        ("kind", Some(news.kind.to_string())),
        ("case_id", Some(news.event.case.to_string())),
        ("run_id", Some(key.run.to_string())),
        ("agent_id", Some(key.agent.to_string())),
        ("severity", Some(format!("{:.1}", news.severity()))),
        ("diagnosis", Some(news.diagnosis())),
        ("url", news.url.clone()),
    ];
    for (name, value) in properties {
        if let Some(value) = value {
            query.push(("propertynames", name.to_owned()));
            query.push(("propertyvalues", value));
        }
    }
    query
}

#[async_trait]
impl Receiver for AppDynamics {
    async fn tell(&self, news: &News) -> Result<Option<Value>, Failure> {
        let mut url = self.events.clone();
        url.query_pairs_mut().extend_pairs(query(news));
        let mut is_fresh = false;
        loop {
            let token = self.tokens.get(news.now).await?;
            let request = self.http.post(url.clone()).bearer_auth(token.expose());
            let answered = self.http.send(request).await?;
            if answered.status.is_success() {
                return Ok(None);
            }
            // A token that was revoked before its time; once, since a new one will not be better twice.
            if answered.status != StatusCode::UNAUTHORIZED || is_fresh {
                return Err(self.http.failure(&answered, news.now));
            }
            self.tokens.forget(&token);
            is_fresh = true;
        }
    }

    fn repeats(&self) -> Option<Duration> {
        self.numbers.as_ref().map(Numbers::interval)
    }

    async fn repeat(&self, open: &[Case], now: Timestamp) -> Result<(), Failure> {
        let Some(numbers) = &self.numbers else {
            return Ok(());
        };
        let open: Vec<&Case> = open.iter().filter(|case| self.filter.fits_case(case)).collect();
        numbers.report(&open, now).await
    }
}
