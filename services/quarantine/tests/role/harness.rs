//! The world of the tests: a role that listens in process, a scripted lever, and words for what happens.

use immune_domain::case::{Case, Person};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis};
use immune_domain::policy::{Policies, Policy};
use immune_domain::{AgentKey, InfectionId, Timestamp};
use immune_levers::{Answer, Ask, Lever, Levers, Observed, Outcome};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_quarantine::{Config, Dependencies, Metrics, Service, State};
use immune_runtime::access::with_person;
use immune_runtime::clock::{Clock, Manual, SharedClock, System};
use immune_runtime::grpc::RoleChannel;
use immune_runtime::grpc::{inproc, server};
use immune_store::Stores;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};

pub type Client = QuarantineServiceClient<RoleChannel>;

/// A lever that gives scripted answers, then `Done`; it remembers what it was asked, and may be made to hang.
#[derive(Default)]
pub struct Scripted {
    script: Mutex<VecDeque<Outcome>>,
    asks: Mutex<Vec<Ask>>,
    hangs: Mutex<bool>,
    observed: Mutex<Option<bool>>,
}

impl Scripted {
    pub fn then(self: &Arc<Self>, outcomes: impl IntoIterator<Item = Outcome>) {
        self.script.lock().unwrap().extend(outcomes);
    }

    pub fn hang(self: &Arc<Self>) {
        *self.hangs.lock().unwrap() = true;
    }

    /// Later asks are answered; what hangs goes on hanging.
    pub fn hang_no_more(self: &Arc<Self>) {
        *self.hangs.lock().unwrap() = false;
    }

    /// What it sees of every agent from now on.
    pub fn see(self: &Arc<Self>, contained: bool) {
        *self.observed.lock().unwrap() = Some(contained);
    }

    pub fn asks(&self) -> Vec<Ask> {
        self.asks.lock().unwrap().clone()
    }

    pub fn keys(&self) -> Vec<String> {
        self.asks().into_iter().map(|ask| ask.idempotency_key).collect()
    }
}

#[tonic::async_trait]
impl Lever for Scripted {
    fn name(&self) -> &str {
        "lifecycle"
    }

    async fn ask(&self, ask: &Ask) -> Answer {
        self.asks.lock().unwrap().push(ask.clone());
        let hangs = *self.hangs.lock().unwrap();
        if hangs {
            std::future::pending::<()>().await;
        }
        let outcome = self.script.lock().unwrap().pop_front().unwrap_or(Outcome::Done);
        Answer {
            outcome,
            detail: "scripted".into(),
            evidence: serde_json::Value::Null,
        }
    }

    async fn observe(&self, _: &AgentKey) -> Option<Observed> {
        let contained = (*self.observed.lock().unwrap())?;
        let state = "as the test says".into();
        Some(Observed { contained, state })
    }
}

/// A running role; dropping it is a crash, as far as the role can tell.
pub struct World {
    pub client: Client,
    pub stores: Stores,
    pub lever: Arc<Scripted>,
    pub clock: Arc<Manual>,
    pub state: watch::Receiver<State>,
    policy: Policy,
    config: Config,
    shutdown: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl World {
    pub async fn new() -> World {
        World::with_policy(Policy::default()).await
    }

    pub async fn with_policy(policy: Policy) -> World {
        World::start(immune_store::memory::stores(), policy, Manual::at(System.now())).await
    }

    /// The role started again over the same store, with a new lever.
    pub async fn restarted(self) -> World {
        let (stores, policy, clock) = (self.stores.clone(), self.policy.clone(), self.clock.clone());
        let (lever, config) = (Arc::default(), self.config.clone());
        drop(self);
        World::start_as(config, stores, policy, clock, lever).await
    }

    /// Another replica beside this one, over the same store and lever.
    pub async fn beside(&self, replica: &str) -> World {
        self.beside_over(replica, self.stores.clone()).await
    }

    /// The same, reaching the store in its own way.
    pub async fn beside_over(&self, replica: &str, stores: Stores) -> World {
        let config = Config {
            replica: replica.into(),
            ..self.config.clone()
        };
        let (policy, clock, lever) = (self.policy.clone(), self.clock.clone(), self.lever.clone());
        World::start_as(config, stores, policy, clock, lever).await
    }

    /// Ends the role as SIGTERM does, and waits until it has ended.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
    }

    pub async fn start(stores: Stores, policy: Policy, clock: Arc<Manual>) -> World {
        World::start_as(World::config(), stores, policy, clock, Arc::default()).await
    }

    pub fn config() -> Config {
        Config {
            reconcile_interval_ms: 10,
            tick_interval_ms: 10,
            replica: "first".into(),
            ..Config::default()
        }
    }

    pub async fn start_as(
        config: Config,
        stores: Stores,
        policy: Policy,
        clock: Arc<Manual>,
        lever: Arc<Scripted>,
    ) -> World {
        let world = World::begin_as(config, stores, policy, clock, lever);
        world
            .until("the role has loaded its cases", async |w| {
                w.state.borrow().is_loaded
            })
            .await;
        world
    }

