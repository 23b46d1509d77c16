//! Several replicas of the sentinel, each of which judges a part of the agents.

use crate::world::World;
use immune_dashboard::Config;
use immune_proto::v1;
use immune_proto::v1::sentinel_service_server::{SentinelService, SentinelServiceServer};
use immune_runtime::access::{KeyRing, RoleName};
use immune_runtime::grpc::{ClientSecurity, Options, Peers, Target, not_owner};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

const AGENTS: [&str; 5] = ["a0", "a1", "a2", "a3", "a4"];

/// A replica that judges the agents whose number, halved, leaves this rest.
#[derive(Clone, Copy)]
struct Half(usize);

impl Half {
    fn state(self, index: usize) -> v1::AgentState {
        let live = index % 2 == self.0;
        v1::AgentState {
            key: Some(v1::AgentKey {
                run_id: "default".to_owned(),
                agent_id: AGENTS[index].to_owned(),
            }),
            executions: 1,
            live,
            suspect: live,
            telemetry: match live {
                true => v1::agent_state::Telemetry::Silent.into(),
                false => v1::agent_state::Telemetry::Live.into(),
            },
            baseline_state: v1::ProfileState::Active.into(),
            ..v1::AgentState::default()
        }
    }

    fn check(self, key: Option<v1::AgentKey>) -> Result<usize, Status> {
        let id = key.unwrap().agent_id;
        let index = AGENTS.iter().position(|agent| *agent == id).unwrap();
        if index % 2 == self.0 {
            Ok(index)
        } else {
            Err(not_owner::status())
        }
    }

    async fn listen(self, stop: CancellationToken) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Server::builder().add_service(SentinelServiceServer::new(self));
        tokio::spawn(async move {
            tokio::select! {
                served = server.serve_with_incoming(TcpIncoming::from(listener)) => served.unwrap(),
                () = stop.cancelled() => {}
            }
        });
        address
    }
}

#[tonic::async_trait]
impl SentinelService for Half {
    type WatchVerdictsStream = ReceiverStream<Result<v1::WatchVerdictsResponse, Status>>;
    type WatchAgentsStream = ReceiverStream<Result<v1::WatchAgentsResponse, Status>>;

    async fn watch_agents(
        &self,
        _: Request<v1::WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        Err(Status::unimplemented("no test expects this call"))
    }

    async fn list_fleet_incidents(
        &self,
        _: Request<v1::ListFleetIncidentsRequest>,
    ) -> Result<Response<v1::ListFleetIncidentsResponse>, Status> {
        Err(Status::unimplemented("no test expects this call"))
    }

    async fn backtest(
        &self,
        _: Request<v1::BacktestRequest>,
    ) -> Result<Response<v1::BacktestResponse>, Status> {
        Err(Status::unimplemented("no test expects this call"))
    }

    async fn get_sentinel_status(
        &self,
        _: Request<v1::GetSentinelStatusRequest>,
    ) -> Result<Response<v1::GetSentinelStatusResponse>, Status> {
        Ok(Response::new(v1::GetSentinelStatusResponse {
            partitions: self.0 as u32 + 1,
            profiles_known: true,
            cases_known: true,
            ..Default::default()
        }))
    }

    async fn watch_verdicts(
        &self,
        _: Request<v1::WatchVerdictsRequest>,
    ) -> Result<Response<Self::WatchVerdictsStream>, Status> {
        Err(Status::unimplemented("no test expects this call"))
    }

    async fn judge_since(
        &self,
        _: Request<v1::JudgeSinceRequest>,
    ) -> Result<Response<v1::JudgeSinceResponse>, Status> {
        Err(Status::unimplemented("no test expects this call"))
    }

