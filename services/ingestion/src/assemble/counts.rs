//! What became of what was sent, counted.

use super::reading::Refusal;

/// What became of the spans of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Spans taken in, repeated and folded ones included.
    pub accepted: u64,
    /// Spans refused, by reason; the sender is told in OTLP's partial success.
    pub rejected: Vec<(Refusal, u64)>,
    /// Accepted spans that were known already: the sender repeated a batch.
    pub repeated: u64,
    /// Accepted spans of a full trace of which only tokens and tool calls were kept.
    pub folded: u64,
    /// Accepted spans from more than five minutes ahead of our clock, moved back to now.
    pub ahead: u64,
    /// Accepted spans of executions that were finished and forgotten; they change nothing any more.
    pub too_late: u64,
}

impl Accepted {
    /// How many spans were refused.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.iter().map(|(_, count)| count).sum()
    }

    /// The message of OTLP's partial success, empty when nothing was refused.
    pub fn message(&self) -> String {
        let reasons: Vec<String> = self
            .rejected
            .iter()
            .map(|(reason, count)| format!("{count} x {}", reason.as_str()))
            .collect();
        reasons.join(", ")
    }

    pub(super) fn refuse(&mut self, reason: Refusal, count: u64) {
        match self.rejected.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, refused)) => *refused += count,
            None => self.rejected.push((reason, count)),
        }
    }
}

/// What the assembler holds and has done since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Traces held now.
    pub traces: usize,
    /// Memory of them, bytes, roughly.
    pub bytes: usize,
    /// Spans held now.
    pub spans: usize,
    /// Executions reported for the first time.
    pub executions: u64,
    /// Reports that corrected an earlier one.
    pub corrections: u64,
    /// Reports taken back.
    pub retractions: u64,
    /// Executions reported while incomplete.
    pub incomplete: u64,
    /// Executions reported while still running.
    pub running: u64,
    /// Traces finished early for want of memory.
    pub finished_early: u64,
}
