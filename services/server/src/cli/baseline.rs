//! `immune baseline`: what is normal for an agent, and what a person does to it.

use super::backtest::{Moment, moment};
use super::client::{Client, Output, Server, segment};
use super::failure::Failure;
use super::table::{self, Column, Shown, Tone};
use super::{out, pick};
use anyhow::Context as _;
use immune_domain::Timestamp;
use immune_runtime::clock;
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// The largest file that is read: a baseline has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// Arguments of `immune baseline`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Times are epoch seconds, or how long ago: 90s, 30m, 12h, 30d.\n\n\
    A baseline that a person has reset or set counts from then on: executions that began before say nothing about the \
    agent. Every act is in the action log with the reason."
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    server: Server,
}

/// Which agent, and why.
#[derive(Debug, Clone, clap::Args)]
struct Act {
    /// Id of the agent; `immune get agents` shows it.
    agent: String,
    /// Why; it is kept in the action log.
    #[arg(long)]
    reason: String,
}

/// What to do with the baseline.
#[derive(Debug, Clone, clap::Subcommand)]
enum What {
    /// Show it.
    Show {
        /// Id of the agent.
        agent: String,
    },
    /// Forget what is normal and learn it anew.
    Reset(Act),
    /// Learn nothing from now on; judge on by what is known.
    Freeze(Act),
    /// Learn again.
    Unfreeze(Act),
    /// Take the executions of a range of time for normal, and stay there.
    Pin {
        #[command(flatten)]
        act: Act,
        /// From this time on.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: Moment,
        /// Before this time; without it until now.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        to: Option<Moment>,
    },
    /// Take the present level for normal.
    Accept {
        #[command(flatten)]
        act: Act,
        /// Executions from this time on; without it, those since the baseline last learned.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        from: Option<Moment>,
    },
    /// Print it as JSON, to be kept or given to another agent.
    Export {
        /// Id of the agent.
        agent: String,
    },
    /// Take the numbers of a file that `export` has printed.
    Import {
        #[command(flatten)]
        act: Act,
        /// The file; `-` is standard input.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// One metric per row.
const METRICS: [Column; 4] = [
    column("METRIC", |row, _| pick::text(row, "/name")),
    column("MEAN", |row, _| number(row, "/mean")),
    column("STDDEV", |row, _| number(row, "/stddev")),
    column("EXECUTIONS", |row, _| pick::text(row, "/count")),
];

const fn column(title: &'static str, cell: fn(&Value, Timestamp) -> Shown) -> Column {
    Column { title, cell }
}

fn number(row: &Value, at: &str) -> Shown {
    match row.pointer(at).and_then(Value::as_f64) {
        Some(number) => Shown::plain(format!("{number:.1}")),
        None => pick::text(row, at),
    }
}

/// Asks and prints.
///
/// # Errors
/// When the file cannot be read, or standard output cannot be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let now = clock::system().now();
    let imported = match &args.what {
        What::Import { file, .. } => Some(read(file)?),
        What::Show { .. }
        | What::Reset(_)
        | What::Freeze(_)
        | What::Unfreeze(_)
        | What::Pin { .. }
        | What::Accept { .. }
        | What::Export { .. } => None,
    };
    let answer = match ask(&args, imported, now).await {
        Ok(answer) => answer,
        Err(failure) => return Ok(failure.report(args.server.output)?),
    };
    let is_json = args.server.output == Output::Json || matches!(args.what, What::Export { .. });
    if is_json {
        out::line(&serde_json::to_string_pretty(&answer)?)?;
    } else if let What::Reset(act) = &args.what {
        let told = match answer["existed"].as_bool() {
            Some(true) => "reset; it learns anew",
            Some(false) | None => "there was no baseline to reset",
        };
        out::line(&format!("{}: {told}", act.agent))?;
    } else {
        out::line(&shown(&answer, now))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(args: &Args, imported: Option<Value>, now: Timestamp) -> Result<Value, Failure> {
    let client = Client::new(&args.server)?;
    let path = |agent: &str| format!("/api/agents/{}/baseline", segment(agent));
    let (verb, act, mut body) = match &args.what {
        What::Show { agent } | What::Export { agent } => return client.get(&path(agent), &[]).await,
        What::Reset(act) => ("reset", act, json!({})),
        What::Freeze(act) => ("freeze", act, json!({})),
        What::Unfreeze(act) => ("unfreeze", act, json!({})),
        What::Pin { act, from, to } => {
            let to = to.map(|to| to.epoch_seconds(now));
            ("pin", act, json!({ "from": from.epoch_seconds(now), "to": to }))
        }
        What::Accept { act, from } => {
            let from = from.map(|from| from.epoch_seconds(now));
            ("accept", act, json!({ "from": from }))
        }
        What::Import { act, .. } => ("import", act, imported.unwrap_or_default()),
    };
    body["reason"] = json!(act.reason);
    client.post(&format!("{}/{verb}", path(&act.agent)), &body).await
}

/// Reads a document of a bounded size.
fn read(file: &PathBuf) -> anyhow::Result<Value> {
    let is_stdin = file.as_os_str() == "-";
    let source: Box<dyn std::io::Read> = if is_stdin {
        Box::new(std::io::stdin())
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
        Box::new(opened)
    };
    let mut text = String::new();
    source
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let document: Value = serde_json::from_str(&text)
        .with_context(|| format!("{} is not JSON of at most {FILE_BYTES_MAX} bytes", file.display()))?;
    anyhow::ensure!(document.is_object(), "{} is not a JSON object", file.display());
    Ok(document)
}

fn shown(baseline: &Value, now: Timestamp) -> String {
    let state = pick::text(baseline, "/state");
    let tone = match baseline["state"].as_str() {
        Some("active") => Tone::Good,
        Some("stale" | "suspect") => Tone::Warning,
        _ => Tone::Plain,
    };
    let frozen = match baseline["is_frozen"].as_bool() {
        Some(true) => "no, it is frozen",
        Some(false) | None => "yes",
    };
    let version = match baseline["version"]["epoch"].as_u64() {
        Some(epoch) => Shown::plain(format!(
            "{epoch} ({})",
            baseline["version"]["origin"].as_str().unwrap_or_default()
        )),
        None => Shown::plain("0"),
    };
    let facts = table::facts(vec![
        ("Agent", pick::text(baseline, "/agent_id")),
        ("State", state.meant(tone)),
        ("Learns", Shown::plain(frozen)),
        ("Executions", pick::text(baseline, "/samples")),
        ("Version", version),
        ("Changed", pick::age(baseline, "/updated_at", now)),
    ]);
    let rows: Vec<Value> = ["latency", "tokens", "tools"]
        .map(|name| {
            let mut row = baseline["metrics"][name].clone();
            row["name"] = json!(name);
            row
        })
        .into();
    format!("{facts}\n\n{}", table::list(&METRICS, &rows, now))
}
