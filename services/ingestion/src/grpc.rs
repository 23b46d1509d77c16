//! `immune.v1.IngestionService`: translation only.

use crate::Service;
use crate::service::NotTaken;
use immune_domain::ErrorKind;
use immune_domain::vitals::{Source, Vitals};
use immune_proto::v1;
use immune_proto::v1::ingestion_service_server::IngestionService;
use immune_runtime::grpc::status;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// The most vitals of one call.
const VITALS_MAX: usize = 10_000;
/// How far ahead of our clock a posted time may be.
const AHEAD_MAX: Duration = Duration::from_secs(300);

#[tonic::async_trait]
impl IngestionService for Service {
    async fn record_vitals(
        &self,
        request: Request<v1::RecordVitalsRequest>,
    ) -> Result<Response<v1::RecordVitalsResponse>, Status> {
        let posted = request.into_inner().vitals;
        let invalid = |message: String| status(ErrorKind::Invalid, "ingestion.invalid_vitals", message);
        if posted.len() > VITALS_MAX {
            return Err(invalid(format!(
                "{} vitals: at most {VITALS_MAX} at once",
                posted.len()
            )));
        }
        let now = self.now();
        let mut all = Vec::with_capacity(posted.len());
        for (i, wire) in posted.into_iter().enumerate() {
            let mut vitals =
                Vitals::try_from(wire).map_err(|error| invalid(format!("vitals[{i}].{error}")))?;
            if vitals.timestamp > now.plus(AHEAD_MAX) {
                return Err(invalid(format!(
                    "vitals[{i}].timestamp {} is more than 5 minutes ahead of the server's clock {now}",
                    vitals.timestamp
                )));
            }
            vitals.source = Source::Posted;
            vitals.received_at = now;
            all.push(vitals);
        }
        self.posted(all).await.map_err(not_taken)?;
        Ok(Response::new(v1::RecordVitalsResponse {}))
    }

    async fn get_ingestion_status(
        &self,
        _request: Request<v1::GetIngestionStatusRequest>,
    ) -> Result<Response<v1::GetIngestionStatusResponse>, Status> {
        Ok(Response::new(self.status()))
    }
}

fn not_taken(reason: NotTaken) -> Status {
    status(reason.kind(), "ingestion.not_taken", reason.to_string())
}
