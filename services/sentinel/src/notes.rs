//! What a diagnosis may need beside the numbers of the window.

use crate::reason::Reason;
use immune_domain::diagnosis::Clues;
use immune_domain::vitals::Vitals;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Executions after which the usual cost follows slowly.
const COST_WEIGHT_MAX: u16 = 100;

/// Calls of one tool from which on the tool is named as the one that repeats.
const ONE_TOOL_CALLS_MIN: u32 = 3;

/// Notes on one agent. What is usual is taken from healthy executions only, and begins anew with the process.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Fingerprint of the prompt of the last healthy execution.
    prompt: Option<u64>,
    is_prompt_changed: bool,
    only_tool: Option<Box<str>>,
    cost: Option<f32>,
    usual_cost: f32,
    cost_samples: u16,
}

impl Notes {
    /// Notes an execution that was judged.
    pub(crate) fn take(&mut self, vitals: &Vitals, reason: Reason) {
        let context = &vitals.context;
        let is_healthy = reason == Reason::Healthy;
        if let Some(hash) = context.prompt_hash.as_deref().map(fingerprint) {
            self.is_prompt_changed = !is_healthy && self.prompt.is_some_and(|known| known != hash);
            if is_healthy {
                self.prompt = Some(hash);
            }
        }
        let is_repeating =
            context.tools.len() == 1 && vitals.tool_calls.is_some_and(|n| n >= ONE_TOOL_CALLS_MIN);
        let only_tool = context.tools.first().filter(|_| is_repeating);
        self.only_tool = only_tool.map(|tool| tool.as_str().into());
        let cost = context.cost.filter(|cost| cost.is_finite() && *cost >= 0.0);
        self.cost = cost.map(|cost| cost as f32);
        if let Some(cost) = self.cost.filter(|_| is_healthy) {
            self.cost_samples = (self.cost_samples + 1).min(COST_WEIGHT_MAX);
            self.usual_cost += (cost - self.usual_cost) / f32::from(self.cost_samples);
        }
    }

    /// The clues of a report.
    pub(crate) fn clues(&self, platform_word: Option<&str>) -> Clues {
        Clues {
            prompt_changed: self.is_prompt_changed,
            only_tool: self.only_tool.as_deref().map(str::to_owned),
            cost: self.cost.map(f64::from),
            usual_cost: (self.cost_samples > 0).then_some(f64::from(self.usual_cost)),
            platform_word: platform_word.map(str::to_owned),
            evidence: None,
        }
    }
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
