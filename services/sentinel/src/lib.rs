//! The sentinel role: compares the recent window of each agent with its baseline, and reports who departed.
//!
//! Each record is judged before anybody learns from it, and every agent with a window is looked at every second. A
//! departure is reported to quarantine until it is accepted, once per case, again when it gets materially worse.
//! Nothing that was seen before a healing or a release is held against an agent afterwards.
//!
//! Several replicas share the agents by the partitions of the bus. The sentinel keeps nothing of its own across a
//! restart or a move: when it gains a partition, the bus delivers the last half minute of it again, so that windows
//! are rebuilt, and verdicts and reports repeated that another replica may have left undone. A report names an agent
//! once more at worst, and quarantine has one case per agent; before its first report of an agent the sentinel asks
//! for the agent's latest case, so that nothing from before a release makes a new one.
//!
//! Not here: the rule itself (`immune_domain::detection`, `immune_domain::diagnosis`), what becomes of an infection
//! (`quarantine`), learning (`baseline`).
//!
//! - [`judging`]: the loop over records, seconds and partitions. [`agent`]: what follows from one, pure.
//! - `settling`: what must be known of a gained partition first. `standing`: what is held and known.
//! - [`guarding`]: the guarded detector of one agent, where policy asks for it. `history`: how it begins.
//! - [`directory`]: every agent in memory, sharded and bounded. [`listing`]: the same with what the store knows.
//! - [`fleet`]: many that depart at once are one incident of what they share.
//! - [`silence`]: agents whose telemetry has stopped.
//! - [`report`], [`quarantine`]: what is told, and telling it. [`watches`]: profiles and cases as they change.
//! - `changes`: which agents have changed, for those who look. `telling`: telling them.
//! - [`replay`]: recorded executions judged once more, in virtual time, by the same agent.
//! - [`backtest`]: one agent's records under one policy and another; `asking`: of some agents, for whoever asks.
//! - [`verdicts`]: may this execution teach? [`proof`]: did the healing help?
//!
//! To add a signal: a field in `notes.rs`, filled when a record is taken, handed on as a clue, and a rule in
//! `immune_domain::diagnosis` that reads it.

pub mod agent;
mod asking;
pub mod backtest;
mod changes;
pub mod config;
pub mod directory;
pub mod fleet;
pub mod grpc;
pub mod guarding;
mod history;
pub mod judging;
pub mod listing;
pub mod metrics;
mod notes;
pub mod proof;
pub mod quarantine;
pub mod replay;
pub mod report;
mod settling;
pub mod silence;
mod standing;
mod telling;
pub mod verdicts;
pub mod watches;

pub use config::Config;
pub use metrics::Metrics;
pub use standing::State;

use crate::quarantine::{CONTAINED_MAX, Contained, Reporter, tell_contained};
use directory::Directory;
use immune_bus::Consumer;
use immune_domain::policy::LivePolicies;
use immune_domain::{AgentKey, CaseId, InfectionId};
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_proto::v1::sentinel_service_server::SentinelServiceServer;
use immune_runtime::clock::SharedClock;
use immune_runtime::grpc::{Peers, not_owner};
use immune_store::VitalsStore;
use judging::Judging;
use report::Draft;
use standing::Standing;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use verdicts::Verdicts;

/// What the role is built from.
pub struct Dependencies {
    /// Executions as they come.
    pub bus: Box<dyn Consumer>,
    /// Executions on record.
    pub store: Arc<dyn VitalsStore>,
    /// Profiles: each replica tells those that it holds.
    pub baseline: Peers,
    /// Cases: any replica knows all.
    pub quarantine: Peers,
    /// Which rules hold for which agent.
    pub policies: LivePolicies,
    /// Tells the time.
    pub clock: SharedClock,
    /// Where the role counts.
    pub metrics: Metrics,
    /// How baselines learn, for back-tests.
    pub replay: replay::Settings,
}

/// What [`Service::run`] takes.
struct Work {
    bus: Box<dyn Consumer>,
    drafts: mpsc::Receiver<Draft>,
    contained: mpsc::Receiver<Contained>,
    news: mpsc::Receiver<fleet::News>,
    baseline: Peers,
}

/// The sentinel role.
#[derive(Clone)]
pub struct Service {
    pub(crate) directory: Arc<Directory>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) store: Arc<dyn VitalsStore>,
    pub(crate) verdicts: Arc<Verdicts>,
    pub(crate) clock: SharedClock,
    pub(crate) closed: CancellationToken,
    pub(crate) asking: asking::Asking,
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
            replay,
        } = dependencies;
        let config = Arc::new(config);
        let (draft_sender, drafts) = mpsc::channel(config.reports_waiting_max);
        let (contained_sender, contained) = mpsc::channel(CONTAINED_MAX);
        let (news_sender, news) = mpsc::channel(fleet::NEWS_MAX);
        let growth = config.severity_growth_min;
        let standing = Arc::new(Standing::new());
        let directory = Directory::new(
            policies,
            config.agents_max,
            growth,
            metrics.clone(),
            standing.clone(),
        );
        let directory = Arc::new(directory.with_fleet(config.fleet.clone()));
        let verdicts = Arc::new(Verdicts::new(config.verdicts_kept));
        let reporter = Reporter {
            client: QuarantineServiceClient::new(quarantine.any()),
            store: store.clone(),
            directory: directory.clone(),
            config: config.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let judging = Judging {
            config,
            directory: directory.clone(),
            standing: standing.clone(),
            store: store.clone(),
            verdicts: verdicts.clone(),
            drafts: draft_sender,
            contained: contained_sender,
            news: news_sender,
            clock: clock.clone(),
            metrics,
        };
        let asking = asking::Asking::new(reporter.clone(), replay);
        let work = Arc::new(Mutex::new(Some(Work {
            bus,
            drafts,
            contained,
            news,
            baseline,
        })));
        Service {
            directory,
            standing,
            store,
            verdicts,
            clock,
            closed: CancellationToken::new(),
            asking,
            reporter,
            judging,
            work,
        }
    }

    /// The gRPC service.
    pub fn grpc(&self) -> SentinelServiceServer<Self> {
        SentinelServiceServer::new(self.clone())
    }

    /// What this replica holds and knows, as it is and as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.standing.state()
    }

    /// Judges until the token is cancelled or the bus ends, then ends the watches. A second call does nothing.
    pub async fn run(self, shutdown: CancellationToken) {
        let taken = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Work {
            bus,
            drafts,
            contained,
            news,
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
        // They end by the token, or by a queue that nobody fills any more; none may outlive the role.
        let _helpers = [
            tokio::spawn(watches::profiles::follow(
                baseline,
                directory.clone(),
                stop.clone(),
            )),
            tokio::spawn(watches::cases::follow(
                client.clone(),
                directory,
                clock,
                stop.clone(),
            )),
            tokio::spawn(self.reporter.run(drafts, stop.clone())),
            tokio::spawn(tell_contained(client.clone(), contained, timeout, metrics)),
            tokio::spawn(fleet::tell(client, news, timeout)),
        ]
        .map(AbortOnDropHandle::new);
        self.judging.run(bus, shutdown).await;
        stop.cancel();
        self.closed.cancel();
    }

    /// Reports an agent as infected because its platform says so, whatever its vitals say.
    ///
    /// # Errors
    /// Quarantine's word, or that it could not be reached in time; the platform says it again then. That the agent is
    /// held elsewhere.
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
        let draft = draft.ok_or_else(not_owner::status)?;
        let executions = self.reporter.executions(&draft).await;
        self.reporter
            .send(&draft, &draft.infection(infection, &executions))
            .await
    }
}
