//! Fleet incidents: many agents depart at once, so that single cases for it are let go again.

use crate::desk::Desk;
use crate::error::Error;
use immune_domain::case::{Case, Command};
use immune_domain::fleet::Incident;
use immune_domain::{AgentId, Timestamp};
use immune_store::action_log::{LogFilter, LogRow};
use immune_store::cases::CaseFilter;
use serde_json::json;
use std::time::Duration;

/// Open cases of a run that are looked through, the newest first: those of an incident are.
const CASES_MAX: u32 = 1_000;
/// How far the clocks of sentinel and quarantine may be apart, for finding a row that was written before.
const CLOCKS_APART: Duration = Duration::from_secs(3_600);

impl Desk {
    /// Records an incident, once when it opens and once when it closes. While it is open, releases the cases of agents
    /// that it explains which were opened within `look_back` before it, or since, and on which no person has decided.
    /// Returns whom this call has released.
    ///
    /// Where several replicas are told at the same moment, which the sentinel does only after it had no answer from
    /// one, the row may be written by each.
    pub(crate) async fn incident(
        &self,
        incident: &Incident,
        agents: &[AgentId],
        look_back: Duration,
    ) -> Result<Vec<AgentId>, Error> {
        if !self.directory.is_loaded() {
            return Err(Error::Starting);
        }
        self.record(incident).await?;
        if incident.closed_at.is_some() || agents.is_empty() {
            return Ok(Vec::new());
        }
        let filter = CaseFilter {
            run: Some(incident.run.clone()),
            open: Some(true),
            limit: CASES_MAX,
            ..CaseFilter::default()
        };
        let since = incident.opened_at.minus(look_back);
        let is_explained = |case: &Case| case.opened_at >= since && agents.contains(&case.key.agent);
        let cases = self.store.list(&filter).await?;
        let mut released = Vec::new();
        for case in cases.into_iter().filter(is_explained) {
            let command = Command::Explained {
                incident: incident.id.clone(),
                because: incident.told(),
            };
            if self.apply_to(case.clone(), command).await?.changed {
                self.metrics.explained.inc();
                released.push(case.key.agent);
            }
        }
        Ok(released)
    }

    /// One row per incident and end, also when it is told again.
    async fn record(&self, incident: &Incident) -> Result<(), Error> {
        let kind = match incident.closed_at {
            None => "fleet_incident_opened",
            Some(_) => "fleet_incident_closed",
        };
        let turn = self.recording.acquire().await;
        let _turn = turn.expect("the semaphore is never closed");
        let filter = LogFilter {
            kinds: vec![kind.to_owned()],
            text: Some(incident.id.clone()),
            from: Some(incident.opened_at.minus(CLOCKS_APART)),
            limit: 1,
            ..LogFilter::default()
        };
        if !self.action_log.list(&incident.run, &filter).await?.is_empty() {
            return Ok(());
        }
        let row = row(incident, kind, self.clock.now());
        self.action_log.append(&[row]).await?;
        tracing::warn!(incident = incident.id, run = %incident.run, kind, told = incident.told(), "fleet incident");
        Ok(())
    }
}

fn row(incident: &Incident, kind: &str, now: Timestamp) -> LogRow {
    let what: Vec<_> = incident.what.iter().collect();
    LogRow {
        run: incident.run.clone(),
        at: now,
        kind: kind.to_owned(),
        agent: None,
        actor: "sentinel".to_owned(),
        outcome: "done".to_owned(),
        payload: json!({
            "incident_id": incident.id, "what": what, "shared": incident.shared.kind(), "name": incident.shared.name(),
            "departing": incident.departing, "active": incident.active, "held_back": incident.held_back,
            "diagnosis_type": incident.diagnosis(), "reason": incident.told(),
        }),
    }
}
