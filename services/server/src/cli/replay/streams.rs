//! The streams of a replay: one agent each, however they are mixed in the files.

use super::otlp::Otlp;
use super::rows::Row;
use anyhow::bail;
use immune_domain::detection::Anomaly;
use immune_domain::diagnosis::Diagnosis;
use immune_domain::policy::{Compiled, Detector, Policy};
use immune_domain::vitals::{Completeness, Context, Source, Vitals, is_task_type};
use immune_domain::{AgentKey, RunId, Timestamp};
use immune_sentinel::replay::{Alarm, Replay, Settings};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Streams that are followed at the same time. Beyond it the one whose last row lies furthest back is over.
pub const OPEN_MAX: usize = 1_024;
/// Streams in all, so that those that are over can be told from new ones.
const STREAMS_MAX: usize = 10_000_000;

/// Where a stream's second 0 lies, so that an execution that began before it does not begin before 1970, which is
/// where time begins here. A whole number of seconds: the seconds at which agents are looked at stay the stream's.
const ORIGIN: Duration = Duration::from_secs(1_000_000_000);

/// One line of the output.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line<'a> {
    /// Which stream.
    pub stream: &'a str,
    /// When, seconds on its clock.
    pub t: f64,
    /// 0 to 10.
    pub severity: f64,
    /// What departed.
    pub anomalies: &'a [Anomaly],
    /// The likeliest name for it.
    pub diagnosis: Diagnosis,
    /// Whether the alarm begins here.
    #[serde(skip)]
    pub begins: bool,
}

/// How agents are judged.
pub struct Rules {
    /// The run that they are taken to belong to.
    pub run: RunId,
    /// Which policy holds for which.
    pub policies: Compiled,
    /// Who decides, whatever policy says.
    pub detector: Option<Detector>,
    /// Whether rows are sent to ingestion as spans.
    pub is_otlp: bool,
    /// As the roles are configured.
    pub settings: Settings,
}

struct Open {
    replay: Replay,
    key: AgentKey,
    t: f64,
    rows: u64,
    /// Number of the row, of all, that was its last.
    touched: u64,
}

/// All streams of a replay.
pub struct Streams {
    otlp: Option<Otlp>,
    rules: Rules,
    open: HashMap<String, Open>,
    over: HashSet<u64>,
    rows: u64,
    alarms: Vec<Alarm>,
}

impl Streams {
    /// None yet.
    pub fn new(rules: Rules) -> Self {
        Streams {
            otlp: rules.is_otlp.then(Otlp::new),
            rules,
            open: HashMap::new(),
            over: HashSet::new(),
            rows: 0,
            alarms: Vec::new(),
        }
    }

    /// Streams seen.
    pub fn count(&self) -> usize {
        self.open.len() + self.over.len()
    }

