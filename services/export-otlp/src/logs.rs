//! Case events and the action log as log records.

use crate::config::{Config, Protocol};
use crate::error::Error;
use crate::metrics::SCOPE;
use immune_domain::Timestamp;
use immune_domain::case::Case;
use immune_store::action_log::LogRow;
use immune_store::cases::NewEvent;
use opentelemetry::logs::{AnyValue, LogRecord, Logger, LoggerProvider, Severity};
use opentelemetry_otlp::{LogExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tonic::metadata::MetadataMap;

pub(crate) fn provider(
    config: &Config,
    endpoint: &str,
    headers: &MetadataMap,
    resource: Resource,
) -> Result<SdkLoggerProvider, Error> {
    let built = match config.protocol {
        Protocol::Grpc => LogExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_metadata(headers.clone())
            .build(),
        Protocol::Http => LogExporter::builder()
            .with_http()
            .with_endpoint(Config::http_url(endpoint, "logs"))
            .with_headers(config.http_headers())
            .build(),
    };
    let exporter = built.map_err(|source| Error::Build {
        endpoint: endpoint.to_owned(),
        source,
    })?;
    Ok(SdkLoggerProvider::builder()
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build())
}

pub(crate) struct Logs {
    logger: SdkLogger,
}

impl Logs {
    pub(crate) fn new(provider: &SdkLoggerProvider) -> Self {
        Logs {
            logger: provider.logger(SCOPE),
        }
    }

    pub(crate) fn events(&self, case: &Case, events: &[NewEvent]) {
        for event in events {
            let mut record = self.record(event.at, severity(&event.kind), event.text.clone());
            record.add_attributes([
                ("immune.event", AnyValue::from(event.kind.clone())),
                ("immune.case_id", AnyValue::from(case.id.to_string())),
                ("immune.run_id", AnyValue::from(case.key.run.to_string())),
                ("immune.severity", AnyValue::Double(case.infection.severity)),
                ("immune.diagnosis", AnyValue::from(case.diagnosis().as_str())),
                ("immune.case_state", AnyValue::from(case.state.as_str())),
                ("gen_ai.agent.id", AnyValue::from(case.key.agent.to_string())),
            ]);
            self.logger.emit(record);
        }
    }

    pub(crate) fn rows(&self, rows: &[LogRow]) {
        for row in rows {
            let text = format!("{} by {}: {}", row.kind, row.actor, row.outcome);
            let mut record = self.record(row.at, Severity::Info, text);
            record.add_attributes([
                ("immune.action", AnyValue::from(row.kind.clone())),
                ("immune.actor", AnyValue::from(row.actor.clone())),
                ("immune.outcome", AnyValue::from(row.outcome.clone())),
                ("immune.run_id", AnyValue::from(row.run.to_string())),
            ]);
            if let Some(agent) = &row.agent {
                record.add_attribute("gen_ai.agent.id", agent.to_string());
            }
            self.logger.emit(record);
        }
    }

    fn record(&self, at: Timestamp, severity: Severity, text: String) -> <SdkLogger as Logger>::LogRecord {
        let mut record = self.logger.create_log_record();
        record.set_timestamp(system_time(at));
        record.set_severity_number(severity);
        record.set_severity_text(severity.name());
        record.set_body(AnyValue::from(text));
        record
    }
}

/// How loud an event is: an open case is a warning, a broken containment and a failed healing are errors.
fn severity(kind: &str) -> Severity {
    match kind {
        "case_breached" | "case_failed" => Severity::Error,
        "case_opened" | "case_worsened" | "case_waiting" => Severity::Warn,
        _ => Severity::Info,
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or_default())
}
