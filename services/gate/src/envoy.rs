//! `envoy.service.auth.v3.Authorization`, as Envoy, Istio, Envoy Gateway, Contour, Gloo and agentgateway speak it.

use crate::check::{Answer, Checker, Denial};
use crate::identity::{Asked, Headers, Identified};
use crate::words::{self, Datum};
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use envoy_types::pb::google::rpc;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::{Code, Request, Response, Status};

/// The name under which health is told.
pub(crate) const SERVICE: &str = "envoy.service.auth.v3.Authorization";
const FORBIDDEN: i32 = 403;

/// The service.
pub(crate) struct Envoy(Arc<Checker>);

/// The service for a server.
pub(crate) fn service(checker: Arc<Checker>) -> AuthorizationServer<Envoy> {
    let limit = checker.config.request_bytes_max;
    AuthorizationServer::new(Envoy(checker)).max_decoding_message_size(limit)
}

#[tonic::async_trait]
impl Authorization for Envoy {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let began = Instant::now();
        let Some(attributes) = request.into_inner().attributes else {
            return Err(Status::invalid_argument("attributes are missing"));
        };
        let asked = asked(&attributes);
        let (who, answer) = self.0.answer(asked);
        let metadata = metadata(&who, &answer);
        let response = match answer {
            Answer::Allowed(_) => Ok(allowed(words::forged(asked.headers, &self.0.identity), metadata)),
            Answer::Denied(denial) => Ok(denied(&denial, metadata)),
            Answer::Starting => Err(Status::unavailable(words::starting().detail)),
        };
        self.0
            .metrics
            .check_duration
            .observe(began.elapsed().as_secs_f64());
        response.map(Response::new)
    }
}

fn asked(attributes: &AttributeContext) -> Asked<'_> {
    let http = attributes
        .request
        .as_ref()
        .and_then(|request| request.http.as_ref());
    let source = attributes.source.as_ref();
    Asked {
        headers: http.map_or(Headers::None, headers),
        principal: source.map_or("", |source| &source.principal),
        claims: attributes.metadata_context.as_ref(),
    }
}

fn headers(http: &HttpRequest) -> Headers<'_> {
    match &http.header_map {
        // Says more: which headers were sent more than once.
        Some(raw) if !raw.headers.is_empty() => Headers::Raw(&raw.headers),
        Some(_) | None => Headers::Joined(&http.headers),
    }
}

fn allowed(headers_to_remove: Vec<String>, metadata: Struct) -> CheckResponse {
    CheckResponse {
        status: Some(rpc::Status {
            code: Code::Ok.into(),
            ..Default::default()
        }),
        dynamic_metadata: Some(metadata),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers_to_remove,
            ..Default::default()
        })),
    }
}

fn denied(denial: &Denial, metadata: Struct) -> CheckResponse {
    let header = |(key, value): (&str, String)| HeaderValueOption {
        header: Some(HeaderValue {
            key: key.to_owned(),
            value,
            ..Default::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..Default::default()
    };
    CheckResponse {
        status: Some(rpc::Status {
            code: Code::PermissionDenied.into(),
            message: denial.reason.clone(),
            ..Default::default()
        }),
        dynamic_metadata: Some(metadata),
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: FORBIDDEN }),
            headers: words::headers(denial).into_iter().map(header).collect(),
            body: words::body(denial),
        })),
    }
}

/// What Envoy keeps of the answer, under the name of its filter, for logs and later filters.
fn metadata(who: &Identified, answer: &Answer) -> Struct {
    let whose = match who {
        Identified::Agent { run, agent } => vec![
            ("run_id", Datum::Text(run.clone())),
            ("agent_id", Datum::Text(agent.clone())),
        ],
        Identified::Nobody | Identified::Unclear(_) => Vec::new(),
    };
    let fields = words::metadata(answer).into_iter().chain(whose);
    let value = |datum| match datum {
        Datum::Text(text) => Kind::StringValue(text),
        Datum::Number(number) => Kind::NumberValue(number),
    };
    let fields = fields.map(|(name, datum)| {
        (
            name.to_owned(),
            Value {
                kind: Some(value(datum)),
            },
        )
    });
    Struct {
        fields: fields.collect(),
    }
}
