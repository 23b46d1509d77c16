//! The sentinel role: compares the recent window of each agent with its baseline, and reports who departed.
//!
//! Each record is judged before anybody learns from it, and every agent with a window is looked at every second. A
//! departure is reported to quarantine until it is accepted, once per case, again when it gets materially worse.
//! Nothing that was seen before a healing or a release is held against an agent afterwards.
//!
//! Not here: the rule itself (`immune_domain::detection`, `immune_domain::diagnosis`), what becomes of an infection
//! (`quarantine`), learning (`baseline`). The sentinel keeps nothing of its own across a restart: windows are
//! seconds long, records are in the store of vitals, profiles and cases are watched; the guarded detector begins
//! from the records.
//!
//! - [`judging`]: the loop over records and seconds. [`agent`]: what follows from one, pure.
//! - [`guarding`]: the guarded detector of one agent, where policy asks for it. `history`: how it begins.
//! - [`directory`]: every agent in memory, sharded and bounded. [`listing`]: the same with what the store knows.
//! - [`report`], [`quarantine`]: what is told, and telling it. [`watches`]: profiles and cases as they change.
//! - [`verdicts`]: may this execution teach? [`proof`]: did the healing help?
//!
//! To add a signal: a field in `notes.rs`, filled when a record is taken, handed on as a clue, and a rule in
//! `immune_domain::diagnosis` that reads it.

pub mod agent;
pub mod config;
pub mod directory;
pub mod grpc;
pub mod guarding;
mod history;
pub mod judging;
pub mod listing;
pub mod metrics;
mod notes;
pub mod proof;
pub mod quarantine;
pub mod reason;
pub mod report;
pub mod verdicts;
pub mod watches;

pub use config::Config;
pub use metrics::Metrics;

use crate::quarantine::{CONTAINED_MAX, Contained, Reporter, tell_contained};
use directory::Directory;
use immune_bus::Consumer;
use immune_domain::policy::Policies;
use immune_domain::{AgentKey, CaseId, InfectionId};
use immune_proto::v1::baseline_service_client::BaselineServiceClient;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::sentinel_service_server::SentinelServiceServer;
use immune_runtime::clock::SharedClock;
use immune_store::VitalsStore;
use judging::Judging;
use report::Draft;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;
use verdicts::Verdicts;

/// What the role is built from.
pub struct Dependencies {
    /// Executions as they come.
    pub bus: Box<dyn Consumer>,
    /// Executions on record.
    pub store: Arc<dyn VitalsStore>,
    /// Profiles.
    pub baseline: BaselineServiceClient<Channel>,
    /// Cases.
    pub quarantine: QuarantineServiceClient<Channel>,
    /// Which rules hold for which agent.
    pub policies: Policies,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
}

/// What [`Service::run`] takes.
struct Work {
    bus: Box<dyn Consumer>,
    drafts: mpsc::Receiver<Draft>,
    contained: mpsc::Receiver<Contained>,
    baseline: BaselineServiceClient<Channel>,
}

/// The sentinel role.
#[derive(Clone)]
pub struct Service {
    pub(crate) directory: Arc<Directory>,
    pub(crate) store: Arc<dyn VitalsStore>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) clock: SharedClock,
    pub(crate) closed: CancellationToken,
    reporter: Reporter,
    judging: Judging,
    work: Arc<Mutex<Option<Work>>>,
}

impl Service {
    /// Builds the role; nothing runs before [`Service::run`].
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        let Dependencies {
            bus,
            store,
            baseline,
            quarantine,
            policies,
            clock,
            metrics,
        } = dependencies;
        let config = Arc::new(config);
        let (draft_sender, drafts) = mpsc::channel(config.reports_waiting_max);
        let (contained_sender, contained) = mpsc::channel(CONTAINED_MAX);
        let growth = config.severity_growth_min;
        let directory = Arc::new(Directory::new(
            policies.compile(),
            config.agents_max,
            growth,
            metrics.clone(),
        ));
        let verdicts = Arc::new(Verdicts::new(config.verdicts_kept));
        let reporter = Reporter {
            client: quarantine,
            store: store.clone(),
            directory: directory.clone(),
            config: config.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let judging = Judging {
            config,
            directory: directory.clone(),
            verdicts: verdicts.clone(),
            drafts: draft_sender,
            contained: contained_sender,
            clock: clock.clone(),
            metrics,
        };
        let work = Arc::new(Mutex::new(Some(Work {
            bus,
            drafts,
            contained,
            baseline,
        })));
        Service {
            directory,
            store,
            verdicts,
            clock,
            closed: CancellationToken::new(),
            reporter,
            judging,
            work,
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> SentinelServiceServer<Self> {
        SentinelServiceServer::new(self.clone())
    }

    /// Judges until the token is cancelled or the bus ends, then ends the watches. A second call does nothing.
    pub async fn run(self, shutdown: CancellationToken) {
        let taken = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Work {
            bus,
            drafts,
            contained,
            baseline,
        }) = taken
        else {
            return;
        };
        let Reporter {
            client,
            directory,
            config,
            clock,
            metrics,
            ..
        } = self.reporter.clone();
        let stop = shutdown.child_token();
        let timeout = Duration::from_millis(config.report_timeout_ms);
        let helpers = [
            tokio::spawn(watches::profiles(
                baseline,
                directory.clone(),
                self.store.clone(),
                stop.clone(),
            )),
            tokio::spawn(watches::cases(client.clone(), directory, clock, stop.clone())),
            tokio::spawn(self.reporter.run(drafts, stop.clone())),
            tokio::spawn(tell_contained(client, contained, timeout, metrics)),
        ];
        self.judging.run(bus, shutdown).await;
        stop.cancel();
        self.closed.cancel();
        for helper in helpers {
            // They end by the token, or by a queue that nobody fills any more; none may outlive the role.
            helper.abort();
        }
    }

    /// Reports an agent as infected because its platform says so, whatever its vitals say.
    ///
    /// # Errors
    /// Quarantine's word, or that it could not be reached in time; the platform says it again then.
    async fn report_now(
        &self,
        key: &AgentKey,
        infection: InfectionId,
        reason: &str,
        reported_by: &str,
    ) -> Result<CaseId, Status> {
        let now = self.clock.now();
        let word = match (reason.trim(), reported_by.trim()) {
            ("", "") => "no reason given".to_owned(),
            (reason, "") => reason.to_owned(),
            ("", by) => format!("no reason given, reported by {by}"),
            (reason, by) => format!("{reason}, reported by {by}"),
        };
        let draft = self.directory.change(key, |agent, profile| {
            agent.hear(&word);
            agent.draft_now(key, profile, now)
        });
        let evidence = self.reporter.evidence(&draft).await;
        self.reporter
            .send(&draft, &draft.infection(infection, evidence))
            .await
    }
}
