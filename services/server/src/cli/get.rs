//! `immune get ...`: what a running server knows.

mod columns;
mod facts;

use super::client::{Client, Output, Server, segment};
use super::failure::Failure;
use super::table::{self, Column};
use immune_domain::Timestamp;
use immune_runtime::clock;
use serde_json::Value;
use std::process::ExitCode;

/// Arguments of `immune get`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    server: Server,
}

/// What to look at.
#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Agents of the run.
    Agents,
    /// One agent: its vitals beside its baseline, its cases and healings.
    Agent {
        /// Agent id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Cases, the newest first.
    Cases {
        /// Only open or only closed ones.
        #[arg(long, value_name = "BOOL")]
        open: Option<bool>,
        /// Only of this agent.
        #[arg(long, value_name = "ID")]
        agent: Option<String>,
        /// At most this many.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// One case with its timeline.
    Case {
        /// Case id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Cases that wait for a person.
    Approvals,
    /// Healings, the newest first.
    Healings {
        /// At most this many.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// Immune memory: what helped whom against what.
    Memory,
    /// The action log, the newest first.
    Log {
        /// At most this many.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
}

/// Asks and prints.
///
/// # Errors
/// When standard output cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = args.server.output;
    let answer = match ask(&args).await {
        Ok(answer) => answer,
        Err(failure) => return Ok(failure.report(output)),
    };
    let text = match output {
        Output::Table => args.what.show(&answer, clock::system().now()),
        Output::Json => serde_json::to_string_pretty(&answer)?,
    };
    println!("{text}");
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &Args) -> Result<Value, Failure> {
    let (path, query) = args.what.request();
    Client::new(&args.server)?.get(&path, &query).await
}

impl What {
    /// Path and query.
    fn request(&self) -> (String, Vec<(&'static str, String)>) {
        let limited = |limit: &Option<u32>| limit.map(|n| ("limit", n.to_string())).into_iter().collect();
        match self {
            What::Agents => ("/api/agents".to_owned(), Vec::new()),
            What::Agent { id } => (format!("/api/agents/{}", segment(id)), Vec::new()),
            What::Cases { open, agent, limit } => {
                let mut query: Vec<_> = limited(limit);
                query.extend(open.map(|open| ("open", open.to_string())));
                query.extend(agent.clone().map(|agent| ("agent_id", agent)));
                ("/api/cases".to_owned(), query)
            }
            What::Case { id } => (format!("/api/cases/{}", segment(id)), Vec::new()),
            What::Approvals => ("/api/pending-approvals".to_owned(), Vec::new()),
            What::Healings { limit } => ("/api/healings".to_owned(), limited(limit)),
            What::Memory => ("/api/memory".to_owned(), Vec::new()),
            What::Log { limit } => ("/api/action-log".to_owned(), limited(limit)),
        }
    }

    /// The answer for people.
    fn show(&self, answer: &Value, now: Timestamp) -> String {
        let list = |columns: &[Column], what: &str| match rows(answer) {
            [] => format!("no {what}"),
            rows => table::list(columns, rows, now),
        };
        match self {
            What::Agents => list(
                &columns::AGENTS,
                "agents yet; point an agent's OTLP exporter at this server",
            ),
            What::Agent { .. } => facts::agent(answer, now),
            What::Cases { .. } => list(&columns::CASES, "cases"),
            What::Case { .. } => facts::case(answer, now),
            What::Approvals => list(&columns::APPROVALS, "case waits for a person"),
            What::Healings { .. } => list(&columns::HEALINGS, "healings"),
            What::Memory => list(&columns::MEMORY, "memory yet"),
            What::Log { .. } => list(&columns::LOG, "entries in the action log"),
        }
    }
}

/// The rows of a list: the answer itself, or the one list in its envelope.
pub(super) fn rows(answer: &Value) -> &[Value] {
    match answer {
        Value::Array(rows) => rows,
        Value::Object(fields) => fields
            .values()
            .find_map(Value::as_array)
            .map_or(&[], Vec::as_slice),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => &[],
    }
}
