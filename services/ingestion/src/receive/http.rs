//! OTLP over HTTP: protobuf and JSON.

use super::Door;
use super::body::{self, BodyError, Encoding, Form};
use super::caller::{self, Run};
use super::message::{Message, MessageError, Traces};
use super::refused::{PROTOBUF, Refused};
use crate::metrics::Signal;
use crate::service::NotTaken;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use immune_door::Peer;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use serde::Serialize;

/// The routes. Senders whose base address has a path of its own (Langfuse's is `/api/public/otel`) are served too:
/// the end of the path tells the signal.
pub(super) fn router(door: Door) -> Router {
    Router::new().fallback(receive).with_state(door)
}

async fn receive(State(door): State<Door>, request: Request) -> Response {
    let path = request.uri().path();
    let signals = [
        ("/v1/traces", Signal::Traces),
        ("/v1/metrics", Signal::Metrics),
        ("/v1/logs", Signal::Logs),
    ];
    let signal = signals
        .into_iter()
        .find(|(end, _)| path.ends_with(end))
        .map(|(_, signal)| signal);
    let refused = match signal {
        None => Refused::Path,
        Some(_) if request.method() != Method::POST => Refused::Method,
        Some(Signal::Traces) => return traces(&door, request).await,
        Some(Signal::Metrics) => return metrics(&door, request).await,
        Some(Signal::Logs) => return logs(&door, request).await,
    };
    door.service.metrics().refuse(refused.reason());
    refused.answer(form(request.headers()).unwrap_or(Form::Json))
}

async fn traces(door: &Door, request: Request) -> Response {
    let take = async |run: Run, request: Traces| {
        let accepted = door.traces(&run, &request).await?;
        let rejected_spans = i64::try_from(accepted.rejected_count()).unwrap_or(i64::MAX);
        let partial = ExportTracePartialSuccess {
            rejected_spans,
            error_message: accepted.message(),
        };
        Ok(ExportTraceServiceResponse {
            partial_success: (rejected_spans > 0).then_some(partial),
        })
    };
    handle(door, request, take).await
}

async fn metrics(door: &Door, request: Request) -> Response {
    let take = async |_, request: ExportMetricsServiceRequest| {
        door.service
            .received(Signal::Metrics, super::grpc::metrics_in(&request));
        Ok(ExportMetricsServiceResponse {
            partial_success: None,
        })
    };
    handle(door, request, take).await
}

async fn logs(door: &Door, request: Request) -> Response {
    let take = async |run: Run, request: ExportLogsServiceRequest| {
        door.service.logs(run.runs(), &request).await?;
        Ok(ExportLogsServiceResponse {
            partial_success: None,
        })
    };
    handle(door, request, take).await
}

async fn handle<Q, A>(
    door: &Door,
    request: Request,
    take: impl AsyncFnOnce(Run, Q) -> Result<A, NotTaken>,
) -> Response
where
    Q: Message,
    A: prost::Message + Serialize,
{
    let (head, mut body) = request.into_parts();
    let form = form(&head.headers);
    let answer = async {
        let form = form.ok_or(Refused::ContentType)?;
        let encoding = encoding(&head.headers).ok_or(Refused::ContentEncoding)?;
        let (peer, now) = (Peer::of(&head.extensions), door.service.now());
        let run = caller::run_of(door.service.door(), &head.headers, peer, now)?;
        let mut ticket = door.admission.enter().map_err(|_| Refused::Full)?;
        let body = body::read(&mut body, &door.admission, &mut ticket).await?;
        let body = body::inflated(body, encoding, &door.admission, &mut ticket)?;
        let request = Q::read(body, form, &door.admission, &mut ticket)?;
        let answer = take(run, request).await?;
        drop(ticket);
        Ok::<_, Refused>(answer)
    };
    match answer.await {
        Ok(answer) => ok(form.unwrap_or(Form::Protobuf), &answer),
        Err(refused) => {
            door.service.metrics().refuse(refused.reason());
            // Who waits for `100 Continue` has not begun, and who is slow would be so again.
            let has_more = !matches!(
                refused,
                Refused::Message(MessageError::Body(BodyError::Slow { .. } | BodyError::Broken))
            );
            if has_more && !head.headers.contains_key(header::EXPECT) {
                body::discard(body, &door.admission).await;
            }
            refused.answer(form.unwrap_or(Form::Json))
        }
    }
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(value) => Encoding::of(value.to_str().ok()?),
        None => Some(Encoding::Identity),
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

fn ok<A: prost::Message + Serialize>(form: Form, answer: &A) -> Response {
    match form {
        Form::Protobuf => ([(header::CONTENT_TYPE, PROTOBUF)], answer.encode_to_vec()).into_response(),
        Form::Json => axum::Json(answer).into_response(),
    }
}
