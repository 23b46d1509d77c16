//! What an agent is made of, what breaks in it, and what mends it. Illness is nowhere noted as such: an agent is ill
//! as long as a part of it is broken.

use super::kind::AgentType;
use crate::infection::{Infection, Strength};
use immune_domain::healing::Action;
use std::collections::VecDeque;

/// Autonomy as the platform grants it; above, the agent asks for more than it may.
pub(crate) const AUTONOMY_USUAL: u8 = 3;
/// The notes of ordinary work that a memory keeps; older ones are forgotten.
const FACTS_MAX: usize = 20;
/// Bytes that make one token, about.
const BYTES_PER_TOKEN: u64 = 4;

/// An agent's parts.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub(crate) kind: AgentType,
    /// The versions of its prompt in the registry, the deployed one last. Never empty.
    pub(crate) prompts: Vec<Prompt>,
    /// The number of the next version.
    next_prompt: u32,
    pub(crate) memory: VecDeque<Note>,
    pub(crate) tools: Vec<Tool>,
    pub(crate) autonomy: u8,
    pub(crate) process: Process,
    /// Which copy of the agent this is.
    pub(crate) instance: u32,
}

/// A version of the prompt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prompt {
    pub(crate) number: u32,
    /// If it makes the agent drift, how far.
    pub(crate) drift: Option<Strength>,
}

/// An entry of the memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    /// From ordinary work.
    Fact { bytes: u64 },
    /// Filler that goes into every prompt.
    Filler { bytes: u64, strength: Strength },
    /// Damaged.
    Damaged { strength: Strength },
    /// A plan that never ends, with the tool that it repeats.
    Plan { tool: &'static str, strength: Strength },
}

/// A tool of the agent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) is_core: bool,
    pub(crate) in_use: bool,
    pub(crate) broken: Option<Strength>,
}

/// The process that the agent runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Sound,
    Melting(Strength),
}

/// Why an action could not be done; the agent is as it was.
pub(crate) type Refusal = String;

impl State {
    pub(crate) fn new(kind: AgentType) -> Self {
        let traits = kind.traits();
        let tool = |name, is_core| Tool {
            name,
            is_core,
            in_use: true,
            broken: None,
        };
        let core = traits.core_tools.iter().map(|name| tool(name, true));
        let optional = traits.optional_tools.iter().map(|name| tool(name, false));
        State {
            kind,
            prompts: vec![Prompt {
                number: 1,
                drift: None,
            }],
            next_prompt: 2,
            memory: VecDeque::new(),
            tools: core.chain(optional).collect(),
            autonomy: AUTONOMY_USUAL,
            process: Process::Sound,
            instance: 1,
        }
    }

    /// Breaks the part that the infection breaks.
    pub(crate) fn fall_ill(&mut self, infection: Infection, strength: Strength) {
        match infection {
            Infection::LatencySpike => {
                if let Some(tool) = self.tools.iter_mut().find(|tool| !tool.is_core) {
                    tool.in_use = true;
                    tool.broken = Some(strength);
                }
            }
            Infection::TokenExplosion => {
                let traits = self.kind.traits();
                let tokens =
                    (traits.input_tokens + traits.output_tokens) * super::plan::extra_tokens(strength);
                self.memory.push_back(Note::Filler {
                    bytes: tokens as u64 * BYTES_PER_TOKEN,
                    strength,
                });
            }
            Infection::ToolLoop => {
                let tool = self.kind.traits().core_tools[0];
                self.memory.push_back(Note::Plan { tool, strength });
            }
            Infection::HighRetryRate => {
                self.autonomy = match strength {
                    Strength::Mild => AUTONOMY_USUAL + 1,
                    Strength::Severe => AUTONOMY_USUAL + 2,
                };
            }
            Infection::PromptDrift => {
                self.prompts.push(Prompt {
                    number: self.next_prompt,
                    drift: Some(strength),
                });
                self.next_prompt += 1;
            }
            Infection::MemoryCorruption => self.memory.push_back(Note::Damaged { strength }),
            Infection::FullMeltdown => self.process = Process::Melting(strength),
        }
    }

    /// What ails it now.
    pub(crate) fn ailments(&self) -> Vec<(Infection, Strength)> {
        let mut found = Vec::new();
        found.extend(
            self.broken_tool()
                .and_then(|tool| Some((Infection::LatencySpike, tool.broken?))),
        );
        found.extend(
            self.prompt()
                .drift
                .map(|strength| (Infection::PromptDrift, strength)),
        );
        found.extend(
            self.pressure()
                .map(|strength| (Infection::HighRetryRate, strength)),
        );
        for note in &self.memory {
            match note {
                Note::Fact { .. } => {}
                Note::Filler { strength, .. } => found.push((Infection::TokenExplosion, *strength)),
                Note::Damaged { strength } => found.push((Infection::MemoryCorruption, *strength)),
                Note::Plan { strength, .. } => found.push((Infection::ToolLoop, *strength)),
            }
        }
        match self.process {
            Process::Sound => {}
            Process::Melting(strength) => found.push((Infection::FullMeltdown, strength)),
        }
        found
    }

