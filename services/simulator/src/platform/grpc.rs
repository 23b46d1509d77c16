//! The gRPC form of the API: `proto/immune/v1/lifecycle.proto`. Translation only.

use super::{Order, Platform, Refusal, Reply, Verb, details};
use immune_proto::convert::json::{from_struct, to_struct};
use immune_proto::v1::agent_lifecycle_server::AgentLifecycle;
use immune_proto::v1::{
    ActRequest, ActResponse, AgentLifecycleGetAgentRequest, AgentLifecycleGetAgentResponse,
    GetOperationRequest, GetOperationResponse, LifecycleOutcome,
};
use std::sync::Arc;
use tonic::{Code, Request, Response, Status};

/// The gRPC server's state.
pub(crate) struct Grpc(pub(crate) Arc<Platform>);

impl Grpc {
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let authorization = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        self.0.admit(authorization).map_err(|refusal| status(&refusal))
    }
}

fn status(refusal: &Refusal) -> Status {
    let code = match refusal {
        Refusal::UnknownAgent(_) | Refusal::UnknownOperation(_) => Code::NotFound,
        Refusal::KeyReused(_) => Code::AlreadyExists,
        Refusal::Invalid(_) => Code::InvalidArgument,
        Refusal::Unauthenticated => Code::Unauthenticated,
        Refusal::Broken => Code::Unavailable,
    };
    Status::new(code, refusal.to_string())
}

fn answer(reply: Reply) -> ActResponse {
    match reply {
        Reply::Settled(settled) => ActResponse {
            outcome: settled.word.outcome().into(),
            detail: settled.detail,
            evidence: Some(to_struct(settled.evidence)),
            operation_id: String::new(),
        },
        Reply::Pending { operation } => ActResponse {
            outcome: LifecycleOutcome::Pending.into(),
            detail: "under way".to_owned(),
            evidence: None,
            operation_id: operation,
        },
    }
}

#[tonic::async_trait]
impl AgentLifecycle for Grpc {
    async fn act(&self, request: Request<ActRequest>) -> Result<Response<ActResponse>, Status> {
        self.admit(&request)?;
        let request = request.into_inner();
        let verb = Verb::of(request.action())
            .ok_or_else(|| Status::invalid_argument(format!("action {} is not known", request.action)))?;
        let order = Order {
            agent: request.agent_id,
            verb,
            idempotency_key: request.idempotency_key,
            parameters: request.parameters.map(from_struct).unwrap_or_default(),
        };
        let reply = self.0.act(order).await.map_err(|refusal| status(&refusal))?;
        Ok(Response::new(answer(reply)))
    }

    async fn get_operation(
        &self,
        request: Request<GetOperationRequest>,
    ) -> Result<Response<GetOperationResponse>, Status> {
        self.admit(&request)?;
        let reply = self
            .0
            .operation(&request.into_inner().operation_id)
            .map_err(|refusal| status(&refusal))?;
        let ActResponse {
            outcome,
            detail,
            evidence,
            operation_id: _,
        } = answer(reply);
        Ok(Response::new(GetOperationResponse {
            outcome,
            detail,
            evidence,
        }))
    }

    async fn get_agent(
        &self,
        request: Request<AgentLifecycleGetAgentRequest>,
    ) -> Result<Response<AgentLifecycleGetAgentResponse>, Status> {
        self.admit(&request)?;
        let snapshot = self
            .0
            .agent(&request.into_inner().agent_id)
            .map_err(|refusal| status(&refusal))?;
        Ok(Response::new(AgentLifecycleGetAgentResponse {
            contained: snapshot.is_contained(),
            state: snapshot.state().to_owned(),
            details: Some(to_struct(details(&snapshot))),
            agent_id: snapshot.id,
        }))
    }
}
