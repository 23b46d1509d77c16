//! Options of the ingestion role.

use crate::{assemble, dialect};
use immune_runtime::tls::DoorFiles;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// Where OTLP comes in, how much of it at a time, and how it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address of OTLP over gRPC, default 127.0.0.1:4317. On any other than loopback every sender needs a
    /// key of role `ingest`, configured (`access.api_keys`) or, where this process shares the store of keys, created.
    pub grpc_listen: SocketAddr,
    /// Address of OTLP over HTTP, default 127.0.0.1:4318. As for `grpc_listen`.
    pub http_listen: SocketAddr,
    /// Certificate of both, read again whenever its files change: OTLP comes over TLS then, and only so. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<DoorFiles>,
    /// The largest request after decompression, bytes, default 16,777,216 (16 MiB). Larger ones are refused (413,
    /// `RESOURCE_EXHAUSTED` without retry information).
    pub body_bytes_max: usize,
    /// What requests under way may hold at once, compressed, inflated and decoded, bytes; default 134,217,728
    /// (128 MiB). Beyond it senders are told to come back. One request may decode to half of it; a larger one is
    /// refused as one over `body_bytes_max` is.
    pub bytes_under_way_max: usize,
    /// Requests under way at once, default 256. Beyond it senders are told to come back.
    pub requests_max: usize,
    /// Connections of both protocols at once, default 10,000. Further ones wait in the system's queue.
    pub connections_max: usize,
    /// How long a sender may take to send a body, a request's head, or the first request of a connection, seconds,
    /// default 30.
    pub body_seconds_max: u64,
    /// Requests whose records may wait to be stored, default 256. Beyond it senders are told to come back.
    pub waiting_max: usize,
    /// How spans are put together.
    pub spans: assemble::Config,
    /// What attributes are called, beyond what is known already.
    pub dialect: dialect::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            grpc_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4317)),
            http_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 4318)),
            tls: None,
            body_bytes_max: 16 * 1024 * 1024,
            bytes_under_way_max: 128 * 1024 * 1024,
            requests_max: 256,
            connections_max: 10_000,
            body_seconds_max: 30,
            waiting_max: 256,
            spans: assemble::Config::default(),
            dialect: dialect::Config::default(),
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: usize, low: usize, high: usize| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        const GIB: usize = 1024 * 1024 * 1024;
        within("body_bytes_max", self.body_bytes_max, 1024, GIB);
        within(
            "bytes_under_way_max",
            self.bytes_under_way_max,
            self.body_bytes_max.saturating_mul(2),
            2 * GIB,
        );
        within("requests_max", self.requests_max, 1, 65_536);
        within("connections_max", self.connections_max, 1, 1_000_000);
        within("body_seconds_max", self.body_seconds_max as usize, 1, 3_600);
        within("waiting_max", self.waiting_max, 1, 65_536);
        if let Some(tls) = &self.tls {
            tls.check(&format!("{path}.tls"), mistakes);
        }
        self.spans.check(&format!("{path}.spans"), mistakes);
        self.dialect.check(&format!("{path}.dialect"), mistakes);
    }
}
