//! How things stand, as numbers for a machine agent: `POST /api/v1/metrics`.

use super::super::{below, client};
use crate::config::MachineAgent;
use crate::http::{Failure, Http};
use crate::news::is_waiting;
use immune_domain::Timestamp;
use immune_domain::case::{Case, QuarantinePhase};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

/// The HTTP listener of a machine agent.
pub(super) struct Numbers {
    http: Http,
    url: Url,
    prefix: String,
    interval: Duration,
}

impl Numbers {
    pub fn new(options: &MachineAgent, timeout: Duration) -> Result<Self, String> {
        let url = below("machine_agent.url", &options.url, "api/v1/metrics")?;
        Ok(Numbers {
            http: client(timeout, &url, &None, Vec::new())?,
            url,
            prefix: options.prefix.trim_end_matches('|').to_owned(),
            interval: Duration::from_secs(options.interval_seconds),
        })
    }

    pub fn interval(&self) -> Duration {
        self.interval
    }

    pub async fn report(&self, open: &[&Case], now: Timestamp) -> Result<(), Failure> {
        let count = |of: &dyn Fn(&Case) -> bool| open.iter().filter(|case| of(case)).count() as u64;
        let worst = open
            .iter()
            .map(|case| case.infection.severity)
            .fold(0.0_f64, f64::max);
        let metrics: Vec<Value> = [
            ("Open cases", open.len() as u64),
            ("Cases waiting for a person", count(&|case| is_waiting(&case.state))),
            ("Quarantined agents", count(&Case::denies_admission)),
            ("Breached quarantines", count(&|case| case.quarantine.phase == QuarantinePhase::Breached)),
            // Whole numbers only; a cast of a severity from 0 to 10 loses none.
            ("Highest severity", worst.round() as u64),
        ]
        .into_iter()
        .map(|(name, value)| {
            json!({ "metricName": format!("{}|{name}", self.prefix), "aggregatorType": "OBSERVATION", "value": value })
        })
        .collect();
        self.http
            .succeed(self.http.post(self.url.clone()).json(&metrics), now)
            .await
            .map(|_| ())
    }
}
