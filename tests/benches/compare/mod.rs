//! `make bench-compare`: the product beside bare servers, peers and the limits of the machine, in turn, in one table.
//!
//! Processor time is compared in minima over the rounds: on a shared machine single runs differ by a factor of two, the
//! smallest of seven agree within a few per cent. Servers have one core, the load the other.

mod bare;
mod bus;
mod client;
mod fleet;
mod judging;
mod load;
mod pinned;
mod posted;
mod records;
mod requests;
mod spans;
mod table;
mod walk;
mod whole;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How to measure.
pub struct Settings {
    /// Rounds of everything that is measured in turn; at least 7 for figures that are told to others.
    rounds: usize,
    /// Where peers from PyPI are installed.
    tools: Option<PathBuf>,
    /// Parts that were asked for; none: all.
    parts: Vec<String>,
}

impl Settings {
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut settings = Settings {
            rounds: 7,
            tools: None,
            parts: Vec::new(),
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // cargo says it to every bench.
                "--bench" => {}
                "--rounds" => {
                    let rounds = arguments.next().and_then(|text| text.parse().ok());
                    let rounds = rounds.filter(|rounds| *rounds > 0);
                    settings.rounds = rounds.expect("--rounds takes a number from 1");
                }
                "--tools" => settings.tools = arguments.next().map(PathBuf::from),
                part if PARTS.contains(&part) => settings.parts.push(part.to_owned()),
                other => panic!("{other:?} is no part of the comparison; there are {PARTS:?}"),
            }
        }
        settings
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

const PARTS: [&str; 8] = [
    "spans",
    "posted",
    "judging",
    "bus",
    "records",
    "fleet",
    "alarms",
    "approvals",
];

pub fn run() {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|word| word == "sink").is_some() {
        let [kind, port] = [arguments.next(), arguments.next()].map(|word| word.expect("sink KIND PORT"));
        return bare::run(&kind, &port);
    }
    let settings = Settings::read(arguments);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let rows = runtime.block_on(all(&settings));
    rows.print();
}

async fn all(settings: &Settings) -> table::Table {
    let mut rows = table::Table::default();
    if settings.wants("spans") {
        spans::measure(settings, &mut rows).await;
    }
    if settings.wants("posted") {
        posted::measure(settings, &mut rows).await;
    }
    if settings.wants("judging") {
        judging::measure(settings, &mut rows);
    }
    if settings.wants("bus") {
        bus::measure(settings, &mut rows).await;
    }
    if settings.wants("records") {
        records::measure(settings, &mut rows).await;
    }
    if settings.wants("fleet") {
        fleet::measure(settings, &mut rows).await;
    }
    // These take both cores, as in `make bench`.
    pinned::anywhere();
    if settings.wants("alarms") {
        whole::alarms(&mut rows).await;
    }
    if settings.wants("approvals") {
        whole::approvals(&mut rows).await;
    }
    rows
}

/// The time of day, since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "agents have clocks of their own")]
fn now() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("the clock is set")
}

/// The smallest of what was measured.
fn smallest(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}
