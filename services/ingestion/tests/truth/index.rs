//! `index.json` of the captures.

use flate2::read::GzDecoder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// One run of a framework, as recorded.
#[derive(Debug, Deserialize)]
pub struct Scenario {
    /// Framework and instrumentation.
    pub capture: String,
    /// What the run did.
    pub scenario: String,
    /// Its requests in order of arrival.
    pub files: Vec<File>,
    ground_truth: GroundTruth,
    /// What really happened.
    #[serde(skip)]
    pub executions: Vec<Truth>,
}

#[derive(Debug, Deserialize)]
struct GroundTruth {
    executions: Vec<Truth>,
}

/// One request.
#[derive(Debug, Clone, Deserialize)]
pub struct File {
    /// Path below the captures.
    pub file: String,
    /// Which signal.
    pub signal: Signal,
    /// Path of the HTTP request.
    #[serde(default)]
    pub path: String,
    /// Headers as sent.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// `http` or `grpc`.
    pub transport: String,
}

/// Signals of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

/// What really happened in one execution.
#[derive(Debug, Deserialize)]
pub struct Truth {
    /// The root agent and those that it called.
    pub agents: Vec<String>,
    /// What the program passed as conversation.
    pub session_id: Option<String>,
    /// Start by the program's clock, nanoseconds.
    pub start_unix_ns: u64,
    /// Duration measured by the program.
    pub wall_ms: f64,
    /// Tokens read, as served.
    pub input_tokens: u64,
    /// Tokens written, as served.
    pub output_tokens: u64,
    /// Tools that ran.
    pub tool_calls: Vec<Tool>,
    /// Tools that models asked for.
    pub llm_requested_tool_calls: Vec<String>,
    /// Requests beyond the logical calls.
    pub llm_http_retries: u32,
    /// Models asked.
    pub models_requested: Vec<String>,
    /// Models that answered.
    pub models_served: Vec<String>,
    /// Exception that reached the caller.
    pub raised: Option<String>,
    /// Nothing raised and not stopped early.
    pub success: bool,
}

/// A tool that ran.
#[derive(Debug, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Whether it returned.
    pub ok: bool,
}

/// Where the captures are: `IMMUNE_CAPTURES`, else `shared/captures` beside the workspace. Without them the test is
/// skipped, loudly, and in CI it fails.
pub fn captures() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/captures");
    let path = std::env::var_os("IMMUNE_CAPTURES").map_or(beside, PathBuf::from);
    if path.join("index.json").is_file() {
        return Some(path);
    }
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false");
    assert!(
        !is_ci,
        "captures not found (IMMUNE_CAPTURES), and in CI a skip is a failure"
    );
    eprintln!("\n*** skipped: captures not found; set IMMUNE_CAPTURES ***\n");
    None
}

/// The scenarios of the index.
pub fn scenarios(captures: &Path) -> Vec<Scenario> {
    #[derive(Deserialize)]
    struct Index {
        scenarios: Vec<Scenario>,
    }
    let text = std::fs::read(captures.join("index.json")).expect("index.json can be read");
    let index: Index = serde_json::from_slice(&text).expect("index.json is as its README says");
    let mut scenarios = index.scenarios;
    for scenario in &mut scenarios {
        scenario.executions = std::mem::take(&mut scenario.ground_truth.executions);
    }
    scenarios
}

impl File {
    /// The body as it was sent, compressed or not.
    pub fn raw(&self, captures: &Path) -> Vec<u8> {
        std::fs::read(captures.join(&self.file)).unwrap_or_else(|e| panic!("{}: {e}", self.file))
    }

    /// Whether the stored body is compressed.
    pub fn is_gzip(&self) -> bool {
        self.file.ends_with(".gz")
    }

    /// Whether the body is JSON.
    pub fn is_json(&self) -> bool {
        self.file.trim_end_matches(".gz").ends_with(".json")
    }

    /// The body, decompressed.
    pub fn body(&self, captures: &Path) -> Vec<u8> {
        let raw = self.raw(captures);
        if !self.is_gzip() {
            return raw;
        }
        let mut body = Vec::new();
        GzDecoder::new(raw.as_slice())
            .read_to_end(&mut body)
            .unwrap_or_else(|e| panic!("{}: {e}", self.file));
        body
    }
}
