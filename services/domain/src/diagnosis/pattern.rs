//! What the rules of diagnosis look at.

use crate::detection::guarded::Evidence;
use crate::detection::{Judgement, WindowSummary};
use crate::vitals::{Metric, RepeatedCall};

/// What is known beside the numbers of the window.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Clues {
    /// Whether the fingerprint of the prompt differs from that of the last healthy execution; `None` where telemetry
    /// does not tell it of both.
    pub prompt_changed: Option<bool>,
    /// The model of the last healthy execution and of this one, where they differ.
    pub model_changed: Option<(String, String)>,
    /// The set of tools on offer differs from that of the last healthy execution.
    pub tools_changed: bool,
    /// Tools of the latest execution that no healthy one has called, while the agent's usual ones are known.
    pub new_tools: Vec<String>,
    /// The call that the latest execution made most often with the same arguments.
    pub repeated_call: Option<RepeatedCall>,
    /// The latest execution called one tool only: its name.
    pub only_tool: Option<String>,
    /// Cost of the latest execution, US dollars.
    pub cost: Option<f64>,
    /// Cost of a healthy execution, US dollars, on average.
    pub usual_cost: Option<f64>,
    /// The platform's own word that the agent is infected.
    pub platform_word: Option<String>,
    /// What the guarded detector saw, where it says that the agent is infected.
    pub evidence: Option<Evidence>,
    /// The evidence is of an execution that still runs.
    pub is_running: bool,
}

/// A judged window with its clues.
#[derive(Debug, Clone, Copy)]
pub struct Pattern<'a> {
    /// What the rule said.
    pub judgement: &'a Judgement,
    /// The window in numbers.
    pub window: &'a WindowSummary,
    /// What else is known.
    pub clues: &'a Clues,
}

/// A metric that moved, in numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Move {
    pub(super) metric: Metric,
    pub(super) deviation: f64,
    pub(super) average: f64,
    pub(super) mean: f64,
    pub(super) is_anomalous: bool,
}

impl Move {
    pub(super) fn is_up(&self) -> bool {
        self.average > self.mean
    }

    /// `tool calls are 41.0 per execution, 14.2 standard deviations above the usual 3.1`
    pub(super) fn sentence(&self) -> String {
        let (what, unit) = match self.metric {
            Metric::Latency => ("latency is", " ms"),
            Metric::Tokens => ("tokens are", " per execution"),
            Metric::Tools => ("tool calls are", " per execution"),
        };
        let direction = if self.is_up() { "above" } else { "below" };
        format!(
            "{what} {:.1}{unit}, {:.1} standard deviations {direction} the usual {:.1}",
            self.average, self.deviation, self.mean
        )
    }
}

impl Pattern<'_> {
    /// How a metric stands, `None` where nothing can be said.
    pub(super) fn of(&self, metric: Metric) -> Option<Move> {
        let i = metric.index();
        Some(Move {
            metric,
            deviation: self.judgement.deviations.of(metric)?,
            average: self.window.averages[i]?,
            mean: self.window.means[i]?,
            is_anomalous: self.judgement.anomalous[i],
        })
    }

    /// How a metric stands, if it is an anomaly.
    pub(super) fn anomaly(&self, metric: Metric) -> Option<Move> {
        self.of(metric).filter(|found| found.is_anomalous)
    }

    /// Whether this metric is the only anomalous one; the retry rate does not count.
    pub(super) fn is_alone(&self, metric: Metric) -> bool {
        Metric::ALL
            .into_iter()
            .all(|other| self.judgement.anomalous[other.index()] == (other == metric))
    }

    /// Whether no metric rose by more standard deviations.
    pub(super) fn is_up_most(&self, found: &Move) -> bool {
        let rises = Metric::ALL
            .into_iter()
            .filter_map(|metric| self.of(metric))
            .filter(Move::is_up);
        found.is_up() && rises.into_iter().all(|other| other.deviation <= found.deviation)
    }

    /// Share of the last executions that failed and that had a retry, as the evidence counts them.
    pub(super) fn evident_shares(&self) -> [f64; 2] {
        self.clues
            .evidence
            .map_or([0.0; 2], |evidence| evidence.shares.map(f64::from))
    }

    /// `40 % of 5 executions`
    pub(super) fn share(&self, share: f64) -> String {
        format!("{:.0} % of {} executions", share * 100.0, self.window.executions)
    }
}
