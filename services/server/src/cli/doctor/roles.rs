//! Checks of the roles: the gRPC health of each, and what the server says of itself.

use super::finding::Finding;
use super::targets::Place;
use crate::cli::client::Client;
use crate::cli::failure::innermost;
use crate::roles::Role;
use serde_json::Value;
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

/// Whether a role serves on its listener.
pub async fn health(role: Role, place: &Place) -> Finding {
    let (service, role) = (role.service().to_owned(), role.as_str());
    let next = "start it with `immune serve`, or see grpc.enabled and grpc.first_port";
    let channel = match connect(place).await {
        Ok(channel) => channel,
        Err(cause) => return Finding::failed(role, format!("gRPC {place}: {cause}"), next),
    };
    let request = HealthCheckRequest { service };
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

/// What the running server says of itself: its roles, where their listeners cannot be seen from here, and what
/// ingestion has received.
pub async fn system(client: &Client, with_roles: bool) -> Vec<Finding> {
    let system = match client.get("/api/system", &[]).await {
        Ok(system) => system,
        Err(failure) => return vec![Finding::warning("system", failure.to_string(), "")],
    };
    let mut findings = Vec::new();
    if with_roles {
        let roles = system["roles"].as_array().map_or(&[][..], Vec::as_slice);
        findings.push(of_roles(roles));
    }
    match &system["ingestion"] {
        Value::Null => {
            let said = "ingestion does not tell what it has received";
            findings.push(Finding::failed("telemetry", said, "look at the server's log"));
        }
        intake => findings.extend(of_intake(intake)),
    }
    findings
}

fn of_roles(roles: &[Value]) -> Finding {
    let silent: Vec<String> = roles
        .iter()
        .filter(|role| role["status"] != "serving")
        .map(|role| {
            format!(
                "{} {}",
                role["role"].as_str().unwrap_or("?"),
                role["status"].as_str().unwrap_or("?")
            )
        })
        .collect();
    if silent.is_empty() {
        Finding::ok(
            "roles",
            format!("all {} serve, by the server's own word", roles.len()),
        )
    } else {
        Finding::failed("roles", silent.join(", "), "look at the server's log")
    }
}

fn of_intake(intake: &Value) -> Vec<Finding> {
    let count = |name: &str| intake[name].as_u64().unwrap_or(0);
    let (accepted, executions) = (count("spans_accepted"), count("executions"));
    let arriving = match intake["silent_seconds"].as_f64() {
        None => {
            let next = "set OTEL_EXPORTER_OTLP_ENDPOINT of an agent to this server";
            Finding::warning("telemetry", "nothing has arrived since the start", next)
        }
        Some(silent) if silent > SILENCE_WARNING_SECONDS => {
            let said = format!("{accepted} spans so far, but nothing for {silent:.0} s");
            Finding::warning(
                "telemetry",
                said,
                "see whether the agents run and reach this server",
            )
        }
        Some(silent) if accepted > 0 && executions == 0 => {
            let said =
                format!("{accepted} spans, the last {silent:.0} s ago, but no execution of an agent in them");
            let next = "see whether the agents' GenAI instrumentation is switched on";
            Finding::warning("telemetry", said, next)
        }
        Some(silent) => {
            let said = format!("{accepted} spans, {executions} executions, the last {silent:.0} s ago");
            Finding::ok("telemetry", said)
        }
    };
    let mut findings = vec![arriving];
    let refused = count("spans_refused");
    if refused > 0 {
        let said = format!("{refused} spans were refused");
        findings.push(Finding::warning(
            "telemetry",
            said,
            "the exporters' logs and ours say why",
        ));
    }
    let late = count("late_executions");
    if late > 0 {
        let said = format!("{late} executions came more than 5 minutes late");
        let next = "they are stored and never judged; compare the agents' clocks if they are live";
        findings.push(Finding::warning("telemetry", said, next));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use serde_json::json;

    /// Guarantees: each way in which telemetry fails to arrive has its own word.
    #[test]
    fn telemetry_is_judged_by_what_arrived() {
        let levels = |change: Value| {
            let mut intake = json!({ "spans_accepted": 40, "executions": 4, "silent_seconds": 2.0 });
            for (name, value) in change.as_object().expect("an object") {
                intake[name] = value.clone();
            }
            of_intake(&intake)
                .into_iter()
                .map(|finding| finding.level)
                .collect::<Vec<_>>()
        };
        assert_eq!(levels(json!({})), [Level::Ok]);
        assert_eq!(levels(json!({ "silent_seconds": null })), [Level::Warning]);
        assert_eq!(levels(json!({ "silent_seconds": 301.0 })), [Level::Warning]);
        assert_eq!(levels(json!({ "executions": 0 })), [Level::Warning]);
        let refused = json!({ "spans_refused": 1, "late_executions": 1 });
        assert_eq!(levels(refused), [Level::Ok, Level::Warning, Level::Warning]);
    }

    /// Guarantees: a role that does not serve is named.
    #[test]
    fn silent_roles_are_named() {
        let role = |name: &str, status: &str| json!({ "role": name, "status": status });
        assert_eq!(of_roles(&[role("healer", "serving")]).level, Level::Ok);
        let finding = of_roles(&[role("sentinel", "serving"), role("healer", "unreachable")]);
        assert_eq!(
            (finding.level, finding.said.as_str()),
            (Level::Failed, "healer unreachable")
        );
    }
}
