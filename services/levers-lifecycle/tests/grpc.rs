//! The gRPC form against a real server that behaves and misbehaves.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod platform;

use immune_domain::case::Containment;
use immune_domain::healing::Action;
use immune_levers::{Answer as Said, Lever, Order, Outcome};
use immune_levers_lifecycle::{Base, Config, Lifecycle, Secret};
use immune_proto::convert::json::{from_struct, to_struct};
use immune_proto::v1::agent_lifecycle_server::{AgentLifecycle, AgentLifecycleServer};
use immune_proto::v1::{
    ActRequest, ActResponse, AgentLifecycleGetAgentRequest, AgentLifecycleGetAgentResponse,
    GetOperationRequest, GetOperationResponse, LifecycleAction, LifecycleOutcome,
};
use platform::{Platform, ask, config};
use serde_json::{Value, json};
use std::future::pending;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

const HEAL: Order = Order::Heal(Action::RollbackPrompt);
const CONTAIN: Order = Order::Contain(Containment::Contained);

type Acted = Result<ActResponse, Status>;
type Script = dyn Fn(usize) -> Option<Acted> + Send + Sync;

/// A server that acts as a script says (`None`: never answers), and shows what it is told to show.
#[derive(Clone)]
struct Scripted {
    act: Arc<Script>,
    operation: Arc<dyn Fn(usize) -> Result<GetOperationResponse, Status> + Send + Sync>,
    contained: Result<bool, Code>,
    seen: Arc<Mutex<Vec<(MetadataMap, ActRequest)>>>,
    polled: Arc<Mutex<usize>>,
}

#[tonic::async_trait]
impl AgentLifecycle for Scripted {
    async fn act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        let n = {
            let mut seen = self.seen.lock().unwrap();
            seen.push((request.metadata().clone(), request.get_ref().clone()));
            seen.len() - 1
        };
        match (self.act)(n) {
            Some(answer) => answer.map(Response::new),
            None => pending().await,
        }
    }

    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<GetOperationResponse>, Status> {
        assert_eq!(request.get_ref().operation_id, "op-7");
        let n = {
            let mut polled = self.polled.lock().unwrap();
            *polled += 1;
            *polled - 1
        };
        (self.operation)(n).map(Response::new)
    }

    async fn get_agent(
        &self,
        request: Request<AgentLifecycleGetAgentRequest>,
    ) -> Result<Response<AgentLifecycleGetAgentResponse>, Status> {
        let agent_id = request.into_inner().agent_id;
        let contained = self.contained.map_err(|code| Status::new(code, "hidden"))?;
        Ok(Response::new(AgentLifecycleGetAgentResponse {
            agent_id,
            contained,
            state: "s".into(),
            details: None,
        }))
    }
}

fn outcome(outcome: LifecycleOutcome, detail: &str) -> Acted {
    let Value::Object(evidence) = json!({ "prompt": 3 }) else {
        unreachable!()
    };
    let evidence = Some(to_struct(evidence));
    let operation_id = if outcome == LifecycleOutcome::Pending {
        "op-7".to_owned()
    } else {
        String::new()
    };
    Ok(ActResponse {
        outcome: outcome.into(),
        detail: detail.to_owned(),
        evidence,
        operation_id,
    })
}

fn scripted(act: impl Fn(usize) -> Option<Acted> + Send + Sync + 'static) -> Scripted {
    Scripted {
        act: Arc::new(act),
        operation: Arc::new(|_| Err(Status::not_found("no such operation"))),
        contained: Err(Code::Unimplemented),
        seen: Arc::default(),
        polled: Arc::default(),
    }
}

