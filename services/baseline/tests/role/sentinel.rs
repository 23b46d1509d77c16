//! A sentinel that says what the test says.

use immune_domain::vitals::Vitals;
use immune_proto::v1;
use immune_proto::v1::sentinel_service_server::{SentinelService, SentinelServiceServer};
use immune_runtime::grpc::RoleChannel;
use immune_runtime::grpc::inproc::pair;
use immune_runtime::grpc::server::serve_in_process;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A sentinel that gives the verdicts of the test, and repeats those given before to every new watcher.
#[derive(Clone)]
pub struct Scripted {
    given: Arc<Mutex<Vec<v1::WatchVerdictsResponse>>>,
    stream: broadcast::Sender<Result<v1::WatchVerdictsResponse, Status>>,
}

impl Scripted {
    pub fn new() -> Self {
        Scripted {
            given: Arc::default(),
            stream: broadcast::Sender::new(1_024),
        }
    }

    /// A channel to it.
    pub fn serve(&self) -> RoleChannel {
        let (channel, connections) = pair();
        let routes = Routes::new(SentinelServiceServer::new(self.clone()));
        tokio::spawn(serve_in_process(routes, connections, CancellationToken::new()));
        channel
    }

    /// Listens on a port of its own until the token is cancelled; returns `host:port`. Port 0 takes a free one.
    pub async fn listen(&self, port: u16, shutdown: CancellationToken) -> String {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Server::builder().add_service(SentinelServiceServer::new(self.clone()));
        let incoming = TcpIncoming::from(listener);
        tokio::spawn(async move {
            // Ends as a killed process ends: without a word to those who watch.
            tokio::select! {
                served = server.serve_with_incoming(incoming) => served.unwrap(),
                () = shutdown.cancelled() => {}
            }
        });
        address
    }

    pub fn judge(&self, vitals: &Vitals, teaches: bool) {
        self.give(vitals, teaches, "");
    }

    /// A verdict with its reason; the empty one is that of the healthy.
    pub fn judge_because(&self, vitals: &Vitals, reason: &str) {
        self.give(vitals, reason.is_empty(), reason);
    }

    fn give(&self, vitals: &Vitals, teaches: bool, reason: &str) {
        let verdict = v1::WatchVerdictsResponse {
            key: Some((&vitals.key).into()),
            execution_id: vitals.execution.to_string(),
            revision: vitals.revision,
            teaches,
            reason: reason.to_owned(),
        };
        self.given.lock().unwrap().push(verdict.clone());
        let _ = self.stream.send(Ok(verdict));
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.stream.receiver_count()
    }

    /// Breaks every watch.
    pub fn break_watches(&self) {
        let _ = self.stream.send(Err(Status::unavailable("broken by the test")));
    }
}

#[tonic::async_trait]
impl SentinelService for Scripted {
    type WatchVerdictsStream = ReceiverStream<Result<v1::WatchVerdictsResponse, Status>>;
    type WatchAgentsStream = ReceiverStream<Result<v1::WatchAgentsResponse, Status>>;

    async fn watch_verdicts(
        &self,
        _: Request<v1::WatchVerdictsRequest>,
    ) -> Result<Response<Self::WatchVerdictsStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1_024);
        let mut stream = BroadcastStream::new(self.stream.subscribe());
        let given = self.given.lock().unwrap().clone();
        tokio::spawn(async move {
            for verdict in given {
                let _ = sender.send(Ok(verdict)).await;
            }
            loop {
                let next = tokio::select! {
                    next = stream.next() => next,
                    () = sender.closed() => return,
                };
                let Some(Ok(next)) = next else { return };
                let is_last = next.is_err();
                if sender.send(next).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn judge_since(
        &self,
        _: Request<v1::JudgeSinceRequest>,
    ) -> Result<Response<v1::JudgeSinceResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn report_agent_infected(
        &self,
        _: Request<v1::ReportAgentInfectedRequest>,
    ) -> Result<Response<v1::ReportAgentInfectedResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn get_agent(
        &self,
        _: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn watch_agents(
        &self,
        _: Request<v1::WatchAgentsRequest>,
    ) -> Result<Response<Self::WatchAgentsStream>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn list_fleet_incidents(
        &self,
        _: Request<v1::ListFleetIncidentsRequest>,
    ) -> Result<Response<v1::ListFleetIncidentsResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn backtest(
        &self,
        _: Request<v1::BacktestRequest>,
    ) -> Result<Response<v1::BacktestResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn get_sentinel_status(
        &self,
        _: Request<v1::GetSentinelStatusRequest>,
    ) -> Result<Response<v1::GetSentinelStatusResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }

    async fn list_agents(
        &self,
        _: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        Err(Status::unimplemented("not expected"))
    }
}
