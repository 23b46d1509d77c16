//! OTLP over gRPC.

use super::Door;
use super::admission::{Admission, Full, Ticket};
use super::caller::{self, Run, Stranger};
use crate::metrics::Signal;
use crate::service::NotTaken;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// When a sender that was shed should come back.
const COME_BACK: Duration = Duration::from_secs(1);
/// Streams per connection: a sender that opens more waits its turn.
const STREAMS_MAX: u32 = 64;

/// Serves until the token is cancelled and requests under way are answered.
pub(super) async fn serve(door: Door, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
    let max = door.admission.body_bytes_max;
    macro_rules! service {
        ($server:ident) => {
            $server::new(door.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(max)
        };
    }
    tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .timeout(door.admission.body_time_max)
        .add_service(service!(TraceServiceServer))
        .add_service(service!(MetricsServiceServer))
        .add_service(service!(LogsServiceServer))
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), shutdown.cancelled_owned())
        .await
        .map_err(std::io::Error::other)
}

impl Door {
    /// Lets a decoded message in. tonic decodes before a handler runs, so the bytes are counted here; together with
    /// the message limit and the streams per connection that bounds what is under way.
    #[allow(clippy::result_large_err, reason = "tonic's own type at the edge of a handler")]
    fn enter(&self, metadata: &MetadataMap, message: &impl Message) -> Result<(Run, Ticket), Status> {
        let header = |name: &str| metadata.get(name).and_then(|value| value.to_str().ok());
        let run = caller::run_of(self.service.keys(), header).map_err(|stranger| self.stranger(stranger))?;
        let ticket = ticket(&self.admission, message.encoded_len()).map_err(|Full| {
            self.service.metrics().refuse("overloaded");
            shed("too many requests are under way; repeat the request later")
        })?;
        Ok((run, ticket))
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

fn ticket(admission: &Admission, bytes: usize) -> Result<Ticket, Full> {
    let mut ticket = admission.enter()?;
    ticket.take(bytes)?;
    Ok(ticket)
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
        let (metadata, _, message) = request.into_parts();
        let (run, _ticket) = self.enter(&metadata, &message)?;
        let accepted =
            self.service.traces(run.runs(), &message).await.map_err(|reason| self.not_taken(reason))?;
        let rejected_spans = i64::try_from(accepted.rejected_count()).unwrap_or(i64::MAX);
        let partial = ExportTracePartialSuccess { rejected_spans, error_message: accepted.message() };
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
        let (metadata, _, message) = request.into_parts();
        let _ticket = self.enter(&metadata, &message)?;
        self.service.received(Signal::Metrics, metrics_in(&message));
        Ok(Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}

#[tonic::async_trait]
impl LogsService for Door {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let (run, _ticket) = self.enter(&metadata, &message)?;
        self.service.logs(run.runs(), &message).await.map_err(|reason| self.not_taken(reason))?;
        Ok(Response::new(ExportLogsServiceResponse { partial_success: None }))
    }
}

/// Metrics in a request.
pub(super) fn metrics_in(request: &ExportMetricsServiceRequest) -> u64 {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    scopes.map(|scope| scope.metrics.len() as u64).sum()
}
