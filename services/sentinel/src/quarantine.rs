//! What the sentinel tells quarantine: infections, until they are accepted, and executions that should not be.

use crate::agent::News;
use crate::config::Config;
use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::report::Draft;
use immune_domain::case::Case;
use immune_domain::detection::window::{EXECUTIONS_MAX, LATE_AFTER};
use immune_domain::detection::{EVIDENCE_MAX, Infection};
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, CaseId, InfectionId, Timestamp};
use immune_proto::convert::time;
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::{RoleChannel, kind};
use immune_store::VitalsStore;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};
use tracing::{info, warn};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Wait before a report is drafted again when there was no room to send it.
pub const NO_ROOM_WAIT: Duration = Duration::from_secs(1);
/// Wait before a report is drafted again when quarantine refused it for good.
const REFUSED_WAIT: Duration = Duration::from_secs(30);
/// Executions of contained agents that may wait to be told.
pub const CONTAINED_MAX: usize = 4_096;

/// An execution of an agent that should be contained.
#[derive(Debug, Clone)]
pub struct Contained(v1::ReportExecutionRequest);

impl Contained {
    /// What quarantine needs of it.
    pub fn of(vitals: &Vitals) -> Self {
        Contained(v1::ReportExecutionRequest {
            key: Some((&vitals.key).into()),
            execution_id: vitals.execution.to_string(),
            started_at: Some(time::to_wire(vitals.began_at())),
        })
    }
}

/// Sends reports.
#[derive(Clone)]
pub struct Reporter {
    /// Where reports go.
    pub client: QuarantineServiceClient<RoleChannel>,
    /// Where the executions that show an infection are.
    pub store: Arc<dyn VitalsStore>,
    /// Whose agents.
    pub directory: Arc<Directory>,
    /// How long, how many.
    pub config: Arc<Config>,
    /// Tells the time.
    pub clock: SharedClock,
    /// Counts.
    pub metrics: Metrics,
}

