//! Quarantine hears of incidents: that they were opened, whose cases they explain, and that they were closed.

use crate::directory::Directory;
use immune_domain::fleet::{Change, Incident};
use immune_domain::{AgentKey, Timestamp};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::grpc::{RoleChannel, kind};
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Request, Status};
use tracing::{info, warn};

/// News that may wait to be told.
pub(crate) const NEWS_MAX: usize = 256;
/// Agents that are named at most.
pub(crate) const AGENTS_MAX: usize = 100;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Something that quarantine should know of an incident.
#[derive(Debug, Clone)]
pub(crate) struct News(v1::ReportFleetIncidentRequest);

impl News {
    /// An incident as it is, with agents whose departure it explains, those with a case first.
    pub(crate) fn of(incident: &Incident, agents: &[AgentKey], look_back_seconds: u64) -> Self {
        let named = agents.iter().take(AGENTS_MAX);
        News(v1::ReportFleetIncidentRequest {
            incident: Some(incident.into()),
            agent_ids: named.map(|key| key.agent.to_string()).collect(),
            look_back_seconds: u32::try_from(look_back_seconds).unwrap_or(u32::MAX),
        })
    }

    fn id(&self) -> &str {
        self.0
            .incident
            .as_ref()
            .map_or("", |incident| &incident.incident_id)
    }
}

/// Every agent was counted: opens and closes incidents, and has quarantine told of it, and of cases that have come up
/// since for agents that an open one explains (a report may have been on its way).
pub(crate) fn follow(directory: &Directory, news: &mpsc::Sender<News>, now: Timestamp) {
    let fleet = directory.fleet();
    let look_back = fleet.config().look_back_seconds;
    let told = |incident: &Incident, agents: &[AgentKey]| {
        if news.try_send(News::of(incident, agents, look_back)).is_err() {
            warn!(incident = incident.id, "no room to tell of a fleet incident");
        }
    };
    for change in fleet.end_look(now, || uuid::Uuid::new_v4().to_string()) {
        match change {
            Change::Opened(incident) => {
                warn!(incident = incident.id, run = %incident.run, told = incident.told(), "a fleet incident was opened");
                let explained = directory.explained(&incident, AGENTS_MAX);
                let mut agents = fleet.not_asked(&incident.id, explained.cases);
                agents.extend(explained.others);
                told(&incident, &agents);
            }
            Change::Closed(incident) => {
                let (held_back, run) = (incident.held_back, &incident.run);
                info!(incident = incident.id, %run, held_back, "a fleet incident was closed");
                told(&incident, &[]);
            }
        }
    }
    for incident in fleet.open() {
        let explained = directory.explained(&incident, AGENTS_MAX);
        let agents = fleet.not_asked(&incident.id, explained.cases);
        if !agents.is_empty() {
            told(&incident, &agents);
        }
    }
}

/// Tells the news in their order, each until it is accepted or refused for good. Ends with the queue.
pub(crate) async fn tell(
    client: QuarantineServiceClient<RoleChannel>,
    mut news: mpsc::Receiver<News>,
    timeout: Duration,
) {
    while let Some(news) = news.recv().await {
        let mut backoff = BACKOFF_MIN;
        loop {
            match tell_once(client.clone(), &news, timeout).await {
                Ok(released) => {
                    info!(
                        incident = news.id(),
                        released = released.len(),
                        "a fleet incident was told"
                    );
                    break;
                }
                Err(status) if kind(&status).is_retryable() => {
                    warn!(incident = news.id(), code = ?status.code(), message = status.message(), "cannot tell of a fleet incident; trying again");
                    tokio::time::sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                Err(status) => {
                    warn!(incident = news.id(), code = ?status.code(), message = status.message(), "a fleet incident was refused");
                    break;
                }
            }
        }
    }
}

async fn tell_once(
    mut client: QuarantineServiceClient<RoleChannel>,
    news: &News,
    timeout: Duration,
) -> Result<Vec<String>, Status> {
    let mut request = Request::new(news.0.clone());
    request.set_timeout(timeout);
    let answer = tokio::time::timeout(timeout, client.report_fleet_incident(request)).await;
    let response = answer.map_err(|_| Status::deadline_exceeded("quarantine did not answer"))??;
    Ok(response.into_inner().released_agent_ids)
}
