//! Where telemetry goes.

use crate::error::Error;
use immune_runtime::config::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where vitals, severity and case events are sent as OpenTelemetry metrics and logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `http://HOST:4317` (gRPC) or `http://HOST:4318` (HTTP); default none: nothing is sent. The environment's name
    /// is `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: Option<String>,
    /// How: `grpc` or `http/protobuf`; default `grpc`.
    pub protocol: Protocol,
    /// Headers of every export, such as an API key of the backend; default none. Values are never printed.
    pub headers: BTreeMap<String, Secret>,
    /// Time between two exports of metrics, milliseconds, default 10,000. The environment's name is
    /// `OTEL_METRIC_EXPORT_INTERVAL_MS`.
    pub interval_ms: u64,
    /// `service.name` of what is sent; default `immune`. The environment's name is `OTEL_SERVICE_NAME`.
    pub service_name: String,
    /// Agents that have series of their own, default 2,000; the rest is counted together, under the SDK's overflow
    /// attribute.
    pub agents_max: usize,
}

/// How OTLP travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// gRPC.
    #[default]
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP.
    #[serde(rename = "http/protobuf")]
    Http,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            endpoint: None,
            protocol: Protocol::Grpc,
            headers: BTreeMap::new(),
            interval_ms: 10_000,
            service_name: "immune".to_owned(),
            agents_max: 2_000,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if let Some(endpoint) = &self.endpoint {
            let is_http = url::Url::parse(endpoint).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
            if !is_http {
                mistakes.push(format!(
                    "{path}.endpoint = {endpoint:?}: must be http://HOST:PORT or https://"
                ));
            }
        }
        if !(100..=3_600_000).contains(&self.interval_ms) {
            mistakes.push(format!(
                "{path}.interval_ms = {}: must be between 100 and 3600000",
                self.interval_ms
            ));
        }
        if !(1..=1_000_000).contains(&self.agents_max) {
            mistakes.push(format!(
                "{path}.agents_max = {}: must be between 1 and 1000000",
                self.agents_max
            ));
        }
        if let Err(error) = self.read_headers() {
            mistakes.push(format!("{path}.headers: {error}"));
        }
    }

    /// The headers as gRPC metadata, which is stricter than HTTP.
    pub(crate) fn read_headers(&self) -> Result<tonic::metadata::MetadataMap, Error> {
        let mut map = tonic::metadata::MetadataMap::new();
        for (name, value) in &self.headers {
            let refused = || Error::Header { name: name.clone() };
            let key: tonic::metadata::AsciiMetadataKey =
                name.to_ascii_lowercase().parse().map_err(|_| refused())?;
            let mut value: tonic::metadata::AsciiMetadataValue =
                value.expose().parse().map_err(|_| refused())?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        Ok(map)
    }

    pub(crate) fn http_headers(&self) -> std::collections::HashMap<String, String> {
        self.headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect()
    }

    /// The URL of a signal over HTTP.
    pub(crate) fn http_url(endpoint: &str, signal: &str) -> String {
        format!("{}/v1/{signal}", endpoint.trim_end_matches('/'))
    }
}
