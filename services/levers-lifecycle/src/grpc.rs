//! The gRPC form: `proto/immune/v1/lifecycle.proto`.

use crate::config::{Base, Config};
use crate::credential::Credential;
use crate::reply::{Order, Reply, Seen, Wire, Word, words};
use async_trait::async_trait;
use immune_domain::AgentKey;
use immune_proto::convert::json::{from_struct, to_struct};
use immune_proto::v1::agent_lifecycle_client::AgentLifecycleClient;
use immune_proto::v1::{ActRequest, AgentLifecycleGetAgentRequest, GetOperationRequest, LifecycleOutcome};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use prost_types::Struct;
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

/// What metadata cannot carry as it is, and the escape itself.
const METADATA: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

/// One platform over gRPC.
pub(crate) struct Grpc {
    client: AgentLifecycleClient<Channel>,
    credential: Credential,
}

impl Grpc {
    pub(crate) fn new(
        base: &Base,
        config: &Config,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let scheme = if base.is_tls() { "https" } else { "http" };
        let (_, place) = base.url.split_once("://").ok_or("the url has no scheme")?;
        let timeout = Duration::from_secs_f64(config.request_seconds);
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{place}"))?.connect_timeout(timeout);
        if base.is_tls() {
            let mut tls = ClientTlsConfig::new().with_native_roots();
            if let Some(file) = &base.ca_file {
                tls = tls.ca_certificate(Certificate::from_pem(std::fs::read(file)?));
            }
            endpoint = endpoint.tls_config(tls)?;
        }
        let client = AgentLifecycleClient::new(endpoint.connect_lazy())
            .max_decoding_message_size(config.response_bytes_max);
        Ok(Grpc {
            client,
            credential: Credential::of(base),
        })
    }

    async fn request<T>(&self, message: T, key: &AgentKey, timeout: Duration) -> Result<Request<T>, String> {
        let mut request = Request::new(message);
        request.set_timeout(timeout);
        let run = utf8_percent_encode(key.run.as_str(), METADATA).to_string();
        if let Ok(run) = AsciiMetadataValue::try_from(run) {
            request.metadata_mut().insert("x-run-id", run);
        }
        if let Some((name, value)) = self.credential.header().await? {
            let name: AsciiMetadataKey = name
                .parse()
                .map_err(|_| "the credential's header has no valid name".to_owned())?;
            let mut value: AsciiMetadataValue = value
                .expose()
                .parse()
                .map_err(|_| "the token holds characters that no metadata can carry".to_owned())?;
            value.set_sensitive(true);
            request.metadata_mut().insert(name, value);
        }
        Ok(request)
    }
}

/// Our own deadline as well: a server need not honour the one that it is told.
async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(timeout, call).await {
        Ok(answer) => answer.map(Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

fn said(status: &Status) -> String {
    words(status.message(), "no reason given")
}

/// Whether the same request may fare better.
fn may_pass(code: Code) -> bool {
    match code {
        Code::Unavailable
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unknown
        | Code::Cancelled
        | Code::DataLoss
        // Also what our own side calls an answer above the size limit: it says nothing about the effect.
        | Code::OutOfRange
        | Code::Ok => true,
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

fn again(status: &Status) -> Reply {
    Reply::Again {
        why: format!("{:?}: {}", status.code(), said(status)),
        wait: None,
    }
}

/// A reply from the fields that both answers have.
fn reply(outcome: LifecycleOutcome, detail: &str, evidence: Option<Struct>, place: String) -> Reply {
    let word = match outcome {
        LifecycleOutcome::Done => Word::Done,
        LifecycleOutcome::Failed => Word::Failed,
        LifecycleOutcome::Unsupported => Word::Unsupported,
        LifecycleOutcome::Pending if place.is_empty() => {
            return Reply::Unclear {
                why: "the platform accepted the order but names no operation".to_owned(),
            };
        }
        LifecycleOutcome::Pending => return Reply::Pending { place, wait: None },
        LifecycleOutcome::Unspecified => {
            return Reply::Again {
                why: "the answer tells no outcome".to_owned(),
                wait: None,
            };
        }
    };
    let name = match word {
        Word::Done => "done",
        Word::Failed => "failed",
        Word::Unsupported => "unsupported",
    };
    let evidence = evidence.map_or(Value::Null, |evidence| Value::Object(from_struct(evidence)));
    Reply::Settled {
        word,
        detail: words(detail, name),
        evidence,
    }
}

#[async_trait]
impl Wire for Grpc {
    async fn act(&self, order: &Order, timeout: Duration) -> Reply {
        let message = ActRequest {
            agent_id: order.key.agent.as_str().to_owned(),
            action: order.verb.number().into(),
            case_id: order.case.clone(),
            idempotency_key: order.idempotency_key.clone(),
            reason: order.reason.clone(),
            parameters: Some(to_struct(order.parameters.clone())),
        };
        let request = match self.request(message, &order.key, timeout).await {
            Ok(request) => request,
            Err(why) => return Reply::Again { why, wait: None },
        };
        let status = match within(timeout, self.client.clone().act(request)).await {
            Ok(answer) => {
                let outcome = answer.outcome();
                return reply(outcome, &answer.detail, answer.evidence, answer.operation_id);
            }
            Err(status) => status,
        };
        let settled = |word, detail| {
            let evidence = json!({ "status": format!("{:?}", status.code()) });
            Reply::Settled {
                word,
                detail,
                evidence,
            }
        };
        match status.code() {
            code if may_pass(code) => again(&status),
            Code::NotFound => settled(
                Word::Failed,
                format!(
                    "the platform does not know agent {}: {}",
                    order.key.agent,
                    said(&status)
                ),
            ),
            Code::Unimplemented => settled(Word::Unsupported, said(&status)),
            code => settled(Word::Failed, format!("{code:?}: {}", said(&status))),
        }
    }

    async fn operation(&self, key: &AgentKey, place: &str, timeout: Duration) -> Reply {
        let message = GetOperationRequest {
            operation_id: place.to_owned(),
        };
        let request = match self.request(message, key, timeout).await {
            Ok(request) => request,
            Err(why) => return Reply::Again { why, wait: None },
        };
        match within(timeout, self.client.clone().get_operation(request)).await {
            Ok(answer) => reply(
                answer.outcome(),
                &answer.detail,
                answer.evidence,
                place.to_owned(),
            ),
            Err(status) if may_pass(status.code()) => again(&status),
            Err(status) => Reply::Unclear {
                why: format!(
                    "the operation cannot be asked for, {:?}: {}",
                    status.code(),
                    said(&status)
                ),
            },
        }
    }

    async fn agent(&self, key: &AgentKey, timeout: Duration) -> Seen {
        let message = AgentLifecycleGetAgentRequest {
            agent_id: key.agent.as_str().to_owned(),
        };
        let request = match self.request(message, key, timeout).await {
            Ok(request) => request,
            Err(why) => return Seen::Again { why, wait: None },
        };
        match within(timeout, self.client.clone().get_agent(request)).await {
            Ok(answer) => Seen::Agent {
                contained: answer.contained,
                state: words(&answer.state, "no word for the state"),
                details: answer
                    .details
                    .map_or(Value::Null, |details| Value::Object(from_struct(details))),
            },
            Err(status) if matches!(status.code(), Code::NotFound | Code::Unimplemented) => Seen::Nothing {
                why: format!("the platform does not show the agent ({:?})", status.code()),
            },
            Err(status) => Seen::Again {
                why: format!("{:?}: {}", status.code(), said(&status)),
                wait: None,
            },
        }
    }
}