async fn serve(platform: &Scripted) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    let server = Server::builder().add_service(AgentLifecycleServer::new(platform.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    url
}

async fn told(platform: &Scripted, order: Order) -> Said {
    Lifecycle::new(&config(&serve(platform).await))
        .unwrap()
        .ask(&ask("ns/der Agent", order))
        .await
}

/// Guarantees: the request is as the contract says, run and credential travel as metadata, the receipt is kept.
#[tokio::test]
async fn the_request_is_as_the_contract_says() {
    let platform = scripted(|_| Some(outcome(LifecycleOutcome::Done, "rolled back")));
    let url = serve(&platform).await;
    let base = Base {
        url,
        token: Some(Secret::new("s3cret")),
        ..Base::default()
    };
    let lever = Lifecycle::new(&Config {
        bases: vec![base],
        ..config("")
    })
    .unwrap();
    let said = lever.ask(&ask("ns/der Agent", HEAL)).await;
    assert_eq!(
        (said.outcome, said.detail.as_str()),
        (Outcome::Done, "rolled back"),
        "{said:?}"
    );
    assert_eq!(said.evidence["receipt"], json!({ "prompt": 3 }));
    assert!(!format!("{said:?}").contains("s3cret"));
    let (metadata, request) = platform.seen.lock().unwrap()[0].clone();
    assert_eq!(metadata.get("x-run-id").unwrap(), "r");
    assert_eq!(metadata.get("authorization").unwrap(), "Bearer s3cret");
    assert_eq!(request.agent_id, "ns/der Agent");
    assert_eq!(request.action(), LifecycleAction::RollbackPrompt);
    assert_eq!(request.idempotency_key, "key-1");
    assert_eq!(
        Value::Object(from_struct(request.parameters.unwrap())),
        json!({ "severity": 7.5 })
    );
}

/// Scenario: final words and statuses of every kind.
/// Guarantees: each becomes the outcome that is true; what may pass is asked again, what may not is asked once.
#[tokio::test]
async fn every_status_has_its_outcome() {
    for (word, wanted) in [
        (LifecycleOutcome::Failed, Outcome::Failed),
        (LifecycleOutcome::Unsupported, Outcome::Unsupported),
    ] {
        let platform = scripted(move |_| Some(outcome(word, "the reason")));
        let said = told(&platform, HEAL).await;
        assert_eq!((said.outcome, said.detail.as_str()), (wanted, "the reason"));
    }
    for (code, wanted) in [
        (Code::NotFound, Outcome::Failed),
        (Code::Unimplemented, Outcome::Unsupported),
        (Code::InvalidArgument, Outcome::Failed),
        (Code::PermissionDenied, Outcome::Failed),
        (Code::Unauthenticated, Outcome::Failed),
        (Code::AlreadyExists, Outcome::Failed),
        (Code::FailedPrecondition, Outcome::Failed),
        (Code::Unavailable, Outcome::Unknown),
        (Code::Internal, Outcome::Unknown),
        (Code::DeadlineExceeded, Outcome::Unknown),
        (Code::ResourceExhausted, Outcome::Unknown),
    ] {
        let platform = scripted(move |_| Some(Err(Status::new(code, "the reason"))));
        let said = told(&platform, HEAL).await;
        assert_eq!(said.outcome, wanted, "{code:?}: {said:?}");
        assert!(said.detail.contains("the reason"), "{code:?}: {said:?}");
        let requests = platform.seen.lock().unwrap().len();
        assert_eq!(
            requests,
            if wanted == Outcome::Unknown { 4 } else { 1 },
            "{code:?}"
        );
    }
}

/// Scenario: two errors, then done; silence; an answer beyond the size limit; an answer without an outcome.
/// Guarantees: repeated with the same key until done; otherwise unknown within the deadline.
#[tokio::test]
async fn what_may_pass_is_asked_again() {
    let platform = scripted(|n| match n {
        0..2 => Some(Err(Status::unavailable("not now"))),
        _ => Some(outcome(LifecycleOutcome::Done, "")),
    });
    assert_eq!(told(&platform, HEAL).await.outcome, Outcome::Done);
    assert!(
        platform
            .seen
            .lock()
            .unwrap()
            .iter()
            .all(|(_, request)| request.idempotency_key == "key-1")
    );

    let started = std::time::Instant::now();
    assert_eq!(told(&scripted(|_| None), HEAL).await.outcome, Outcome::Unknown);
    assert!(started.elapsed().as_secs_f64() < 4.0);

    let long = "x".repeat(100_000);
    let platform = scripted(move |_| Some(outcome(LifecycleOutcome::Done, &long)));
    assert_eq!(told(&platform, HEAL).await.outcome, Outcome::Unknown);
    let platform = scripted(|_| Some(outcome(LifecycleOutcome::Unspecified, "")));
    assert_eq!(told(&platform, HEAL).await.outcome, Outcome::Unknown);
}

/// Scenario: an operation under way: it ends, never ends, is forgotten, has no id.
/// Guarantees: polled until it ends; otherwise unknown.
#[tokio::test]
async fn operations_are_polled() {
    let operation = |outcome: LifecycleOutcome| {
        Ok(GetOperationResponse {
            outcome: outcome.into(),
            detail: "by and by".to_owned(),
            evidence: None,
        })
    };
    let pending = || scripted(|_| Some(outcome(LifecycleOutcome::Pending, "")));
    let ends = Scripted {
        operation: Arc::new(move |n| match n {
            0 => operation(LifecycleOutcome::Pending),
            1 => Err(Status::unavailable("restarting")),
            _ => operation(LifecycleOutcome::Done),
        }),
        ..pending()
    };
    let said = told(&ends, HEAL).await;
    assert_eq!(
        (said.outcome, said.detail.as_str()),
        (Outcome::Done, "by and by"),
        "{said:?}"
    );
    assert_eq!(said.evidence["polls"], json!(3));
    let never = Scripted {
        operation: Arc::new(move |_| operation(LifecycleOutcome::Pending)),
        ..pending()
    };
    assert_eq!(told(&never, HEAL).await.outcome, Outcome::Unknown);
    assert_eq!(told(&pending(), HEAL).await.outcome, Outcome::Unknown);
    let nameless = scripted(|_| {
        outcome(LifecycleOutcome::Pending, "")
            .map(|o| ActResponse {
                operation_id: String::new(),
                ..o
            })
            .into()
    });
    assert_eq!(told(&nameless, HEAL).await.outcome, Outcome::Unknown);
}

/// Scenario: done, while the platform shows the agent contained, free, not at all, or breaks.
/// Guarantees: done, failed, done without proof, unknown.
#[tokio::test]
async fn receipts_for_containment_are_checked() {
    for (contained, wanted) in [
        (Ok(true), Outcome::Done),
        (Ok(false), Outcome::Failed),
        (Err(Code::Unimplemented), Outcome::Done),
        (Err(Code::Unavailable), Outcome::Unknown),
    ] {
        let platform = Scripted {
            contained,
            ..scripted(|_| Some(outcome(LifecycleOutcome::Done, "contained")))
        };
        let said = told(&platform, CONTAIN).await;
        assert_eq!(said.outcome, wanted, "{contained:?}: {said:?}");
    }
}

/// Scenario: nobody listens; the port speaks plain HTTP.
/// Guarantees: never done.
#[tokio::test]
async fn other_ends_are_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("grpc://{}", listener.local_addr().unwrap());
    drop(listener);
    let said = Lifecycle::new(&config(&url)).unwrap().ask(&ask("a", HEAL)).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");

    let http = Platform::start(|_, _| platform::Answer::Json(200, json!({ "outcome": "done" }))).await;
    let url = http.url.replace("http://", "grpc://").replace("/api", "");
    let said = Lifecycle::new(&config(&url)).unwrap().ask(&ask("a", HEAL)).await;
    assert_eq!(said.outcome, Outcome::Unknown, "{said:?}");
}