impl Reporter {
    /// Sends drafts as they come, several at a time, one per agent, each until it is accepted or refused for good.
    pub async fn run(self, mut drafts: mpsc::Receiver<Draft>, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(self.config.reports_in_flight_max));
        loop {
            let draft = tokio::select! {
                draft = drafts.recv() => draft,
                () = shutdown.cancelled() => return,
            };
            let Some(draft) = draft else { return };
            if !self.directory.holds(&draft.key) {
                // Whoever holds the agent now has its recent executions, and reports it.
                self.metrics.withdrawn.inc();
                continue;
            }
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let (reporter, shutdown) = (self.clone(), shutdown.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = reporter.deliver(draft) => {}
                    () = shutdown.cancelled() => {}
                }
                drop(permit);
            });
        }
    }

    /// One report, until it is accepted or refused for good, or turns out not to be due.
    async fn deliver(&self, mut draft: Draft) {
        let id = InfectionId::new(uuid::Uuid::new_v4().to_string());
        let mut infection = None;
        let mut backoff = BACKOFF_MIN;
        loop {
            let status = match self.attempt(&mut draft, &id, &mut infection).await {
                Ok(()) => return,
                Err(status) => status,
            };
            if !kind(&status).is_retryable() {
                self.metrics.reports_dropped.inc();
                warn!(agent = %draft.key, code = ?status.code(), message = status.message(), "a report was refused");
                self.directory
                    .undelivered(&draft.key, self.clock.now().plus(REFUSED_WAIT));
                return;
            }
            self.metrics.report_retries.inc();
            warn!(agent = %draft.key, code = ?status.code(), message = status.message(), "cannot report; trying again");
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            if !self.directory.holds(&draft.key) {
                self.metrics.withdrawn.inc();
                return;
            }
        }
    }

    /// One attempt: makes sure that the agent's latest case is known, then sends the report if it is due still.
    async fn attempt(
        &self,
        draft: &mut Draft,
        id: &InfectionId,
        infection: &mut Option<Infection>,
    ) -> Result<(), Status> {
        if !self.directory.is_acquainted(&draft.key) {
            match self.acquaint(draft).await? {
                Some(due) => *draft = due,
                None => {
                    self.metrics.withdrawn.inc();
                    return Ok(());
                }
            }
        }
        // A fleet incident may have been opened since it was drafted.
        if !self.directory.lets_pass(draft, self.clock.now()) {
            self.metrics.withdrawn.inc();
            return Ok(());
        }
        let infection = match infection {
            Some(infection) => infection,
            None => {
                let executions = self.executions(draft).await;
                infection.insert(draft.infection(id.clone(), &executions))
            }
        };
        self.send(draft, infection).await.map(|_| ())
    }

    /// Asks for the latest case of an agent, once before its first report: the agent may have come here with its
    /// partition moments after a release, of which this replica knows nothing, and what it did before is delivered
    /// again. Returns the report that is due in the light of the answer.
    async fn acquaint(&self, draft: &Draft) -> Result<Option<Draft>, Status> {
        let key = &draft.key;
        let latest = match self.latest_case(key).await {
            Ok(latest) => latest,
            Err(status) if kind(&status).is_retryable() => return Err(status),
            Err(status) => {
                // Better a case too many than an infection that nobody hears of.
                warn!(agent = %key, code = ?status.code(), message = status.message(), "cannot ask for the latest case");
                None
            }
        };
        let now = self.clock.now();
        let records = match self.directory.acquaint(key, latest.as_ref()) {
            News::Nothing => return Ok(Some(draft.clone())),
            News::OpenCase => Vec::new(),
            News::FreshAfter(since) => {
                let oldest = now.minus(draft.window_length).minus(LATE_AFTER);
                let read = self
                    .store
                    .recent(key, since.max(oldest), EXECUTIONS_MAX as u32)
                    .await;
                read.unwrap_or_else(|error| {
                    warn!(agent = %key, %error, "cannot judge the executions since a release again");
                    Vec::new()
                })
            }
        };
        Ok(self.directory.judge_again(key, &records, now))
    }

    async fn latest_case(&self, key: &AgentKey) -> Result<Option<Case>, Status> {
        let mut request = Request::new(v1::ListCasesRequest {
            run_id: key.run.to_string(),
            agent_id: key.agent.to_string(),
            limit: 1,
            ..v1::ListCasesRequest::default()
        });
        let timeout = Duration::from_millis(self.config.report_timeout_ms);
        request.set_timeout(timeout);
        let answer = tokio::time::timeout(timeout, self.client.clone().list_cases(request)).await;
        let response = answer
            .map_err(|_| Status::deadline_exceeded("quarantine did not answer"))??
            .into_inner();
        let Some(case) = response.cases.into_iter().next() else {
            return Ok(None);
        };
        let case = Case::try_from(case);
        case.map(Some)
            .map_err(|error| Status::data_loss(error.to_string()))
    }

    /// Sends a report once, and notes the case that it belongs to.
    ///
    /// # Errors
    /// Quarantine's word, or that it could not be reached in time.
    pub async fn send(&self, draft: &Draft, infection: &Infection) -> Result<CaseId, Status> {
        let message = v1::ReportInfectionRequest {
            infection: Some(infection.into()),
            agent_type: draft.agent_type.as_deref().unwrap_or_default().to_owned(),
            namespace: draft.namespace.as_deref().unwrap_or_default().to_owned(),
        };
        let mut request = Request::new(message);
        let timeout = Duration::from_millis(self.config.report_timeout_ms);
        request.set_timeout(timeout);
        // The deadline travels with the call; the timeout here holds even when nobody answers at all.
        let answer = tokio::time::timeout(timeout, self.client.clone().report_infection(request)).await;
        let response = answer
            .map_err(|_| Status::deadline_exceeded("quarantine did not answer"))??
            .into_inner();
        let case = CaseId::new(response.case_id);
        let has_word = draft.clues.platform_word.is_some();
        self.directory
            .accepted(&draft.key, case.clone(), infection.severity, has_word);
        self.metrics.reported.inc();
        info!(
            agent = %draft.key, case = %case, opened = response.opened, severity = infection.severity,
            diagnosis = infection.hypotheses.first().map(|h| h.diagnosis.as_str()), "infection reported"
        );
        Ok(case)
    }

    /// The executions that show it. Without them the report stands all the same.
    pub async fn executions(&self, draft: &Draft) -> Vec<Vitals> {
        match self
            .store
            .recent(&draft.key, draft.since, EVIDENCE_MAX as u32)
            .await
        {
            Ok(vitals) => vitals,
            Err(error) => {
                warn!(agent = %draft.key, %error, "cannot read the executions that show an infection");
                Vec::new()
            }
        }
    }
}

/// Tells quarantine of executions that should not be, each once: the next one tells it again.
pub async fn tell_contained(
    mut client: QuarantineServiceClient<RoleChannel>,
    mut contained: mpsc::Receiver<Contained>,
    timeout: Duration,
    metrics: Metrics,
) {
    while let Some(Contained(message)) = contained.recv().await {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        match tokio::time::timeout(timeout, client.report_execution(request)).await {
            Ok(Ok(_)) => {
                metrics.breaches.inc();
            }
            Ok(Err(status)) => {
                metrics.breaches_dropped.inc();
                warn!(code = ?status.code(), message = status.message(), "cannot tell of an execution");
            }
            Err(_) => {
                metrics.breaches_dropped.inc();
                warn!("cannot tell of an execution: quarantine did not answer");
            }
        }
    }
}

/// When a draft that found no room may be made again.
pub fn after_no_room(now: Timestamp) -> Timestamp {
    now.plus(NO_ROOM_WAIT)
}
