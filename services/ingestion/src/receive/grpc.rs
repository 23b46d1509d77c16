//! OTLP over gRPC.

use super::Door;
use super::gate::{self, Pass};
use super::message::Traces;
use crate::metrics::Signal;
use crate::service::NotTaken;
use axum::Router;
use axum::middleware::from_fn_with_state;
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
use std::sync::Arc;
use tonic::service::Routes;
use tonic::{Extensions, Request, Response, Status};

/// The three services, behind the gate.
pub(super) fn router(door: Door) -> Router {
    // The gate has refused larger ones.
    let max = door.admission.body_bytes_max;
    Routes::new(TraceServiceServer::new(door.clone()).max_decoding_message_size(max))
        .add_service(MetricsServiceServer::new(door.clone()).max_decoding_message_size(max))
        .add_service(LogsServiceServer::new(door.clone()).max_decoding_message_size(max))
        .into_axum_router()
        .layer(from_fn_with_state(door, gate::enter))
}

/// The pass of a request; it is held until the answer.
#[allow(
    clippy::result_large_err,
    reason = "tonic's own type at the edge of a handler"
)]
fn pass(extensions: &Extensions) -> Result<Arc<Pass>, Status> {
    extensions
        .get::<Arc<Pass>>()
        .cloned()
        .ok_or_else(|| Status::unauthenticated("no pass"))
}

impl Door {
    fn not_taken(&self, reason: NotTaken) -> Status {
        let word = match reason {
            NotTaken::Overloaded => "overloaded",
            NotTaken::Unavailable | NotTaken::Stopping => "unavailable",
        };
        self.service.metrics().refuse(word);
        gate::not_taken(reason)
    }
}

#[tonic::async_trait]
impl TraceService for Door {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        let pass = pass(&extensions)?;
        // The gate has read the spans, and `message` is empty.
        let accepted = self
            .traces(
                &pass.run,
                pass.traces.as_ref().unwrap_or(&Traces::Decoded(message)),
            )
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
        let _pass = pass(&extensions)?;
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
        let pass = pass(&extensions)?;
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
