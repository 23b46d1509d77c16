//! What one execution will be, decided from the agent's state before it begins.
//!
//! The numbers are tuned to both detectors. Variation is uniform and bounded (20 % either way for latency and tokens, one
//! call for tools), a standard deviation of 0.12: no healthy average comes near 2.5 of them, and what is twice the usual
//! is evident to the guarded detector within a few executions.
//!
//! Severity is of the average of the last 10 s, about 24 executions, most of them still healthy when the evidence
//! suffices. Two consequences shape the strengths below:
//! - mild infections double what they raise: 7 to 9 standard deviations once the window is full of them, never severe;
//! - severity 7 needs 11.1, so a severe infection must pass that with its first execution.

use super::kind::Traits;
use super::state::{Note, Process, State};
use crate::infection::Strength;
use rand::RngExt;
use rand::rngs::StdRng;

/// How far latency and tokens vary, either way.
const JITTER: f64 = 0.20;
/// Calls in one go above which the tools are told of at once, at the end: an agent that loops does not stop between.
const BURST_CALLS: usize = 20;
/// The chat calls of an execution: one to decide, one to answer.
const CHATS: usize = 2;

/// One execution to be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// What ends it, if not success.
    pub(crate) failure: Option<&'static str>,
}

/// A part of an execution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Chat {
        ms: f64,
        input_tokens: u64,
        output_tokens: u64,
        resends: u32,
    },
    /// Calls one after the other.
    Tools { ms: f64, calls: Vec<&'static str> },
}

/// What ails an execution, in sum.
#[derive(Debug, Clone, Copy, Default)]
struct Symptoms {
    /// Added to the usual latency, as a share of it.
    latency: f64,
    /// Added to the usual tokens, as a share of them.
    tokens: f64,
    calls: u32,
    /// Chance that a request had to be sent again, and how often then.
    retries: (f64, u32),
    failures: f64,
}

/// Tokens added to the usual ones, as a share of them, by filler or a verbose prompt.
pub(super) const fn extra_tokens(strength: Strength) -> f64 {
    match strength {
        Strength::Mild => 0.95,
        Strength::Severe => 39.0,
    }
}

impl Symptoms {
    fn add(&mut self, other: Symptoms) {
        self.latency += other.latency;
        self.tokens += other.tokens;
        self.calls += other.calls;
        self.retries = (
            self.retries.0.max(other.retries.0),
            self.retries.1.max(other.retries.1),
        );
        self.failures = self.failures.max(other.failures);
    }

    fn of(state: &State, traits: &Traits) -> Self {
        let usual_tokens = traits.input_tokens + traits.output_tokens;
        let mut all = Symptoms {
            tokens: state.filler_tokens() as f64 / usual_tokens,
            ..Symptoms::default()
        };
        match state.broken_tool().and_then(|tool| tool.broken) {
            None => {}
            Some(Strength::Mild) => all.add(Symptoms {
                latency: 0.85,
                ..Symptoms::default()
            }),
            Some(Strength::Severe) => all.add(Symptoms {
                latency: 22.0,
                ..Symptoms::default()
            }),
        }
        // Sending again costs time first and shows as retries second: latency passes its threshold before.
        match state.pressure() {
            None => {}
            Some(Strength::Mild) => {
                all.add(Symptoms {
                    latency: 1.0,
                    retries: (0.7, 1),
                    ..Symptoms::default()
                });
            }
            Some(Strength::Severe) => {
                all.add(Symptoms {
                    latency: 22.0,
                    retries: (1.0, 3),
                    ..Symptoms::default()
                });
            }
        }
        match state.prompt().drift {
            None => {}
            Some(strength @ Strength::Mild) => {
                all.add(Symptoms {
                    tokens: extra_tokens(strength),
                    ..Symptoms::default()
                });
            }
            Some(strength @ Strength::Severe) => {
                all.add(Symptoms {
                    tokens: extra_tokens(strength),
                    calls: 80,
                    ..Symptoms::default()
                });
            }
        }
        for note in &state.memory {
            match note {
                Note::Fact { .. } | Note::Filler { .. } => {}
                Note::Damaged {
                    strength: Strength::Mild,
                } => {
                    all.add(Symptoms {
                        retries: (0.8, 1),
                        ..Symptoms::default()
                    });
                }
                Note::Damaged {
                    strength: strength @ Strength::Severe,
                } => {
                    let tokens = extra_tokens(*strength);
                    all.add(Symptoms {
                        retries: (1.0, 3),
                        tokens,
                        ..Symptoms::default()
                    });
                }
                Note::Plan {
                    strength: Strength::Mild,
                    ..
                } => all.add(Symptoms {
                    calls: 6,
                    ..Symptoms::default()
                }),
                Note::Plan {
                    strength: Strength::Severe,
                    ..
                } => {
                    all.add(Symptoms {
                        calls: 320,
                        ..Symptoms::default()
                    });
                }
            }
        }
        match state.process {
            Process::Sound => {}
            Process::Melting(Strength::Mild) => {
                all.add(Symptoms {
                    latency: 0.9,
                    tokens: 0.9,
                    calls: 6,
                    retries: (0.5, 1),
                    failures: 0.3,
                });
            }
            Process::Melting(strength @ Strength::Severe) => {
                let tokens = extra_tokens(strength);
                all.add(Symptoms {
                    latency: 5.0,
                    tokens,
                    calls: 80,
                    retries: (1.0, 3),
                    failures: 0.5,
                });
            }
        }
        all
    }
}

