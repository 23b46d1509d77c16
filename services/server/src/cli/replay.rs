//! `immune replay`: recorded executions judged once more, by the code that judges live, in virtual time. What would a
//! policy have said about last month?

mod otlp;
mod output;
mod rows;
mod streams;

use anyhow::Context;
use immune_domain::policy::{Detector, Policies};
use immune_runtime::config::Mistakes;
use immune_sentinel::replay::Settings;
use output::Output;
use rows::Rows;
use serde_json::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use streams::{Line, Rules, Streams};

/// Rows between two words on how far it is.
const PROGRESS_EVERY: u64 = 250_000;

/// Arguments of `immune replay`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "A row is one execution that ended: \
    {\"stream\",\"t\",\"agent_id\",\"latency_ms\",\"token_count\",\"tool_calls\",\"retries\",\"success\"}; t in seconds, \
    never going back within a stream; null is what was not measured; other fields are ignored. One line is written per \
    execution in alarm, and another when a second later makes it worse: \
    {\"stream\",\"t\",\"severity\",\"anomalies\",\"diagnosis\"}. Every stream begins without a baseline. Nobody acts on \
    the agents: they go on as they were recorded.\n\n\
    Exit status: 0 replayed, 1 a file cannot be read or a row is none, 2 wrong usage or policy.")]
pub struct Args {
    /// Recorded executions: JSON lines, plain or gzip.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    streams: Vec<PathBuf>,
    /// Where the alarms go, JSON lines; `-` is standard output.
    #[arg(long, value_name = "OUT")]
    detections: PathBuf,
    /// Who decides that an agent is infected; else policy says so.
    #[arg(long, value_enum, value_name = "WHO")]
    detector: Option<Who>,
    /// Policy: a server's configuration, of which the policy is read, or a policy alone (defaults, rules).
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The run that the agents are taken to belong to, for policy.
    #[arg(long, default_value = "default", value_name = "RUN")]
    run: String,
    /// Which alarms are written.
    #[arg(long, value_enum, default_value_t = Alarms::Each, value_name = "WHICH")]
    alarms: Alarms,
    /// What a row is before it is judged.
    #[arg(long, value_enum, default_value_t = Through::Records, value_name = "WHAT")]
    through: Through,
}

/// What a row is before it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Through {
    /// The record that it is.
    Records,
    /// OTLP spans, which ingestion reads.
    Otlp,
}

/// A detector, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Who {
    /// The specified rule alone.
    Specified,
    /// The evidence.
    Guarded,
}

/// Which alarms are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Alarms {
    /// Every execution that is in alarm: what a quarantine would have blocked.
    Each,
    /// Where one begins, after ten quiet executions: what a person would have been told.
    First,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    lines: u64,
    begun: u64,
}

/// Replays.
///
/// # Errors
/// When a file cannot be read or written, a row is malformed (with file and line), or the policy has mistakes.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(move || replay(&args))
        .await
        .context("the replay did not end by itself")??;
    Ok(ExitCode::SUCCESS)
}

fn replay(args: &Args) -> anyhow::Result<()> {
    let baseline = immune_baseline::Config::default();
    let mut streams = Streams::new(Rules {
        run: args.run.as_str().into(),
        policies: policies(args.policy.as_deref())?.compile(),
        is_otlp: match args.through {
            Through::Records => false,
            Through::Otlp => true,
        },
        detector: args.detector.map(|who| match who {
            Who::Specified => Detector::Specified,
            Who::Guarded => Detector::Guarded,
        }),
        settings: Settings {
            severity_growth_min: immune_sentinel::Config::default().severity_growth_min,
            learn_late: Duration::from_secs(baseline.learn_late_seconds),
            stale_after: Duration::from_secs(baseline.stale_after_seconds),
        },
    });
    // All of them before the first: a name that is wrong shows at once and not after an hour.
    let files: Vec<Rows> = args
        .streams
        .iter()
        .map(|path| Rows::open(path))
        .collect::<Result<_, _>>()?;
    let mut out = Output::create(&args.detections)?;
    let mut counts = Counts::default();
    let mut write = |line: Line<'_>| {
        counts.begun += u64::from(line.begins);
        let is_wanted = match args.alarms {
            Alarms::Each => true,
            Alarms::First => line.begins,
        };
        if is_wanted {
            counts.lines += 1;
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    };
    for mut rows in files {
        while let Some(row) = rows.next()? {
            streams.take(&row, &mut write).with_context(|| rows.place())?;
            if streams.rows().is_multiple_of(PROGRESS_EVERY) {
                say(&format!("{} rows, {} streams", streams.rows(), streams.count()));
            }
        }
    }
    streams.end(&mut write)?;
    out.finish()?;
    say(&format!(
        "{} streams, {} executions: {} alarms begun, {} lines in {}",
        streams.count(),
        streams.rows(),
        counts.begun,
        counts.lines,
        args.detections.display()
    ));
    Ok(())
}

/// The policy of a file.
///
/// # Errors
/// All of its mistakes.
pub(super) fn policies(path: Option<&Path>) -> anyhow::Result<Policies> {
    let Some(path) = path else {
        return Ok(Policies::default());
    };
    let mistake = |what: &dyn std::fmt::Display| Mistakes(vec![format!("{}: {what}", path.display())]);
    let text = std::fs::read_to_string(path).map_err(|error| mistake(&error))?;
    let mut tree: Value = serde_norway::from_str(&text).map_err(|error| mistake(&error))?;
    if let Some(policy) = tree.get_mut("policy") {
        tree = policy.take();
    }
    let policies: Policies = serde_json::from_value(tree).map_err(|error| mistake(&error))?;
    let mut mistakes = Vec::new();
    policies.check("policy", &mut mistakes);
    match mistakes.is_empty() {
        true => Ok(policies),
        false => Err(Mistakes(mistakes).into()),
    }
}

/// Says something to whoever watches; standard output is for alarms.
fn say(line: &str) {
    // Nobody watching is no failure.
    let _ = writeln!(std::io::stderr(), "{line}");
}
