//! What a simulation is started with.

use crate::agent::AgentType;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The options of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the agents' OTLP goes, gRPC; default `http://127.0.0.1:4317`.
    pub otlp_endpoint: String,
    /// Headers of every export, e.g. an API key; default none.
    pub otlp_headers: BTreeMap<String, String>,
    /// The run that the agents say they belong to; default `default`.
    pub run: String,
    /// How many agents; default 12.
    pub agents: usize,
    /// Their types, taken in turn; default research, data, coordinator.
    pub types: Vec<AgentType>,
    /// Whatever is left to chance comes from it: the same seed, the same infections in the same order; default 1.
    pub seed: u64,
    /// How often a healthy agent falls ill; default `None`: only when told to.
    pub infect_every: Option<Duration>,
    /// Where the Agent Lifecycle API is served over HTTP; default a free port of 127.0.0.1.
    pub listen: SocketAddr,
    /// Where it is served over gRPC; default a free port of 127.0.0.1.
    pub listen_grpc: SocketAddr,
    /// How long everything takes, as a share of the usual; default 1.0, at which an agent executes about 2.4 times a
    /// second. Tests of the simulation itself run at less; detection is tuned to 1.0.
    pub pace: f64,
    /// If set, the API wants it as a bearer token; default `None`.
    pub token: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Config {
            otlp_endpoint: "http://127.0.0.1:4317".to_owned(),
            otlp_headers: BTreeMap::new(),
            run: "default".to_owned(),
            agents: 12,
            types: vec![AgentType::Research, AgentType::Data, AgentType::Coordinator],
            seed: 1,
            infect_every: None,
            listen: any,
            listen_grpc: any,
            pace: 1.0,
            token: None,
        }
    }
}

/// The most agents of one simulation: each costs a task and a few hundred spans a second at worst.
pub(crate) const AGENTS_MAX: usize = 1_000;

impl Config {
    /// What is wrong with it, if anything.
    pub(crate) fn mistake(&self) -> Option<String> {
        if self.agents == 0 || self.agents > AGENTS_MAX {
            return Some(format!(
                "agents = {}: must be between 1 and {AGENTS_MAX}",
                self.agents
            ));
        }
        if self.types.is_empty() {
            return Some("types is empty".to_owned());
        }
        if !(0.001..=100.0).contains(&self.pace) {
            return Some(format!("pace = {}: must be between 0.001 and 100", self.pace));
        }
        if self.infect_every.is_some_and(|every| every.is_zero()) {
            return Some("infect_every is zero".to_owned());
        }
        None
    }
}
