//! What a diagnosis may need beside the numbers of the window. None of it makes an agent sick: it names what a detector
//! has found.

use immune_domain::baseline::Reason;
use immune_domain::diagnosis::Clues;
use immune_domain::vitals::{RepeatedCall, Vitals};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Executions after which the usual cost follows slowly.
const COST_WEIGHT_MAX: u16 = 100;
/// Calls of one tool from which on the tool is named as the one that repeats.
const ONE_TOOL_CALLS_MIN: u32 = 3;
/// Tools that are remembered as usual; an agent that has called more has no new ones any more.
const TOOLS_MAX: usize = 64;
/// Healthy executions with tools after which a tool that none of them called is new.
const TOOLS_KNOWN_AFTER: u8 = 15;
/// New tools that are named.
const NEW_TOOLS_MAX: usize = 5;

/// Notes on one agent. What is usual is taken from healthy executions only, and begins anew with the process.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Fingerprint of the prompt of the last healthy execution.
    prompt: Option<u64>,
    is_prompt_changed: Option<bool>,
    model: Option<Box<str>>,
    /// The latest model, where it is not that of the last healthy execution.
    other_model: Option<Box<str>>,
    /// Fingerprint of the tools that were on offer in the last healthy execution.
    offer: Option<u64>,
    is_offer_changed: bool,
    /// Fingerprints of the tools that healthy executions called.
    tools: Vec<u64>,
    /// Healthy executions with tools, as far as they are counted.
    tool_samples: u8,
    only_tool: Option<Box<str>>,
    new_tools: Box<[Box<str>]>,
    repeated: Option<Box<RepeatedCall>>,
    cost: Option<f32>,
    usual_cost: f32,
    cost_samples: u16,
}

impl Notes {
    /// Notes an execution that was judged.
    pub(crate) fn take(&mut self, vitals: &Vitals, reason: Reason) {
        let context = &vitals.context;
        let is_healthy = reason == Reason::Healthy;
        let hash = context.prompt_hash.as_deref().map(fingerprint);
        self.is_prompt_changed = self.prompt.zip(hash).map(|(known, hash)| known != hash);
        let offer = context.tools_offered.as_deref().map(fingerprint);
        self.is_offer_changed = self.offer.zip(offer).is_some_and(|(known, offer)| known != offer);
        let other = context
            .model
            .as_deref()
            .filter(|model| self.model.as_deref() != Some(model));
        self.other_model = other.filter(|_| self.model.is_some()).map(Into::into);
        if is_healthy {
            self.prompt = hash.or(self.prompt);
            self.offer = offer.or(self.offer);
            if let Some(other) = other {
                self.model = Some(other.into());
            }
        }
        self.take_tools(vitals, is_healthy);
        let cost = context.cost.filter(|cost| cost.is_finite() && *cost >= 0.0);
        self.cost = cost.map(|cost| cost as f32);
        if let Some(cost) = self.cost.filter(|_| is_healthy) {
            self.cost_samples = (self.cost_samples + 1).min(COST_WEIGHT_MAX);
            self.usual_cost += (cost - self.usual_cost) / f32::from(self.cost_samples);
        }
    }

    fn take_tools(&mut self, vitals: &Vitals, is_healthy: bool) {
        let tools = &vitals.context.tools;
        let is_repeating = tools.len() == 1 && vitals.tool_calls.is_some_and(|n| n >= ONE_TOOL_CALLS_MIN);
        self.only_tool = tools
            .first()
            .filter(|_| is_repeating)
            .map(|tool| tool.as_str().into());
        self.repeated = vitals.context.repeated_call.clone().map(Box::new);
        let is_new = |tool: &&String| !self.tools.contains(&fingerprint(tool));
        let are_known = self.tool_samples >= TOOLS_KNOWN_AFTER && self.tools.len() < TOOLS_MAX;
        // No allocation where there is nothing new, which is nearly always.
        self.new_tools = match are_known {
            true => tools
                .iter()
                .filter(is_new)
                .take(NEW_TOOLS_MAX)
                .map(|tool| tool.as_str().into())
                .collect(),
            false => Box::default(),
        };
        if !is_healthy || tools.is_empty() {
            return;
        }
        self.tool_samples = self.tool_samples.saturating_add(1);
        for tool in tools.iter().map(|tool| fingerprint(tool)) {
            if self.tools.len() < TOOLS_MAX && !self.tools.contains(&tool) {
                self.tools.push(tool);
            }
        }
    }

    /// The clues of a report.
    pub(crate) fn clues(&self, platform_word: Option<&str>) -> Clues {
        let models = self.model.as_deref().zip(self.other_model.as_deref());
        Clues {
            prompt_changed: self.is_prompt_changed,
            model_changed: models.map(|(before, now)| (before.to_owned(), now.to_owned())),
            tools_changed: self.is_offer_changed,
            new_tools: self.new_tools.iter().map(|tool| tool.to_string()).collect(),
            repeated_call: self.repeated.as_deref().cloned(),
            only_tool: self.only_tool.as_deref().map(str::to_owned),
            cost: self.cost.map(f64::from),
            usual_cost: (self.cost_samples > 0).then_some(f64::from(self.usual_cost)),
            platform_word: platform_word.map(str::to_owned),
            evidence: None,
            is_running: false,
        }
    }
}

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "notes_tests.rs"]
mod tests;
