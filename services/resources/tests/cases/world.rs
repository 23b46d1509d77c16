//! The world of the tests: a cluster, the quarantine role over its store, and mirrors.

use crate::others::{Obedient, SEAL, Word, losing, sealed};
use immune_domain::case::Case;
use immune_domain::policy::{Policies, Policy};
use immune_domain::{AgentKey, CaseId};
use immune_levers::Levers;
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_resources::cases::seal::{DECIDED_BY, DECISION, REASON};
use immune_resources::cases::{Config, Metrics, Scope, State, build, crd, mirror::Dependencies};
use immune_runtime::clock::{Clock, Manual, SharedClock, System};
use immune_runtime::grpc::{Peers, RoleChannel, inproc, server};
use immune_store::Stores;
use immune_store::conformance::samples;
use immune_test_kubernetes::ApiServer;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// A cluster, a quarantine role and its store.
pub struct World {
    pub server: ApiServer,
    pub stores: Stores,
    pub clock: Arc<Manual>,
    pub quarantine: QuarantineServiceClient<RoleChannel>,
    /// Answers of `Decide` that get lost from now on.
    pub answers_lost: Arc<AtomicUsize>,
    peers: Peers,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A mirror that runs; dropping it kills it.
pub struct Running {
    pub state: watch::Receiver<State>,
    pub metrics: Metrics,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    /// Stops in order.
    pub async fn end(mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(DEADLINE, &mut self.task)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn config() -> Config {
    Config {
        requests_per_second: 1_000,
        lease_ms: 600,
        ..Config::default()
    }
}

impl World {
    pub async fn new() -> World {
        World::with_policy(Policy::default()).await
    }

    pub async fn with_policy(policy: Policy) -> World {
        let server = ApiServer::start().await;
        let definition = serde_json::to_value(crd()).unwrap();
        server.put(definition);
        for namespace in ["immune", "prod"] {
            server.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
        }
        let stores = immune_store::memory::stores();
        let clock = Manual::at(System.now());
        let shared: SharedClock = clock.clone();
        let service = immune_quarantine::Service::new(
            immune_quarantine::Config {
                reconcile_interval_ms: 10,
                tick_interval_ms: 10,
                replica: "first".into(),
                ..immune_quarantine::Config::default()
            },
            immune_quarantine::Dependencies {
                cases: stores.cases.clone(),
                action_log: stores.action_log.clone(),
                vitals: stores.vitals.clone(),
                levers: Levers::default().with(Arc::new(Obedient)),
                policies: Policies {
                    defaults: policy,
                    rules: vec![],
                }
                .into(),
                clock: shared,
                metrics: immune_quarantine::Metrics::default(),
            },
        );
        let mut state = service.state();
        let (channel, connections) = inproc::pair();
        let answers_lost = Arc::new(AtomicUsize::new(0));
        let routes = losing(Routes::new(service.grpc()), answers_lost.clone());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn({
            let shutdown = shutdown.clone();
            async move {
                let _ = server::serve_in_process(routes, connections, shutdown).await;
            }
        });
        let running = tokio::spawn(service.run(shutdown));
        state.wait_for(|state| state.is_loaded).await.unwrap();
        World {
            server,
            stores,
            clock,
            quarantine: QuarantineServiceClient::new(channel.clone()),
            answers_lost,
            peers: Peers::one(channel),
            tasks: vec![running, serving],
        }
    }

    /// A mirror of this name.
    pub fn mirror(&self, replica: &str) -> Running {
        self.mirror_as(replica, config())
    }

    pub fn mirror_as(&self, replica: &str, config: Config) -> Running {
        let scope = Scope {
            own: "immune".to_owned(),
            namespaces: vec!["prod".to_owned(), "gone".to_owned()],
            all: false,
        };
        let dependencies = Dependencies {
            cases: self.stores.cases.clone(),
            notifications: self.stores.notifications.clone(),
            quarantine: self.peers.clone(),
            seal: Arc::new(Word(self.clock.clone())),
            // The lease goes by the machine's time, since the test's stands still.
            clock: Arc::new(GoingOn {
                manual: self.clock.clone(),
                started: tokio::time::Instant::now(),
            }),
            replica: replica.to_owned(),
        };
        let metrics = Metrics::default();
        let mirror = build(
            &config,
            scope,
            self.server.client(),
            dependencies,
            metrics.clone(),
        );
        let (state, shutdown) = (mirror.state(), CancellationToken::new());
        Running {
            state,
            metrics,
            task: tokio::spawn(mirror.run(shutdown.clone())),
            shutdown,
        }
    }

    /// A mirror that leads and knows everything.
    pub async fn leading(&self, replica: &str) -> Running {
        let mut mirror = self.mirror(replica);
        mirror.synced().await;
        mirror
    }

    /// Reports an agent of the namespace `prod` as infected; returns its case.
    pub async fn report(&self, agent: &str, severity: f64) -> String {
        self.report_in(agent, severity, "prod").await
    }

    pub async fn report_in(&self, agent: &str, severity: f64, namespace: &str) -> String {
        let mut infection =
            samples::infection(&AgentKey::new("default", agent), &format!("infection of {agent}"));
        infection.severity = severity;
        infection.workload = [("namespace.name".to_owned(), namespace.to_owned())].into();
        let request = v1::ReportInfectionRequest {
            infection: Some(infection.into()),
            ..Default::default()
        };
        let answer = self.quarantine.clone().report_infection(request).await.unwrap();
        answer.into_inner().case_id
    }

    /// Opens a case whose agent is contained.
    pub async fn contained(&self, agent: &str, severity: f64) -> String {
        let id = self.report(agent, severity).await;
        self.until("the agent is contained", async || {
            self.case(&id).await.quarantine.phase.as_str() == "confirmed"
        })
        .await;
        id
    }

    pub async fn case(&self, id: &str) -> Case {
        self.stores.cases.get(&CaseId::from(id)).await.unwrap().unwrap()
    }

    /// Decides as another channel does.
    pub async fn decide(&self, id: &str, decision: v1::Decision, who: &str) -> Case {
        let person = immune_domain::case::Person {
            subject: who.into(),
            via: "oidc".into(),
        };
        let request = v1::DecideRequest {
            case_id: id.into(),
            decision: decision.into(),
            reason: "because".into(),
            ..Default::default()
        };
        let request = immune_runtime::access::with_person(request, &person);
        let answer = self
            .quarantine
            .clone()
            .decide(request)
            .await
            .unwrap()
            .into_inner();
        Case::try_from(answer.case.unwrap()).unwrap()
    }

    /// Waits for a condition.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !condition().await {
            assert!(
                tokio::time::Instant::now() < deadline,
                "waited in vain: {what}; {:#?}",
                self.server.list("AgentCase", "")
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The object of a case, as `kubectl get acase -n prod` shows it; null when there is none.
    pub fn shown(&self, id: &str) -> Value {
        self.server.get("AgentCase", "prod", id).unwrap_or_default()
    }

    /// Waits until the object of a case is as wanted.
    pub async fn until_shown(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) {
        self.until(what, async || is_so(&self.shown(id))).await;
    }

    /// Writes a decision onto the object, as kubectl and the webhook do together.
    pub fn annotate(&self, id: &str, decision: &str, reason: &str, by: &str) {
        self.server.change("AgentCase", "prod", id, |object| {
            let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
            object["metadata"]["annotations"][DECISION] = json!(decision);
            object["metadata"]["annotations"][REASON] = json!(reason);
            object["metadata"]["annotations"][DECIDED_BY] = json!(by);
            object["metadata"]["annotations"][SEAL] = json!(sealed(&uid, decision, reason, by));
        });
    }

    /// Kubernetes Events of a case: type, reason.
    pub fn events(&self, id: &str) -> Vec<(String, String)> {
        let mut events = self.server.list("Event.events.k8s.io", "prod");
        events.retain(|event| event["regarding"]["name"] == id);
        events.sort_by_key(|event| {
            let version = event["metadata"]["resourceVersion"].as_str().unwrap();
            version.parse::<u64>().unwrap()
        });
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        events
            .iter()
            .map(|event| (text(&event["type"]), text(&event["reason"])))
            .collect()
    }

    /// Lines of a kind and outcome in the action log.
    pub async fn logged(&self, kind: &str, outcome: &str) -> usize {
        let log = self
            .stores
            .action_log
            .recent(&"default".into(), None, 1_000)
            .await
            .unwrap();
        log.iter()
            .filter(|row| row.row.kind == kind && row.row.outcome == outcome)
            .count()
    }
}

impl Running {
    /// Waits until it leads and knows everything.
    pub async fn synced(&mut self) {
        self.wait_for("leads", |state| state.is_leading && state.is_synced)
            .await;
    }

    pub async fn wait_for(&mut self, what: &str, is_so: impl FnMut(&State) -> bool) {
        let waited = tokio::time::timeout(DEADLINE, self.state.wait_for(is_so)).await;
        assert!(
            waited.is_ok_and(|waited| waited.is_ok()),
            "waited in vain: {what}"
        );
    }
}

/// The test's time, which goes on by itself.
struct GoingOn {
    manual: Arc<Manual>,
    started: tokio::time::Instant,
}

impl Clock for GoingOn {
    fn now(&self) -> immune_domain::Timestamp {
        self.manual.now().plus(self.started.elapsed())
    }
}

/// Value of a condition of an object.
pub fn condition(object: &Value, type_: &str) -> String {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.and_then(|all| all.iter().find(|one| one["type"] == type_));
    found
        .map(|one| one["status"].as_str().unwrap().to_owned())
        .unwrap_or_default()
}
