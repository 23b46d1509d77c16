//! The agents: ill or well, contained or free.

use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Instant;
use tokio::sync::oneshot;

/// One execution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Execution {
    pub(crate) agent: usize,
    pub(crate) latency_ms: f64,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
}

/// An action that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    /// On whom.
    pub agent: String,
    /// What.
    pub action: String,
    /// For which case.
    pub case: String,
    /// Whether it mended something.
    pub cured: bool,
}

/// A fleet in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Executions that a server has accepted.
    pub accepted: u64,
    /// Requests that were refused and sent again.
    pub refused: u64,
    /// Executions that are done and not accepted yet.
    pub under_way: u64,
    /// Agents that are ill.
    pub ill: usize,
    /// Agents that are contained.
    pub contained: usize,
    /// Infections so far.
    pub infections: u64,
    /// Infections mended so far.
    pub cured: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Agent {
    is_ill: bool,
    is_contained: bool,
    /// Whether its last execution was above its average.
    was_above: bool,
}

pub(crate) struct Agents {
    agents: Vec<Agent>,
    /// Idempotency keys that were carried out; each key is one effect.
    keys: BTreeMap<String, ()>,
    acted: Vec<Acted>,
    /// Who waits for the moment at which an agent is quarantined.
    noticed: BTreeMap<usize, oneshot::Sender<Instant>>,
    infections: u64,
    cured: u64,
}

pub(crate) fn name(n: usize) -> String {
    format!("fleet-{n:05}")
}

fn number(name: &str) -> Option<usize> {
    name.strip_prefix("fleet-")?.parse().ok()
}

impl Agents {
    pub(crate) fn new(count: usize) -> Self {
        Agents {
            agents: vec![Agent::default(); count],
            keys: BTreeMap::new(),
            acted: Vec::new(),
            noticed: BTreeMap::new(),
            infections: 0,
            cured: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    pub(crate) fn infect(&mut self, n: usize) {
        self.agents[n].is_ill = true;
        self.infections += 1;
    }

    /// Tells the moment at which an agent is quarantined next.
    pub(crate) fn notice(&mut self, n: usize) -> oneshot::Receiver<Instant> {
        let (sender, receiver) = oneshot::channel();
        self.noticed.insert(n, sender);
        receiver
    }

    /// What an agent does when its turn comes; nothing while it is contained. A healthy agent is above and below its
    /// average by turns, by 10 to 15 %: whichever fifteen executions in a row are its baseline, and however few are its
    /// recent ones, it is less than 1.7 standard deviations away. One of two thousand that are spread at random is not.
    pub(crate) fn execute(&mut self, n: usize, rng: &mut StdRng) -> Option<Execution> {
        let agent = &mut self.agents[n];
        if agent.is_contained {
            return None;
        }
        agent.was_above = !agent.was_above;
        let sign = if agent.was_above { 1.0 } else { -1.0 };
        let spread = |rng: &mut StdRng| 1.0 + sign * rng.random_range(0.10..0.15);
        let (slower, thirstier) = if agent.is_ill { (3.0, 4.0) } else { (1.0, 1.0) };
        Some(Execution {
            agent: n,
            latency_ms: 800.0 * spread(rng) * slower,
            input_tokens: (1_200.0 * spread(rng) * thirstier) as i64,
            output_tokens: (300.0 * spread(rng) * thirstier) as i64,
        })
    }

    /// Carries an action out, once per key; `None` when there is no such agent.
    pub(crate) fn act(&mut self, agent: &str, action: &str, case: &str, key: &str) -> Option<&'static str> {
        let n = number(agent).filter(|n| *n < self.agents.len())?;
        if self.keys.insert(key.to_owned(), ()).is_some() {
            return Some("done");
        }
        let state = &mut self.agents[n];
        let was_ill = state.is_ill;
        match action {
            "quarantine" => {
                state.is_contained = true;
                if let Some(waiting) = self.noticed.remove(&n) {
                    // Whoever waited may have gone.
                    let _ = waiting.send(Instant::now());
                }
            }
            "release" => state.is_contained = false,
            "reset_memory" | "rollback_prompt" | "reduce_autonomy" | "clone_agent" | "revoke_tools"
            | "reset_agent" => {
                state.is_ill = false;
            }
            _ => return Some("unsupported"),
        }
        let cured = was_ill && !state.is_ill;
        self.cured += u64::from(cured);
        self.acted.push(Acted {
            agent: agent.to_owned(),
            action: action.to_owned(),
            case: case.to_owned(),
            cured,
        });
        Some("done")
    }

    /// Whether an agent is contained.
    pub(crate) fn is_contained(&self, agent: &str) -> Option<bool> {
        let n = number(agent)?;
        self.agents.get(n).map(|agent| agent.is_contained)
    }

    pub(crate) fn acted(&self) -> Vec<Acted> {
        self.acted.clone()
    }

    pub(crate) fn ill(&self) -> Vec<String> {
        self.named(|agent| agent.is_ill)
    }

    pub(crate) fn contained(&self) -> Vec<String> {
        self.named(|agent| agent.is_contained)
    }

    fn named(&self, is_meant: impl Fn(&Agent) -> bool) -> Vec<String> {
        let meant = self
            .agents
            .iter()
            .enumerate()
            .filter(|(_, agent)| is_meant(agent));
        meant.map(|(n, _)| name(n)).collect()
    }

    pub(crate) fn numbers(&self) -> Numbers {
        Numbers {
            ill: self.agents.iter().filter(|agent| agent.is_ill).count(),
            contained: self.agents.iter().filter(|agent| agent.is_contained).count(),
            infections: self.infections,
            cured: self.cured,
            ..Numbers::default()
        }
    }
}
