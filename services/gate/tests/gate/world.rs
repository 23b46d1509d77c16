//! The world of the tests: quarantine and gateway checks over one store, and gateways that ask.

use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use immune_domain::AgentKey;
use immune_domain::case::{Case, Person};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis};
use immune_domain::policy::{LivePolicies, Policies};
use immune_domain::{InfectionId, Timestamp};
use immune_gate::{Config, Dependencies, Gate, Metrics, State};
use immune_levers::{Answer, Ask, Lever, Levers, Observed, Outcome};
use immune_proto::v1;
use immune_proto::v1::quarantine_service_client::QuarantineServiceClient;
use immune_runtime::access::with_person;
use immune_runtime::grpc::{RoleChannel, inproc, server};
use immune_store::{CaseStore, Stores};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::Channel;

/// A lever that does what it is asked.
struct Obedient;

#[tonic::async_trait]
impl Lever for Obedient {
    fn name(&self) -> &str {
        "lifecycle"
    }

    async fn ask(&self, _: &Ask) -> Answer {
        Answer {
            outcome: Outcome::Done,
            detail: "done".into(),
            evidence: Value::Null,
        }
    }

    async fn observe(&self, _: &AgentKey) -> Option<Observed> {
        None
    }
}

/// The quarantine role over a store; dropping it is a crash.
pub struct Ward {
    pub client: QuarantineServiceClient<RoleChannel>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Ward {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Ward {
    pub async fn start(stores: &Stores, policies: &LivePolicies, replica: &str) -> Ward {
        let config = immune_quarantine::Config {
            reconcile_interval_ms: 10,
            tick_interval_ms: 10,
            replica: replica.into(),
            ..Default::default()
        };
        let service = immune_quarantine::Service::new(
            config,
            immune_quarantine::Dependencies {
                cases: stores.cases.clone(),
                action_log: stores.action_log.clone(),
                vitals: stores.vitals.clone(),
                levers: Levers::default().with(Arc::new(Obedient)),
                policies: policies.clone(),
                clock: immune_runtime::clock::system(),
                metrics: Default::default(),
            },
        );
        let mut state = service.state();
        let (channel, connections) = inproc::pair();
        let routes = Routes::new(service.grpc());
        let stop = CancellationToken::new();
        let serving = tokio::spawn({
            let stop = stop.clone();
            async move {
                let _ = server::serve_in_process(routes, connections, stop).await;
            }
        });
        let running = tokio::spawn(service.run(stop));
        state.wait_for(|state| state.is_loaded).await.unwrap();
        Ward {
            client: QuarantineServiceClient::new(channel),
            tasks: vec![serving, running],
        }
    }

    /// Opens a case whose severity a person must decide about; returns its id.
    pub async fn falls_ill(&self, agent: &str) -> String {
        let infection = Infection {
            id: InfectionId::new(format!("infection of {agent}")),
            key: AgentKey::new("default", agent),
            detected_at: Timestamp::EPOCH,
            severity: 8.5,
            anomalies: vec![],
            deviations: Deviations::default(),
            ruled_out: vec![],
            hypotheses: vec![Hypothesis {
                diagnosis: Diagnosis::PromptDrift,
                confidence: 0.9,
                because: "tokens are up".into(),
            }],
            window: WindowSummary::default(),
            evidence: vec![],
            baseline_version: 1,
            evidence_score: None,
            workload: Default::default(),
        };
        let request = v1::ReportInfectionRequest {
            infection: Some(infection.into()),
            agent_type: String::new(),
            namespace: String::new(),
        };
        let answer = self.client.clone().report_infection(request).await.unwrap();
        answer.into_inner().case_id
    }

    pub async fn decide(&self, case: &str, decision: v1::Decision) {
        let request = v1::DecideRequest {
            case_id: case.into(),
            decision: decision.into(),
            reason: "known".into(),
            ..Default::default()
        };
        let person = Person {
            subject: "dora".into(),
            via: "api_key".into(),
        };
        let request = with_person(request, &person);
        self.client.clone().decide(request).await.unwrap();
    }

    /// Claims the healing of the approved case and does its first step, so that the agent is on probation.
    pub async fn heals(&self, case: &str) {
        let mut client = self.client.clone();
        let request = v1::ClaimHealingRequest {
            worker: "healer".into(),
            lease_ms: 30_000,
        };
        let fence = client.claim_healing(request).await.unwrap().into_inner().fence;
        let begin = v1::BeginStepRequest {
            case_id: case.into(),
            fence,
            healing_id: "h-1".into(),
            action: "reset_memory".into(),
        };
        client.begin_step(begin).await.unwrap();
        let end = v1::EndStepRequest {
            case_id: case.into(),
            fence,
            healing_id: "h-1".into(),
            outcome: v1::end_step_request::Outcome::Done.into(),
            detail: "done".into(),
        };
        client.end_step(end).await.unwrap();
    }

    pub async fn case(&self, id: &str) -> Case {
        let request = v1::GetCaseRequest { case_id: id.into() };
        let answer = self.client.clone().get_case(request).await.unwrap().into_inner();
        Case::try_from(answer.case.unwrap()).unwrap()
    }

    /// What the REST endpoint says.
    pub async fn admission(&self, agent: &str) -> v1::CheckAdmissionResponse {
        let key = Some(AgentKey::new("default", agent).into());
        let request = v1::CheckAdmissionRequest { key };
        self.client
            .clone()
            .check_admission(request)
            .await
            .unwrap()
            .into_inner()
    }
}

/// A running gateway check.
pub struct Door {
    pub address: SocketAddr,
    pub state: watch::Receiver<State>,
    pub metrics: Metrics,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The header as the agent's name, on a free port of loopback; `over` on top.
pub fn config(over: Value) -> Config {
    let mut whole = json!({
        "listen": "127.0.0.1:0",
        "identity": [{ "header": { "name": "x-agent-id", "run_header": "x-run-id" } }],
    });
    for (key, value) in over.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

impl Door {
    /// Started, and not yet loaded.
    pub async fn begin(config: Config, cases: &Arc<dyn CaseStore>, policies: &LivePolicies) -> Door {
        let metrics = Metrics::default();
        let dependencies = Dependencies {
            cases: cases.clone(),
            policies: policies.clone(),
            metrics: metrics.clone(),
        };
        let gate = Gate::bind(config, dependencies).await.unwrap().unwrap();
        let stop = CancellationToken::new();
        Door {
            address: gate.address(),
            state: gate.state(),
            metrics,
            task: tokio::spawn(gate.run(stop.clone())),
            stop,
        }
    }

    pub async fn start(config: Config, cases: &Arc<dyn CaseStore>, policies: &LivePolicies) -> Door {
        let mut door = Door::begin(config, cases, policies).await;
        door.state.wait_for(|state| state.is_loaded).await.unwrap();
        door
    }

    /// Ends as at SIGTERM, and waits for it.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.unwrap();
    }

    pub async fn grpc(&self) -> AuthorizationClient<Channel> {
        let url = format!("http://{}", self.address);
        AuthorizationClient::connect(url).await.unwrap()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Whether an agent may act, over both protocols, which must agree.
    pub async fn may_act(&self, agent: &str) -> bool {
        let by_grpc = self.ask(agent).await.unwrap();
        let by_http = self.ask_plainly(agent).await;
        assert_eq!(by_grpc.status.unwrap().code == 0, by_http.status() == 200);
        by_http.status() == 200
    }

    pub async fn ask(&self, agent: &str) -> Result<CheckResponse, Status> {
        let request = by_headers(&[("x-agent-id", agent)]);
        Ok(self.grpc().await.check(request).await?.into_inner())
    }

    pub async fn ask_plainly(&self, agent: &str) -> reqwest::Response {
        let request = http_client().get(self.url("/check"));
        request.header("x-agent-id", agent).send().await.unwrap()
    }

    /// Waits until an agent may act, or may not.
    pub async fn until(&self, agent: &str, may_act: bool) {
        until(&format!("{agent} may act: {may_act}"), async || {
            let answer = self.ask(agent).await;
            answer.is_ok_and(|answer| (answer.status.unwrap().code == 0) == may_act)
        })
        .await;
    }
}

pub fn http_client() -> reqwest::Client {
    // Another test may have been faster.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A check as Envoy sends it.
pub fn by_headers(headers: &[(&str, &str)]) -> CheckRequest {
    let headers: HashMap<String, String> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let http = HttpRequest {
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        headers,
        ..Default::default()
    };
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request {
                http: Some(http),
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

/// The same of a connection, as Envoy's filter for TCP sends it.
pub fn by_principal(principal: &str) -> CheckRequest {
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer {
                principal: principal.to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }),
    }
}

/// Body and headers of a denial.
pub fn denial(answer: &CheckResponse) -> (Value, HashMap<String, String>) {
    let Some(HttpResponse::DeniedResponse(denied)) = &answer.http_response else {
        panic!("not denied: {answer:?}");
    };
    assert_eq!(denied.status.unwrap().code, 403);
    let headers = denied.headers.iter().map(|option| {
        let header = option.header.clone().unwrap();
        (header.key, header.value)
    });
    (serde_json::from_str(&denied.body).unwrap(), headers.collect())
}

/// Waits for a condition, twenty seconds at most.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Everything over one store in memory.
pub struct World {
    pub ward: Ward,
    pub door: Door,
    pub stores: Stores,
    pub policies: LivePolicies,
}

impl World {
    pub async fn start(over: Value) -> World {
        let stores = immune_store::memory::stores();
        let policies = LivePolicies::new(Policies::default());
        World {
            ward: Ward::start(&stores, &policies, "first").await,
            door: Door::start(config(over), &stores.cases, &policies).await,
            stores,
            policies,
        }
    }
}