    /// Does what a platform does for that action. Each mends what it mends and nothing else.
    pub(crate) fn act(&mut self, action: Action) -> Result<String, Refusal> {
        match action {
            Action::ResetMemory => {
                let (notes, bytes) = (self.memory.len(), self.memory_bytes());
                self.memory.clear();
                Ok(format!("{notes} notes of {bytes} bytes forgotten"))
            }
            Action::RollbackPrompt => {
                let from = self.prompt().number;
                if self.prompts.len() == 1 {
                    return Err(format!("the prompt is version {from}, there is no earlier one"));
                }
                self.prompts.pop();
                Ok(format!(
                    "prompt is version {} again, it was {from}",
                    self.prompt().number
                ))
            }
            Action::ReduceAutonomy => self.reduce_autonomy(),
            Action::RevokeTools => {
                let broken: Vec<&str> = self
                    .tools
                    .iter()
                    .filter(|tool| tool.in_use && tool.broken.is_some())
                    .map(|t| t.name)
                    .collect();
                if broken.is_empty() {
                    return Err("no tool of the agent misbehaves".to_owned());
                }
                self.tools
                    .iter_mut()
                    .filter(|tool| tool.broken.is_some())
                    .for_each(|tool| tool.in_use = false);
                Ok(format!("revoked {}", broken.join(", ")))
            }
            Action::CloneAgent => {
                // A fresh process with an empty memory; prompt, tools and autonomy are configuration and come along.
                self.restart();
                Ok(format!("instance {} runs in its place", self.instance))
            }
            Action::ResetAgent => {
                self.restart();
                self.autonomy = AUTONOMY_USUAL;
                self.tools.iter_mut().for_each(|tool| tool.in_use = true);
                Ok(format!("instance {} runs as first configured", self.instance))
            }
        }
    }

    fn restart(&mut self) {
        self.memory.clear();
        self.process = Process::Sound;
        self.instance += 1;
    }

    /// One level less, optional tools taken away, and plans under way given up.
    fn reduce_autonomy(&mut self) -> Result<String, Refusal> {
        let from = self.autonomy;
        let has_more = self.tools.iter().any(|tool| !tool.is_core && tool.in_use)
            || self.memory.iter().any(|note| matches!(note, Note::Plan { .. }));
        if from == 1 && !has_more {
            return Err("autonomy is at its lowest already".to_owned());
        }
        self.autonomy = (from.min(AUTONOMY_USUAL) - 1).max(1);
        self.tools
            .iter_mut()
            .filter(|tool| !tool.is_core)
            .for_each(|tool| tool.in_use = false);
        self.memory.retain(|note| !matches!(note, Note::Plan { .. }));
        Ok(format!(
            "autonomy is {}, it was {from}; only core tools are left",
            self.autonomy
        ))
    }

    /// What the platform gives back when an agent is released for good: tools that were taken, mended meanwhile, and
    /// the usual autonomy. What ails an agent that was never healed stays.
    pub(crate) fn give_back(&mut self) {
        self.autonomy = self.autonomy.max(AUTONOMY_USUAL);
        for tool in self.tools.iter_mut().filter(|tool| !tool.in_use) {
            tool.in_use = true;
            tool.broken = None;
        }
    }

    /// Notes an execution in the memory, as far as it keeps.
    pub(crate) fn remember(&mut self, bytes: u64) {
        self.memory.push_back(Note::Fact { bytes });
        let facts = self
            .memory
            .iter()
            .filter(|note| matches!(note, Note::Fact { .. }))
            .count();
        if facts > FACTS_MAX
            && let Some(oldest) = self
                .memory
                .iter()
                .position(|note| matches!(note, Note::Fact { .. }))
        {
            self.memory.remove(oldest);
        }
    }

    /// The deployed prompt.
    pub(crate) fn prompt(&self) -> &Prompt {
        self.prompts
            .last()
            .expect("there is always a version: rolling back keeps the first")
    }

    pub(crate) fn broken_tool(&self) -> Option<&Tool> {
        self.tools
            .iter()
            .find(|tool| tool.in_use && tool.broken.is_some())
    }

    /// How far it oversteps its autonomy.
    pub(crate) fn pressure(&self) -> Option<Strength> {
        match self.autonomy {
            0..=AUTONOMY_USUAL => None,
            level if level == AUTONOMY_USUAL + 1 => Some(Strength::Mild),
            _ => Some(Strength::Severe),
        }
    }

    /// Tokens of filler that go into every prompt.
    pub(crate) fn filler_tokens(&self) -> u64 {
        let bytes = |note: &Note| match note {
            Note::Filler { bytes, .. } => *bytes,
            Note::Fact { .. } | Note::Damaged { .. } | Note::Plan { .. } => 0,
        };
        self.memory.iter().map(bytes).sum::<u64>() / BYTES_PER_TOKEN
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        let bytes = |note: &Note| match note {
            Note::Fact { bytes } | Note::Filler { bytes, .. } => *bytes,
            Note::Damaged { .. } | Note::Plan { .. } => 200,
        };
        self.memory.iter().map(bytes).sum()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