    async fn report_agent_infected(
        &self,
        request: Request<v1::ReportAgentInfectedRequest>,
    ) -> Result<Response<v1::ReportAgentInfectedResponse>, Status> {
        let request = request.into_inner();
        self.check(request.key)?;
        assert!(
            !request.infection_id.is_empty(),
            "a repetition must be known for one"
        );
        Ok(Response::new(v1::ReportAgentInfectedResponse {
            case_id: format!("case-of-half-{}", self.0),
        }))
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let index = self.check(request.into_inner().key)?;
        Ok(Response::new(v1::GetAgentResponse {
            agent: Some(self.state(index)),
        }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let request = request.into_inner();
        let indices = 0..AGENTS.len();
        if request.suspects {
            let held = indices.filter(|index| index % 2 == self.0);
            return Ok(Response::new(v1::ListAgentsResponse {
                agents: held.map(|index| self.state(index)).collect(),
                ..Default::default()
            }));
        }
        let after = indices.filter(|index| AGENTS[*index] > request.after.as_str());
        Ok(Response::new(v1::ListAgentsResponse {
            agents: after
                .take(request.limit as usize)
                .map(|index| self.state(index))
                .collect(),
            total: AGENTS.len() as u64,
            seen_last_hour: AGENTS.len() as u64,
        }))
    }
}

/// A world with these replicas, and one that nobody can reach.
async fn world(halves: &[Half]) -> World {
    let stop = CancellationToken::new();
    let mut addresses = Vec::new();
    for half in halves {
        addresses.push(half.listen(stop.clone()).await);
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    addresses.push(gone.local_addr().unwrap().to_string());
    drop(gone);
    let target = Target::parse(RoleName::Sentinel, &addresses.join(",")).unwrap();
    let (options, metrics) = (Options::default(), Default::default());
    let peers = Peers::resolve(&target, ClientSecurity::Stranger, &options, &metrics, stop);
    World::changed(Config::default(), KeyRing::default(), |d| {
        d.channels.sentinel = peers
    })
    .await
}

fn ids(page: &Value) -> Vec<(&str, bool)> {
    let agents = page.as_array().unwrap();
    agents
        .iter()
        .map(|agent| (agent["id"].as_str().unwrap(), agent["suspect"].as_bool().unwrap()))
        .collect()
}

/// Scenario: two replicas of the sentinel judge some agents each; a third address answers nobody.
/// Guarantees: the list has each agent once, as the replica that judges it says, page by page, and does not wait long
/// for the one that is gone; one agent is found where it is judged, and so is its platform's word heard.
#[tokio::test]
async fn agents_are_found_where_they_are_judged() {
    let world = world(&[Half(0), Half(1)]).await;
    let began = Instant::now();
    let all = world.read("/api/agents?limit=3").await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(ids(&all), [("a0", true), ("a1", true), ("a2", true)]);
    let rest = world.read("/api/agents?limit=3&after=a2").await;
    assert_eq!(ids(&rest), [("a3", true), ("a4", true)]);
    for (agent, half) in [("a2", 0), ("a3", 1)] {
        let one = world.read(&format!("/api/agents/{agent}")).await;
        assert!(one.to_string().contains("\"suspect\":true"), "{one}");
        let path = format!("/api/agents/{agent}/infected");
        let body = serde_json::json!({ "reason": "canary leaked" });
        let told = world.send(reqwest::Method::POST, &path, &[], Some(body)).await;
        let told: Value = told.json().await.unwrap();
        assert!(
            told.to_string().contains(&format!("case-of-half-{half}")),
            "{told}"
        );
    }
}

/// Scenario: the replica that judges the other half is gone.
/// Guarantees: its agents are listed all the same, without a present judgement.
#[tokio::test]
async fn a_list_is_whole_while_a_replica_is_gone() {
    let world = world(&[Half(0)]).await;
    let all = world.read("/api/agents").await;
    assert_eq!(
        ids(&all),
        [
            ("a0", true),
            ("a1", false),
            ("a2", true),
            ("a3", false),
            ("a4", true)
        ]
    );
}

/// Scenario: the whole fleet is asked for, of which each of two replicas judges a part; then one of them is gone.
/// Guarantees: each agent once, suspect as the replica says that judges it; while one is gone its agents are shown all the
/// same; both are named with what they hold.
#[tokio::test]
async fn the_fleet_is_whole_over_replicas() {
    let both = world(&[Half(0), Half(1)]).await;
    let fleet = both.read("/api/fleet").await;
    let all: Vec<(&str, bool)> = AGENTS.iter().map(|agent| (*agent, true)).collect();
    assert_eq!(ids(&fleet["agents"]), all);
    let silent = |agent: &Value| agent["telemetry"] == "silent";
    assert!(fleet["agents"].as_array().unwrap().iter().all(silent), "{fleet}");
    let system = both.read("/api/system").await;
    let sentinel = &system["roles"][2];
    assert_eq!(sentinel["role"], "sentinel");
    let mut held: Vec<Option<u64>> = sentinel["replicas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|replica| replica["partitions"].as_u64())
        .collect();
    held.sort();
    assert_eq!(
        held,
        [None, Some(1), Some(2)],
        "the third answers nobody: {sentinel}"
    );
    let one = world(&[Half(1)]).await;
    let fleet = one.read("/api/fleet").await;
    let suspect: Vec<bool> = ids(&fleet["agents"])
        .iter()
        .map(|(_, suspect)| *suspect)
        .collect();
    assert_eq!(suspect, [false, true, false, true, false]);
}
