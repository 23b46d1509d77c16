//! OTLP over HTTP: protobuf and JSON.

use super::Door;
use super::body::{self, BodyError, Encoding};
use super::caller::{self, Run, Stranger};
use crate::json;
use crate::metrics::Signal;
use crate::service::NotTaken;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic_types::pb::Status as RpcStatus;

/// Serves until the token is cancelled and requests under way are answered.
pub(super) async fn serve(
    door: Door,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(door))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
}

fn router(door: Door) -> Router {
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(metrics))
        .route("/v1/logs", post(logs))
        // Where SDKs of Langfuse send; other vendors' prefixes are configured at the sender.
        .route("/api/public/otel/v1/traces", post(traces))
        .with_state(door)
}

/// The two forms of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Protobuf,
    Json,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("content type must be application/x-protobuf or application/json")]
    ContentType,
    #[error("content encoding must be gzip, zstd, deflate or identity")]
    ContentEncoding,
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("too many requests are under way; repeat the request later")]
    Full,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the body is not an OTLP request: {0}")]
    Undecodable(String),
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

async fn traces(State(door): State<Door>, request: Request) -> Response {
    handle(
        &door,
        request,
        async |run: Run, request: ExportTraceServiceRequest| {
            let accepted = door.service.traces(run.runs(), &request).await?;
            let rejected_spans = i64::try_from(accepted.rejected_count()).unwrap_or(i64::MAX);
            let partial = ExportTracePartialSuccess {
                rejected_spans,
                error_message: accepted.message(),
            };
            Ok(ExportTraceServiceResponse {
                partial_success: (rejected_spans > 0).then_some(partial),
            })
        },
    )
    .await
}

async fn metrics(State(door): State<Door>, request: Request) -> Response {
    handle(&door, request, async |_, request: ExportMetricsServiceRequest| {
        door.service
            .received(Signal::Metrics, super::grpc::metrics_in(&request));
        Ok(ExportMetricsServiceResponse {
            partial_success: None,
        })
    })
    .await
}

async fn logs(State(door): State<Door>, request: Request) -> Response {
    handle(
        &door,
        request,
        async |run: Run, request: ExportLogsServiceRequest| {
            door.service.logs(run.runs(), &request).await?;
            Ok(ExportLogsServiceResponse {
                partial_success: None,
            })
        },
    )
    .await
}

async fn handle<Q, A>(
    door: &Door,
    request: Request,
    take: impl AsyncFnOnce(Run, Q) -> Result<A, NotTaken>,
) -> Response
where
    Q: Message + Default + json::Decode,
    A: Message + Serialize,
{
    let (head, mut body) = request.into_parts();
    let form = form(&head.headers);
    let answer = async {
        let form = form.ok_or(Refused::ContentType)?;
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let encoding =
            Encoding::of(text(header::CONTENT_ENCODING.as_str())).ok_or(Refused::ContentEncoding)?;
        let run = caller::run_of(door.service.keys(), text)?;
        let mut ticket = door.admission.enter().map_err(|_| Refused::Full)?;
        let body = body::read(&mut body, encoding, &door.admission, &mut ticket).await?;
        let request = match form {
            Form::Protobuf => {
                <Q as Message>::decode(body).map_err(|e| Refused::Undecodable(e.to_string()))?
            }
            Form::Json => {
                <Q as json::Decode>::decode(&body).map_err(|e| Refused::Undecodable(e.to_string()))?
            }
        };
        let answer = take(run, request).await?;
        drop(ticket);
        Ok::<_, Refused>(answer)
    };
    match answer.await {
        Ok(answer) => ok(form.unwrap_or(Form::Protobuf), &answer),
        Err(refused) => {
            door.service.metrics().refuse(refused.reason());
            // Who waits for `100 Continue` has not begun, and who is slow would be so again.
            let has_more = !matches!(refused, Refused::Body(BodyError::Slow { .. } | BodyError::Broken));
            if has_more && !head.headers.contains_key(header::EXPECT) {
                body::discard(body, &door.admission).await;
            }
            refused.answer(form.unwrap_or(Form::Json))
        }
    }
}

fn form(headers: &HeaderMap) -> Option<Form> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    match content_type.split(';').next().map(str::trim) {
        Some("application/x-protobuf" | "application/protobuf") => Some(Form::Protobuf),
        Some("application/json") => Some(Form::Json),
        Some(_) | None => None,
    }
}

fn ok<A: Message + Serialize>(form: Form, answer: &A) -> Response {
    match form {
        Form::Protobuf => ([(header::CONTENT_TYPE, PROTOBUF)], answer.encode_to_vec()).into_response(),
        Form::Json => axum::Json(answer).into_response(),
    }
}

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

impl Refused {
    /// A word of a closed list, for metrics.
    fn reason(&self) -> &'static str {
        match self {
            Refused::ContentType => "content_type",
            Refused::ContentEncoding => "content_encoding",
            Refused::Stranger(_) => "not_allowed",
            Refused::Full | Refused::Body(BodyError::Full) | Refused::NotTaken(NotTaken::Overloaded) => {
                "overloaded"
            }
            Refused::Body(BodyError::TooLarge { .. }) => "too_large",
            Refused::Body(BodyError::Slow { .. }) => "slow",
            Refused::Body(BodyError::Broken | BodyError::Compression) | Refused::Undecodable(_) => {
                "undecodable"
            }
            Refused::NotTaken(NotTaken::Unavailable | NotTaken::Stopping) => "unavailable",
        }
    }

    /// HTTP status, and gRPC's code for the body. OTLP: 429, 502, 503 and 504 are repeated by senders, others not.
    fn statuses(&self) -> (StatusCode, tonic::Code) {
        use tonic::Code;
        match self {
            Refused::ContentType | Refused::ContentEncoding => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument)
            }
            Refused::Stranger(Stranger::NoKey | Stranger::UnknownKey) => {
                (StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            }
            Refused::Stranger(Stranger::WrongRole | Stranger::WrongRun) => {
                (StatusCode::FORBIDDEN, Code::PermissionDenied)
            }
            Refused::Stranger(Stranger::BadRun) | Refused::Undecodable(_) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Refused::Body(BodyError::Broken | BodyError::Compression) => {
                (StatusCode::BAD_REQUEST, Code::InvalidArgument)
            }
            Refused::Body(BodyError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument)
            }
            Refused::Body(BodyError::Slow { .. }) => (StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
            Refused::Full | Refused::Body(BodyError::Full) | Refused::NotTaken(NotTaken::Overloaded) => {
                (StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
            }
            Refused::NotTaken(NotTaken::Unavailable | NotTaken::Stopping) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
        }
    }

    /// The answer: `google.rpc.Status` in the form of the request, and when to come back.
    fn answer(&self, form: Form) -> Response {
        let (status, code) = self.statuses();
        let message = self.to_string();
        let mut response = match form {
            Form::Protobuf => {
                let body = RpcStatus {
                    code: code as i32,
                    message,
                    details: Vec::new(),
                }
                .encode_to_vec();
                (status, [(header::CONTENT_TYPE, PROTOBUF)], body).into_response()
            }
            Form::Json => (
                status,
                axum::Json(serde_json::json!({ "code": code as i32, "message": message })),
            )
                .into_response(),
        };
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
