//! Our own logs, and the traces that calls belong to.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How the process logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Filter in the syntax of `tracing-subscriber` (`info`, `immune_ingestion=debug,info`); default `info`.
    pub filter: String,
    /// `text` for people, `json` for programs; default `text`.
    pub format: Format,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            filter: "info".to_owned(),
            format: Format::Text,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if let Err(e) = EnvFilter::try_new(&self.filter) {
            mistakes.push(format!("{path}.filter = {:?}: {e}", self.filter));
        }
    }
}

/// Starts logging to standard error; a second call changes nothing.
pub fn start(config: &Config) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr);
    // Gives each span its trace and id, so that a call to another role carries them on. Nothing is sent anywhere.
    let traces = tracing_opentelemetry::layer().with_tracer(SdkTracerProvider::default().tracer("immune"));
    let registry = tracing_subscriber::registry().with(filter).with(traces);
    // An error here means that logging was started before, by a test or an embedding program.
    let _ = match config.format {
        Format::Text => registry.with(lines).try_init(),
        Format::Json => registry.with(lines.json()).try_init(),
    };
}
