//! `immune backtest`: would the executions on record have raised an alarm, and under another policy?

use super::client::{Client, Output, Server};
use super::failure::Failure;
use super::replay::policies;
use super::table::{self, Column, Shown, Tone};
use super::{out, pick};
use immune_domain::Timestamp;
use immune_runtime::clock;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Agents asked for at a time: what one question takes is well within the time that a client waits for an answer.
const PAGE: u64 = 5;

/// Arguments of `immune backtest`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Times are epoch seconds, or how long ago: 90s, 30m, 12h, 30d.\n\n\
    Each agent's stored executions are judged once more, by the policies that hold and by those of the file. Infections on \
    record are decided once more beside it: REPEATED says of how many the replay comes to the same, bit for bit."
)]
pub struct Args {
    /// Policies to compare with those that hold: the `policy` part of a configuration, or the whole of it.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Tell alarms from this time on; without it from the beginning.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Moment>,
    /// Tell alarms before this time; without it until now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Moment>,
    /// Only agents whose id begins like this.
    #[arg(long, value_name = "PREFIX", default_value = "")]
    agents: String,
    #[command(flatten)]
    server: Server,
}

/// A time on the command line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Moment {
    /// Epoch seconds.
    At(f64),
    /// So long ago.
    Ago(Duration),
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Moment::At(seconds)),
        Ok(_) => Err("must not be negative".to_owned()),
        Err(_) => super::keys::lasting(text).map(Moment::Ago),
    }
}

impl Moment {
    pub(super) fn epoch_seconds(self, now: Timestamp) -> f64 {
        match self {
            Moment::At(seconds) => seconds,
            Moment::Ago(ago) => now.minus(ago).as_epoch_seconds(),
        }
    }
}