    /// A role that may not be ready yet.
    pub fn begin_as(
        config: Config,
        stores: Stores,
        policy: Policy,
        clock: Arc<Manual>,
        lever: Arc<Scripted>,
    ) -> World {
        let shared: SharedClock = clock.clone();
        let service = Service::new(
            config.clone(),
            Dependencies {
                cases: stores.cases.clone(),
                action_log: stores.action_log.clone(),
                vitals: stores.vitals.clone(),
                levers: Levers::default().with(lever.clone()),
                policies: Policies {
                    defaults: policy.clone(),
                    rules: vec![],
                }
                .into(),
                clock: shared,
                metrics: Metrics::default(),
            },
        );
        let state = service.state();
        let (channel, connections) = inproc::pair();
        let routes = Routes::new(service.grpc());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                let _ = server::serve_in_process(routes, connections, shutdown).await;
            }
        });
        let running = tokio::spawn(service.run(shutdown.clone()));
        let client = QuarantineServiceClient::new(channel);
        World {
            client,
            stores,
            lever,
            clock,
            state,
            policy,
            config,
            shutdown,
            tasks: vec![running, serving],
        }
    }

    /// Waits for a condition, ten seconds at most.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&World) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !condition(self).await {
            assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn report(&self, agent: &str, id: &str, severity: f64) -> v1::ReportInfectionResponse {
        self.try_report(agent, id, severity).await.unwrap()
    }

    /// Reports as the sentinel does: again while the role is busy.
    pub async fn report_until_accepted(
        &self,
        agent: &str,
        id: &str,
        severity: f64,
    ) -> v1::ReportInfectionResponse {
        for _ in 0..100 {
            match self.try_report(agent, id, severity).await {
                Ok(answer) => return answer,
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("infection {id} of {agent} is not accepted");
    }

    pub async fn try_report(
        &self,
        agent: &str,
        id: &str,
        severity: f64,
    ) -> Result<v1::ReportInfectionResponse, Status> {
        let infection = infection(agent, id, severity);
        let request = v1::ReportInfectionRequest {
            infection: Some(infection.into()),
            agent_type: "research".into(),
            namespace: String::new(),
        };
        Ok(self.client.clone().report_infection(request).await?.into_inner())
    }

    /// Opens a case and waits until its levers have confirmed.
    pub async fn contained(&self, agent: &str, severity: f64) -> String {
        let id = self
            .report(agent, &format!("infection of {agent}"), severity)
            .await
            .case_id;
        self.until_phase(&id, "confirmed").await;
        id
    }

    pub async fn until_phase(&self, id: &str, phase: &str) {
        self.until(phase, async |w| {
            w.case(id).await.quarantine.phase.as_str() == phase
        })
        .await;
    }

    pub async fn case(&self, id: &str) -> Case {
        let request = v1::GetCaseRequest { case_id: id.into() };
        let answer = self.client.clone().get_case(request).await.unwrap().into_inner();
        Case::try_from(answer.case.unwrap()).unwrap()
    }

    pub async fn decide(
        &self,
        id: &str,
        decision: v1::Decision,
        who: &str,
        reason: &str,
    ) -> Result<Case, Status> {
        self.decide_at(id, decision, who, reason, 0).await
    }

    pub async fn decide_at(
        &self,
        id: &str,
        decision: v1::Decision,
        who: &str,
        reason: &str,
        expected_version: u64,
    ) -> Result<Case, Status> {
        let request = v1::DecideRequest {
            case_id: id.into(),
            decision: decision.into(),
            reason: reason.into(),
            expected_version,
            ..Default::default()
        };
        let person = Person {
            subject: who.into(),
            via: "api_key".into(),
        };
        let answer = self
            .client
            .clone()
            .decide(with_person(request, &person))
            .await?
            .into_inner();
        Ok(Case::try_from(answer.case.unwrap()).unwrap())
    }

    pub async fn admission(&self, agent: &str) -> Result<v1::CheckAdmissionResponse, Status> {
        let key = Some(AgentKey::new("default", agent).into());
        Ok(self
            .client
            .clone()
            .check_admission(v1::CheckAdmissionRequest { key })
            .await?
            .into_inner())
    }

    pub async fn executed(&self, agent: &str, started_at: Timestamp) -> bool {
        self.try_executed(agent, started_at).await.unwrap()
    }

    pub async fn try_executed(&self, agent: &str, started_at: Timestamp) -> Result<bool, Status> {
        let request = v1::ReportExecutionRequest {
            key: Some(AgentKey::new("default", agent).into()),
            execution_id: "trace-span".into(),
            started_at: Some(immune_proto::convert::time::to_wire(started_at)),
        };
        let answer = self.client.clone().report_execution(request).await?;
        Ok(answer.into_inner().breached)
    }

    pub async fn claim(&self, worker: &str) -> v1::ClaimHealingResponse {
        self.try_claim(worker).await.unwrap()
    }

    pub async fn try_claim(&self, worker: &str) -> Result<v1::ClaimHealingResponse, Status> {
        let request = v1::ClaimHealingRequest {
            worker: worker.into(),
            lease_ms: 30_000,
        };
        Ok(self.client.clone().claim_healing(request).await?.into_inner())
    }

    /// Kinds in the action log, oldest first, with the outcome where it is not `done`.
    pub async fn log(&self) -> Vec<String> {
        let rows = self
            .stores
            .action_log
            .recent(&"default".into(), None, 1_000)
            .await
            .unwrap();
        let word = |row: &immune_store::action_log::LogRow| match row.outcome.as_str() {
            "done" => row.kind.clone(),
            outcome => format!("{} {outcome}", row.kind),
        };
        rows.iter().rev().map(|stored| word(&stored.row)).collect()
    }
}

pub fn code_of<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String) {
    let status = result.unwrap_err();
    let word = immune_runtime::grpc::code_word(&status)
        .unwrap_or_default()
        .to_owned();
    (status.code(), word)
}

pub fn infection(agent: &str, id: &str, severity: f64) -> Infection {
    Infection {
        id: InfectionId::new(id),
        key: AgentKey::new("default", agent),
        detected_at: Timestamp::EPOCH,
        severity,
        anomalies: vec![],
        deviations: Deviations::default(),
        hypotheses: vec![Hypothesis {
            diagnosis: Diagnosis::PromptDrift,
            confidence: 0.9,
            because: "tokens are up".into(),
        }],
        ruled_out: vec![],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    }
}
