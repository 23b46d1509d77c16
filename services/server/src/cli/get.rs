//! `immune get ...`: what a running server knows.

mod columns;
mod facts;

use super::client::{Client, Output, Page, Server, segment};
use super::failure::Failure;
use super::out;
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
    /// Agents of the run, ordered by id.
    Agents {
        /// Only `healthy` (and heard), `infected`, `quarantined`, `suspect`, `silent` or `gone` ones.
        #[arg(long)]
        status: Option<String>,
        /// Begin after this agent.
        #[arg(long, value_name = "AGENT")]
        after: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// One agent: its vitals beside its baseline, its cases, healings and memory.
    Agent {
        /// Agent id.
        #[arg(value_name = "AGENT")]
        id: String,
    },
    /// Cases, the newest first.
    Cases {
        /// Only open (true) or only closed (false) ones.
        #[arg(long, value_name = "BOOL")]
        open: Option<bool>,
        /// Only in these states: awaiting_approval, rejected, heal_queued, healing, probation, healed, released.
        #[arg(long, value_delimiter = ',')]
        state: Vec<String>,
        /// Only of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Begin after this case, with the next older one.
        #[arg(long, value_name = "CASE")]
        before: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// One case with its evidence, its timeline and what would be done next.
    Case {
        /// Case id.
        #[arg(value_name = "CASE")]
        id: String,
    },
    /// Agents that wait for a person's decision, the oldest first.
    Approvals,
    /// Fleet incidents: many agents that departed at once. Open ones first, the newest first.
    Incidents,
    /// Healings, the newest first.
    Healings {
        /// Only of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Only of this case.
        #[arg(long)]
        case: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Immune memory: what helped whom against what.
    Memory {
        /// Only of this agent.
        #[arg(long)]
        agent: Option<String>,
        /// Only of this diagnosis.
        #[arg(long)]
        diagnosis: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// The action log, the newest first.
    Log {
        /// Only rows older than the one with this sequence.
        #[arg(long, value_name = "SEQUENCE")]
        before: Option<u64>,
        #[command(flatten)]
        limit: Limit,
    },
}

/// How many rows.
#[derive(Debug, Clone, clap::Args)]
struct Limit {
    /// At most this many; the server has a default and a maximum.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// Asks and prints.
///
/// # Errors
/// When standard output cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let output = args.server.output;
    let page = match ask(&args).await {
        Ok(page) => page,
        Err(failure) => return Ok(failure.report(output)?),
    };
    let text = match output {
        Output::Table => args.what.show(&page.body, clock::system().now()),
        Output::Json => serde_json::to_string_pretty(&page.body)?,
    };
    out::line(&text)?;
    if let (Some(next), Some(option)) = (page.next, args.what.paged_by()) {
        eprintln!("there are more: go on with {option} {next}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &Args) -> Result<Page, Failure> {
    let (path, query) = args.what.request();
    Client::new(&args.server)?.page(&path, &query).await
}

impl What {
    /// Path and query.
    fn request(&self) -> (String, Vec<(&'static str, String)>) {
        let (path, query): (&str, Vec<(&'static str, Option<String>)>) = match self {
            What::Agent { id } => return (format!("/api/agents/{}", segment(id)), Vec::new()),
            What::Case { id } => return (format!("/api/cases/{}", segment(id)), Vec::new()),
            What::Approvals => ("/api/pending-approvals", Vec::new()),
            What::Incidents => ("/api/incidents", Vec::new()),
            What::Agents { status, after, limit } => (
                "/api/agents",
                vec![
                    ("status", status.clone()),
                    ("after", after.clone()),
                    limit.query(),
                ],
            ),
            What::Cases {
                open,
                state,
                agent,
                before,
                limit,
            } => {
                let states = (!state.is_empty()).then(|| state.join(","));
                let query = vec![
                    ("open", open.map(|open| open.to_string())),
                    ("state", states),
                    ("agent_id", agent.clone()),
                    ("before", before.clone()),
                    limit.query(),
                ];
                ("/api/cases", query)
            }
            What::Healings { agent, case, limit } => (
                "/api/healings",
                vec![
                    ("agent_id", agent.clone()),
                    ("case_id", case.clone()),
                    limit.query(),
                ],
            ),
            What::Memory {
                agent,
                diagnosis,
                limit,
            } => {
                let query = vec![
                    ("agent_id", agent.clone()),
                    ("diagnosis_type", diagnosis.clone()),
                    limit.query(),
                ];
                ("/api/memory", query)
            }
            What::Log { before, limit } => (
                "/api/action-log",
                vec![("before", before.map(|n| n.to_string())), limit.query()],
            ),
        };
        (
            path.to_owned(),
            query
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        )
    }

    /// The option that asks for the next page.
    fn paged_by(&self) -> Option<&'static str> {
        match self {
            What::Agents { .. } => Some("--after"),
            What::Cases { .. } => Some("--before"),
            What::Agent { .. }
            | What::Case { .. }
            | What::Approvals
            | What::Incidents
            | What::Healings { .. }
            | What::Memory { .. }
            | What::Log { .. } => None,
        }
    }

    /// The answer for people.
    fn show(&self, answer: &Value, now: Timestamp) -> String {
        let list = |columns: &[Column], what: &str| match rows(answer) {
            [] => format!("no {what}"),
            rows => table::list(columns, rows, now),
        };
        match self {
            What::Agents { .. } => list(
                &columns::AGENTS,
                "agents yet; point an agent's OTLP exporter at this server",
            ),
            What::Agent { .. } => facts::agent(answer, now),
            What::Cases { .. } => list(&columns::CASES, "cases"),
            What::Case { .. } => facts::case(answer, now),
            What::Approvals => list(&columns::APPROVALS, "case waits for a person"),
            What::Incidents => list(&columns::INCIDENTS, "fleet incidents"),
            What::Healings { .. } => list(&columns::HEALINGS, "healings"),
            What::Memory { .. } => list(&columns::MEMORY, "memory yet"),
            What::Log { .. } => list(&columns::LOG, "entries in the action log"),
        }
    }
}

impl Limit {
    fn query(&self) -> (&'static str, Option<String>) {
        ("limit", self.limit.map(|limit| limit.to_string()))
    }
}

/// The rows of a list.
pub(super) fn rows(answer: &Value) -> &[Value] {
    answer.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn request(line: &str) -> String {
        let words = std::iter::once("get").chain(line.split(' '));
        let (path, query) = Line::try_parse_from(words)
            .expect("a right line")
            .args
            .what
            .request();
        let query: Vec<String> = query
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("{path}?{}", query.join("&"))
    }

    /// Guarantees: each line of the contract asks for its path, with its filters, and ids stay one segment.
    #[test]
    fn lines_become_requests() {
        assert_eq!(
            request("agents --status infected --limit 5"),
            "/api/agents?status=infected&limit=5"
        );
        assert_eq!(request("agent shop/checkout"), "/api/agents/shop%2Fcheckout?");
        assert_eq!(
            request("cases --open true --state healing,probation --agent a -o json"),
            "/api/cases?open=true&state=healing,probation&agent_id=a"
        );
        assert_eq!(request("case c-1"), "/api/cases/c-1?");
        assert_eq!(request("approvals"), "/api/pending-approvals?");
        assert_eq!(request("incidents"), "/api/incidents?");
        assert_eq!(request("healings --case c-1"), "/api/healings?case_id=c-1");
        assert_eq!(
            request("memory --diagnosis prompt_drift"),
            "/api/memory?diagnosis_type=prompt_drift"
        );
        assert_eq!(
            request("log --before 7 --limit 1"),
            "/api/action-log?before=7&limit=1"
        );
    }

    /// Guarantees: what is wrong is refused before anything is sent, with the status of a usage error.
    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "get",
            "get agent",
            "get cases --limit 0",
            "get cases --open maybe",
            "get pods",
        ] {
            let error = Line::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }
}