/// Replays.
///
/// # Errors
/// When the policy file has mistakes, or nothing can be written.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let proposed = match &args.policy {
        Some(path) => Some(serde_json::to_value(policies(Some(path))?)?),
        None => None,
    };
    let now = clock::system().now();
    let agents = match replay(&args, proposed.as_ref(), now).await {
        Ok(agents) => agents,
        Err(failure) => return Ok(failure.report(args.server.output)?),
    };
    match args.server.output {
        Output::Json => out::line(&serde_json::to_string_pretty(&agents)?)?,
        Output::Table => {
            let alarmed: Vec<Value> = agents.iter().filter(|agent| is_told(agent)).cloned().collect();
            if !alarmed.is_empty() {
                out::line(&table::list(COLUMNS, &alarmed, now))?;
            }
            out::line(&sentence(&agents, proposed.is_some()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(args: &Args, proposed: Option<&Value>, now: Timestamp) -> Result<Vec<Value>, Failure> {
    let client = Client::new(&args.server)?;
    let mut body = Map::new();
    for (name, moment) in [("from", args.from), ("to", args.to)] {
        if let Some(moment) = moment {
            body.insert(name.to_owned(), json!(moment.epoch_seconds(now)));
        }
    }
    if let Some(proposed) = proposed {
        body.insert("policy".to_owned(), proposed.clone());
    }
    body.insert("limit".to_owned(), json!(PAGE));
    let mut found = Vec::new();
    loop {
        let answer = client.post("/api/backtest", &Value::Object(body.clone())).await?;
        let page = answer["agents"].as_array().cloned().unwrap_or_default();
        let is_wanted = |agent: &Value| {
            agent["agent_id"]
                .as_str()
                .is_some_and(|id| id.starts_with(&args.agents))
        };
        found.extend(page.into_iter().filter(is_wanted));
        let Some(next) = answer["next_after"].as_str() else {
            return Ok(found);
        };
        eprintln!("{} agents replayed, up to {next}", found.len());
        body.insert("after".to_owned(), json!(next));
    }
}

/// Whether there is something to say of an agent.
fn is_told(agent: &Value) -> bool {
    ["current", "proposed", "decisions"]
        .iter()
        .any(|list| count(agent, list) > 0)
}

fn count(agent: &Value, list: &str) -> usize {
    agent[list].as_array().map_or(0, Vec::len)
}

fn repeated(agent: &Value) -> usize {
    let decisions = agent["decisions"].as_array().into_iter().flatten();
    decisions
        .filter(|decision| decision["is_repeated"] == true)
        .count()
}

const COLUMNS: &[Column] = &[
    Column {
        title: "AGENT",
        cell: |agent, _| pick::text(agent, "/agent_id"),
    },
    Column {
        title: "EXECUTIONS",
        cell: |agent, _| pick::number(agent, "/executions", 0),
    },
    Column {
        title: "ALARMS",
        cell: |agent, _| Shown::plain(count(agent, "current").to_string()),
    },
    Column {
        title: "PROPOSED",
        cell: |agent, _| match agent["proposed"].is_null() {
            true => Shown::plain("-"),
            false => Shown::plain(count(agent, "proposed").to_string()),
        },
    },
    Column {
        title: "FIRST",
        cell: |agent, _| pick::moment(agent, first(agent, "/at")),
    },
    Column {
        title: "SEVERITY",
        cell: |agent, _| pick::severity(agent, first(agent, "/severity")),
    },
    Column {
        title: "DIAGNOSIS",
        cell: |agent, _| pick::text(agent, first(agent, "/diagnosis")),
    },
    Column {
        title: "REPEATED",
        cell: |agent, _| {
            let (same, all) = (repeated(agent), count(agent, "decisions"));
            let tone = if same == all { Tone::Plain } else { Tone::Warning };
            Shown::plain(format!("{same} of {all}")).meant(tone)
        },
    },
];

/// Where the first alarm stands: of the policies that hold, else of the proposed ones.
fn first(agent: &Value, field: &str) -> &'static str {
    let is_current = count(agent, "current") > 0;
    match (is_current, field) {
        (true, "/at") => "/current/0/at",
        (true, "/severity") => "/current/0/severity",
        (true, _) => "/current/0/diagnosis",
        (false, "/at") => "/proposed/0/at",
        (false, "/severity") => "/proposed/0/severity",
        (false, _) => "/proposed/0/diagnosis",
    }
}

/// All of it in a sentence or three.
fn sentence(agents: &[Value], has_proposed: bool) -> String {
    let sum = |of: &dyn Fn(&Value) -> usize| agents.iter().map(of).sum::<usize>();
    let alarmed = |list: &'static str| agents.iter().filter(|agent| count(agent, list) > 0).count();
    let executions = sum(&|agent| agent["executions"].as_u64().unwrap_or(0) as usize);
    let mut said = format!(
        "{} agents, {executions} executions: {} alarms of {} agents",
        agents.len(),
        sum(&|agent| count(agent, "current")),
        alarmed("current")
    );
    if has_proposed {
        let alarms = sum(&|agent| count(agent, "proposed"));
        said += &format!("; as proposed {alarms} alarms of {} agents", alarmed("proposed"));
    }
    let decisions = sum(&|agent| count(agent, "decisions"));
    if decisions > 0 {
        said += &format!(
            "; {} of {decisions} decisions on record repeated bit for bit",
            sum(&repeated)
        );
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: a time is epoch seconds or how long ago; anything else is a usage error.
    #[test]
    fn times_of_two_kinds() {
        let now = Timestamp::from_epoch_seconds(1_000_000.0).expect("in range");
        assert_eq!(moment("12.5").map(|moment| moment.epoch_seconds(now)), Ok(12.5));
        assert_eq!(
            moment("1h").map(|moment| moment.epoch_seconds(now)),
            Ok(996_400.0)
        );
        assert!(moment("-1").is_err() && moment("yesterday").is_err());
    }

    /// Guarantees: the sentence counts alarms, agents and repeated decisions of both sides.
    #[test]
    fn the_sentence_counts() {
        let sick = json!({ "agent_id": "a", "executions": 40, "current": [{}, {}], "proposed": [{}],
            "decisions": [{ "is_repeated": true }, { "is_repeated": false }] });
        let well =
            json!({ "agent_id": "b", "executions": 2, "current": [], "proposed": [], "decisions": [] });
        assert!(is_told(&sick) && !is_told(&well));
        assert_eq!(
            sentence(&[sick, well], true),
            "2 agents, 42 executions: 2 alarms of 1 agents; as proposed 1 alarms of 1 agents; \
             1 of 2 decisions on record repeated bit for bit"
        );
    }
}