/// What the next execution of an agent in this state will be.
pub(crate) fn plan(state: &State, rng: &mut StdRng) -> Plan {
    let traits = state.kind.traits();
    let symptoms = Symptoms::of(state, &traits);

    let latency = traits.latency_ms * (rng.random_range(1.0 - JITTER..=1.0 + JITTER) + symptoms.latency);
    let tokens = rng.random_range(1.0 - JITTER..=1.0 + JITTER) + symptoms.tokens;
    let calls = traits.tool_calls - 1 + rng.random_range(0..=2) + symptoms.calls;
    let (chance, resends) = symptoms.retries;
    let resends = if rng.random_bool(chance) { resends } else { 0 };
    let failure = rng.random_bool(symptoms.failures).then_some("agent_crashed");

    // Waiting for a broken tool is spent in the tools, anything else in the chats.
    let usual = traits.latency_ms * 0.4;
    let in_tools = if state.broken_tool().is_some() {
        usual + latency - traits.latency_ms
    } else {
        usual
    };
    let in_chat = (latency - in_tools) / CHATS as f64;
    let chat = |resends| Step::Chat {
        ms: in_chat,
        input_tokens: (traits.input_tokens * tokens / CHATS as f64).round() as u64,
        output_tokens: (traits.output_tokens * tokens / CHATS as f64).round() as u64,
        resends,
    };
    let tools = Step::Tools {
        ms: in_tools,
        calls: choose_tools(state, calls, rng),
    };
    let steps = match calls as usize {
        0..=BURST_CALLS => vec![chat(resends), tools, chat(0)],
        // It stops at its limit of steps, in the middle of the loop and without an answer.
        _ => vec![chat(resends), chat(0), tools],
    };
    Plan { steps, failure }
}

/// Which tools are called: the one of a plan that never ends, else those in use in turn, a broken one first.
fn choose_tools(state: &State, calls: u32, rng: &mut StdRng) -> Vec<&'static str> {
    let obsession = state.memory.iter().find_map(|note| match note {
        Note::Plan { tool, .. } => Some(*tool),
        Note::Fact { .. } | Note::Filler { .. } | Note::Damaged { .. } => None,
    });
    if let Some(tool) = obsession {
        return vec![tool; calls as usize];
    }
    let in_use: Vec<&'static str> = state
        .tools
        .iter()
        .filter(|tool| tool.in_use)
        .map(|tool| tool.name)
        .collect();
    let first = match state.broken_tool() {
        Some(broken) => in_use.iter().position(|name| *name == broken.name).unwrap_or(0),
        None => rng.random_range(0..in_use.len()),
    };
    in_use
        .iter()
        .cycle()
        .skip(first)
        .take(calls as usize)
        .copied()
        .collect()
}

impl Step {
    pub(crate) fn ms(&self) -> f64 {
        match self {
            Step::Chat { ms, .. } | Step::Tools { ms, .. } => *ms,
        }
    }
}

#[cfg(test)]
impl Plan {
    fn latency_ms(&self) -> f64 {
        self.steps.iter().map(Step::ms).sum()
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