    /// Rows taken.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Judges a row.
    ///
    /// # Errors
    /// When it comes before the row before it, goes on with a stream that is over, or there are too many streams; when
    /// ingestion makes no execution of its spans;
    /// `write`'s errors.
    pub fn take(
        &mut self,
        row: &Row,
        mut write: impl FnMut(Line<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.rows += 1;
        if !self.open.contains_key(&row.stream) {
            self.begin(row, &mut write)?;
        }
        let Some(open) = self.open.get_mut(&row.stream) else {
            return Ok(());
        };
        if row.t < open.t {
            bail!(
                "t = {} lies before {}, the row before it of stream {:?}",
                row.t,
                open.t,
                row.stream
            );
        }
        let before = open.t;
        (open.t, open.touched) = (row.t, self.rows);
        open.rows += 1;
        let vitals = match &mut self.otlp {
            Some(otlp) => otlp.read(row, &open.key, at(row.t))?,
            None => vitals(row, &open.key, open.rows),
        };
        self.alarms.clear();
        open.replay.take(&vitals, &mut self.alarms);
        tell(&row.stream, &self.alarms, &[before, row.t], &mut write)
    }

    /// No row follows.
    ///
    /// # Errors
    /// `write`'s.
    pub fn end(&mut self, mut write: impl FnMut(Line<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut open: Vec<(String, Open)> = self.open.drain().collect();
        open.sort_by_key(|(_, open)| open.touched);
        for (stream, open) in open {
            self.close(&stream, open, &mut write)?;
        }
        Ok(())
    }

    fn begin(
        &mut self,
        row: &Row,
        write: &mut impl FnMut(Line<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.over.contains(&fingerprint(&row.stream)) {
            bail!(
                "stream {:?} goes on after {OPEN_MAX} others had rows: sort the rows by stream, or by time in files of \
                 fewer streams",
                row.stream
            );
        }
        if self.count() >= STREAMS_MAX {
            bail!("more than {STREAMS_MAX} streams: replay fewer at once");
        }
        if self.open.len() >= OPEN_MAX {
            let longest_ago = self.open.iter().min_by_key(|(_, open)| open.touched);
            let longest_ago = longest_ago.map(|(stream, _)| stream.clone());
            if let Some((stream, open)) = longest_ago.and_then(|stream| self.open.remove_entry(&stream)) {
                self.close(&stream, open, write)?;
            }
        }
        let agent = row.agent_id.as_deref().unwrap_or(&row.stream);
        let key = AgentKey::new(self.rules.run.clone(), agent);
        let policy = self.policy(&key);
        let open = Open {
            replay: Replay::new(key.clone(), policy, self.rules.settings),
            key,
            t: row.t,
            rows: 0,
            touched: self.rows,
        };
        self.open.insert(row.stream.clone(), open);
        Ok(())
    }

    fn policy(&self, key: &AgentKey) -> Arc<Policy> {
        let policy = self.rules.policies.resolve(&key.run, &key.agent, None, None);
        match self.rules.detector {
            Some(detector) if detector != policy.detector => Arc::new(Policy {
                detector,
                ..Policy::clone(policy)
            }),
            Some(_) | None => policy.clone(),
        }
    }

    fn close(
        &mut self,
        stream: &str,
        mut open: Open,
        write: &mut impl FnMut(Line<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.over.insert(fingerprint(stream));
        self.alarms.clear();
        open.replay.end(&mut self.alarms);
        tell(stream, &self.alarms, &[open.t], write)
    }
}

/// Writes alarms. One that came with a row has the row's own `t`, to the last digit.
fn tell(
    stream: &str,
    alarms: &[Alarm],
    rows: &[f64],
    write: &mut impl FnMut(Line<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for alarm in alarms {
        let row = rows.iter().rev().find(|t| at(**t) == alarm.at);
        write(Line {
            stream,
            t: row
                .copied()
                .unwrap_or_else(|| alarm.at.minus(ORIGIN).as_epoch_seconds()),
            severity: alarm.severity,
            anomalies: &alarm.anomalies,
            diagnosis: alarm.diagnosis,
            begins: alarm.begins,
        })?;
    }
    Ok(())
}

fn vitals(row: &Row, key: &AgentKey, number: u64) -> Vitals {
    let ended = at(row.t);
    let latency_ms = row.latency_ms.unwrap_or(f64::NAN);
    let began = Duration::try_from_secs_f64(latency_ms / 1e3).unwrap_or_default();
    Vitals {
        key: key.clone(),
        execution: number.to_string().into(),
        revision: 0,
        started_at: ended.minus(began.min(ORIGIN)),
        timestamp: ended,
        received_at: ended,
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: row.token_count.map(|n| n as u64),
        tool_calls: row.tool_calls.map(|n| n as u32),
        retries: row.retries.map(|n| n as u32),
        success: row.success.unwrap_or(true),
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(Context {
            task_type: row.task.clone().filter(|task| is_task_type(task)),
            ..Context::default()
        }),
    }
}

/// The virtual time of a second of a stream.
fn at(t: f64) -> Timestamp {
    // Whole and part apart: together they would lose digits.
    Timestamp::EPOCH
        .plus(ORIGIN)
        .plus(Duration::from_micros((t * 1e6).round() as u64))
}

/// 64 bits for a name: of ten million streams two would be taken for one in 400,000 replays.
fn fingerprint(stream: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    stream.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;
