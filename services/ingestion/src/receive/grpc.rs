//! OTLP over gRPC.

use super::Door;
use super::admission::{Full, Ticket};
use super::caller::{self, Run, Stranger};
use crate::metrics::Signal;
use crate::service::NotTaken;
use http::HeaderValue;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::service::interceptor::InterceptedService;
use tonic::{Code, Extensions, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::util::MapResponseLayer;

/// When a sender that was shed should come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// Streams per connection: a sender that opens more waits its turn.
const STREAMS_MAX: u32 = 64;

/// Serves until the token is cancelled and requests under way are answered.
pub(super) async fn serve(
    door: Door,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let max = door.admission.body_bytes_max;
    macro_rules! service {
        ($server:ident) => {{
            let server = $server::new(door.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(max);
            let at_the_door = door.clone();
            InterceptedService::new(server, move |request: Request<()>| at_the_door.enter(request))
        }};
    }
    tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .timeout(door.admission.body_time_max)
        .layer(MapResponseLayer::new(undecodable))
        .add_service(service!(TraceServiceServer))
        .add_service(service!(MetricsServiceServer))
        .add_service(service!(LogsServiceServer))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
        .map_err(std::io::Error::other)
}

/// What tonic says of messages that it cannot decode, in OTLP's terms: senders repeat `OUT_OF_RANGE`, and a message
/// over the limit will not get smaller; and `INTERNAL` would be our fault. No handler here answers with either.
fn undecodable(mut response: http::Response<Body>) -> http::Response<Body> {
    let code = response
        .headers()
        .get(Status::GRPC_STATUS)
        .map(|value| Code::from_bytes(value.as_bytes()));
    let otherwise = match code {
        Some(Code::OutOfRange) => Code::ResourceExhausted,
        Some(Code::Internal) => Code::InvalidArgument,
        Some(_) | None => return response,
    };
    response
        .headers_mut()
        .insert(Status::GRPC_STATUS, HeaderValue::from(otherwise as i32));
    response
}

/// A request that was let in: the run that it is for, and its share of the limits.
struct Pass {
    run: Run,
    ticket: Mutex<Ticket>,
}

impl Door {
    /// Lets a request in before its message is read.
    #[allow(
        clippy::result_large_err,
        reason = "tonic's own type at the edge of a handler"
    )]
    fn enter(&self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let header = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        let run = caller::run_of(self.service.keys(), header).map_err(|stranger| self.stranger(stranger))?;
        let ticket = self.admission.enter().map_err(|full| self.full(full))?;
        request.extensions_mut().insert(Arc::new(Pass {
            run,
            ticket: Mutex::new(ticket),
        }));
        Ok(request)
    }

    /// The pass of a decoded message. tonic reads and decodes before a handler runs, so the bytes are counted only
    /// here; until then the message limit and the limit of requests bound what is under way.
    #[allow(
        clippy::result_large_err,
        reason = "tonic's own type at the edge of a handler"
    )]
    fn pass(&self, extensions: &Extensions, message: &impl Message) -> Result<Arc<Pass>, Status> {
        let pass = extensions
            .get::<Arc<Pass>>()
            .cloned()
            .ok_or_else(|| Status::unauthenticated("no pass"))?;
        let taken = pass
            .ticket
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(message.encoded_len());
        taken.map_err(|full| self.full(full))?;
        Ok(pass)
    }

    fn full(&self, Full: Full) -> Status {
        self.service.metrics().refuse("overloaded");
        shed("too many requests are under way; repeat the request later")
    }

    fn stranger(&self, stranger: Stranger) -> Status {
        self.service.metrics().refuse("not_allowed");
        match stranger {
            Stranger::NoKey | Stranger::UnknownKey => Status::unauthenticated(stranger.to_string()),
            Stranger::WrongRole | Stranger::WrongRun => Status::permission_denied(stranger.to_string()),
            Stranger::BadRun => Status::invalid_argument(stranger.to_string()),
        }
    }

    fn not_taken(&self, reason: NotTaken) -> Status {
        match reason {
            NotTaken::Overloaded => {
                self.service.metrics().refuse("overloaded");
                shed(&reason.to_string())
            }
            NotTaken::Unavailable | NotTaken::Stopping => {
                self.service.metrics().refuse("unavailable");
                let details = ErrorDetails::with_retry_info(Some(COME_BACK));
                Status::with_error_details(Code::Unavailable, reason.to_string(), details)
            }
        }
    }
}

/// OTLP: `RESOURCE_EXHAUSTED` is repeated only when it comes with `RetryInfo`.
fn shed(message: &str) -> Status {
    let details = ErrorDetails::with_retry_info(Some(COME_BACK));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

#[tonic::async_trait]
impl TraceService for Door {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let pass = self.pass(&extensions, &message)?;
        let accepted = self
            .service
            .traces(pass.run.runs(), &message)
            .await
            .map_err(|reason| self.not_taken(reason))?;
        let rejected_spans = i64::try_from(accepted.rejected_count()).unwrap_or(i64::MAX);
        let partial = ExportTracePartialSuccess {
            rejected_spans,
            error_message: accepted.message(),
        };
        let partial_success = (rejected_spans > 0).then_some(partial);
        Ok(Response::new(ExportTraceServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl MetricsService for Door {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let _pass = self.pass(&extensions, &message)?;
        self.service.received(Signal::Metrics, metrics_in(&message));
        Ok(Response::new(ExportMetricsServiceResponse {
            partial_success: None,
        }))
    }
}

#[tonic::async_trait]
impl LogsService for Door {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let pass = self.pass(&extensions, &message)?;
        self.service
            .logs(pass.run.runs(), &message)
            .await
            .map_err(|reason| self.not_taken(reason))?;
        Ok(Response::new(ExportLogsServiceResponse {
            partial_success: None,
        }))
    }
}

/// Metrics in a request.
pub(super) fn metrics_in(request: &ExportMetricsServiceRequest) -> u64 {
    let scopes = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics);
    scopes.map(|scope| scope.metrics.len() as u64).sum()
}
