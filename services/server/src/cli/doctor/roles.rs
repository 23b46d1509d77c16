//! Checks over gRPC: the health of each role, and what ingestion has received.

use super::finding::Finding;
use super::targets::Place;
use crate::cli::failure::innermost;
use immune_proto::v1;
use immune_proto::v1::ingestion_service_client::IngestionServiceClient;
use std::time::Duration;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// The longest that one check may take.
const PROBE_MAX: Duration = Duration::from_secs(3);
/// Silence from which on it is worth a word.
const SILENCE_WARNING_SECONDS: f64 = 300.0;

/// A connection that is really there.
pub(super) async fn connect(place: &Place) -> Result<Channel, String> {
    let endpoint = Endpoint::from_shared(format!("http://{place}")).map_err(|error| error.to_string())?;
    let endpoint = endpoint.connect_timeout(PROBE_MAX).timeout(PROBE_MAX);
    endpoint.connect().await.map_err(|error| innermost(&error))
}

/// Whether a role serves.
pub async fn health(role: &'static str, place: &Place) -> Finding {
    let next = "start it with `immune serve`, or see grpc.enabled and grpc.first_port";
    let channel = match connect(place).await {
        Ok(channel) => channel,
        Err(cause) => return Finding::failed(role, format!("gRPC {place}: {cause}"), next),
    };
    let request = HealthCheckRequest {
        service: String::new(),
    };
    match HealthClient::new(channel).check(request).await {
        Err(status) => {
            let said = format!("gRPC {place}: no health ({})", status.message());
            Finding::failed(role, said, "check the port: something else may listen there")
        }
        Ok(response) => match response.into_inner().status() {
            ServingStatus::Serving => Finding::ok(role, format!("serves on gRPC {place}")),
            status @ (ServingStatus::Unknown | ServingStatus::NotServing | ServingStatus::ServiceUnknown) => {
                let said = format!("gRPC {place}: says {}", status.as_str_name().to_lowercase());
                Finding::failed(role, said, "look at the server's log")
            }
        },
    }
}

/// Whether telemetry arrives, is accepted, and is in time.
pub async fn telemetry(place: &Place) -> Vec<Finding> {
    let Ok(channel) = connect(place).await else {
        // The health check of the role has said so.
        return Vec::new();
    };
    let request = v1::GetIngestionStatusRequest {};
    match IngestionServiceClient::new(channel)
        .get_ingestion_status(request)
        .await
    {
        Ok(response) => of_status(&response.into_inner()),
        Err(status) => {
            let said = format!("ingestion does not tell: {}", status.message());
            vec![Finding::warning("telemetry", said, "look at the server's log")]
        }
    }
}

fn of_status(status: &v1::GetIngestionStatusResponse) -> Vec<Finding> {
    let (accepted, refused) = (status.spans_accepted, status.spans_refused);
    let arriving = match status.silent_seconds {
        None => {
            let next = "set OTEL_EXPORTER_OTLP_ENDPOINT of an agent to this server";
            Finding::warning("telemetry", "nothing has arrived since the start", next)
        }
        Some(silent) if silent > SILENCE_WARNING_SECONDS => {
            let said = format!("{accepted} spans so far, but none for {silent:.0} s");
            Finding::warning(
                "telemetry",
                said,
                "see whether the agents run and reach this server",
            )
        }
        Some(silent) if accepted > 0 && status.executions == 0 => {
            let said =
                format!("{accepted} spans, the last {silent:.0} s ago, but no execution of an agent in them");
            let next = "see whether the agents' GenAI instrumentation is switched on";
            Finding::warning("telemetry", said, next)
        }
        Some(silent) => {
            let executions = status.executions;
            let said = format!("{accepted} spans, {executions} executions, the last {silent:.0} s ago");
            Finding::ok("telemetry", said)
        }
    };
    let mut findings = vec![arriving];
    if refused > 0 {
        let said = format!("{refused} spans were refused");
        findings.push(Finding::warning(
            "telemetry",
            said,
            "the exporters' logs and ours say why",
        ));
    }
    if status.late_executions > 0 {
        let said = format!(
            "{} executions came more than 5 minutes late",
            status.late_executions
        );
        let next = "they are stored and never judged; compare the agents' clocks if they are live";
        findings.push(Finding::warning("telemetry", said, next));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    /// Guarantees: each way in which telemetry fails to arrive has its own word.
    #[test]
    fn telemetry_is_judged_by_what_arrived() {
        let good = v1::GetIngestionStatusResponse {
            spans_accepted: 40,
            executions: 4,
            silent_seconds: Some(2.0),
            ..v1::GetIngestionStatusResponse::default()
        };
        let levels = |status: &v1::GetIngestionStatusResponse| {
            of_status(status)
                .into_iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(&good), [Level::Ok]);
        let never = v1::GetIngestionStatusResponse::default();
        assert_eq!(levels(&never), [Level::Warning]);
        let silent = v1::GetIngestionStatusResponse {
            silent_seconds: Some(301.0),
            ..good
        };
        assert_eq!(levels(&silent), [Level::Warning]);
        let no_agents = v1::GetIngestionStatusResponse {
            executions: 0,
            ..good
        };
        assert_eq!(levels(&no_agents), [Level::Warning]);
        let refused = v1::GetIngestionStatusResponse {
            spans_refused: 1,
            late_executions: 1,
            ..good
        };
        assert_eq!(levels(&refused), [Level::Ok, Level::Warning, Level::Warning]);
    }
}
