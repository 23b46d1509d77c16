//! Options of the gateway check.

mod sources;

pub use sources::{AgentName, Claim, Header, Source, Spiffe, SpiffeFrom};

use immune_runtime::tls::DoorFiles;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Most sources of identity.
const SOURCES_MAX: usize = 16;
/// Most patterns of known agents.
const KNOWN_MAX: usize = 1_000;

/// Where gateways ask whether an agent may act, who an agent is, and what is answered when nobody can say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address, for instance `127.0.0.1:9001`; default empty: no check is served. Serves Envoy's protocol (gRPC) and
    /// `/check` (HTTP/1.1 and HTTP/2). On any other than loopback it needs `tls` or `plaintext: true`.
    pub listen: String,
    /// Certificate, read again whenever its files change; with `client_ca_file` only gateways whose certificate that
    /// authority has signed may ask. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<DoorFiles>,
    /// Whether to listen beyond loopback without certificates, where the network says who reaches the listener (a
    /// NetworkPolicy); default false. Whoever reaches it may learn which agents are quarantined and for
    /// which cases, and no more.
    pub plaintext: bool,
    /// Who the agent of a request is: the first source that finds something decides. An agent can leave out what it
    /// sends, so a source that it could write must not stand behind one that it could not. At least one where the check
    /// is served.
    pub identity: Vec<Source>,
    /// The run of an agent whose source names none, default `default`.
    pub run: String,
    /// What a request without an agent is answered, default `deny`: an agent that leaves its name out would otherwise
    /// leave its quarantine, and a gateway whose other callers are stopped is seen at once. Choose `allow` where a
    /// gateway serves others than agents, too, and its sources cannot be left out (certificates).
    pub unidentified: Answer,
    /// Agents that may act at all, by agent id, `*` standing for any characters; any other is unknown and denied.
    /// Default empty: every agent, also one that nobody has seen yet, may act until it is quarantined.
    pub known_agents: Vec<String>,
    /// What is answered while the store of cases has not answered for `blind_after_seconds`; default `last_known`.
    pub when_blind: WhenBlind,
    /// How old the last news of cases may be before `when_blind` holds, seconds, default 10.
    pub blind_after_seconds: u64,
    /// Contained agents that are kept in memory, default 250,000 (about 100 MB). Beyond it agents that are not kept
    /// are answered as `when_blind` says.
    pub agents_max: usize,
    /// The largest request, bytes, default 262,144. Over Envoy's protocol it holds all headers of the checked request,
    /// its body if the gateway is told to send it (it need not be), and the certificate if that is sent.
    pub request_bytes_max: usize,
    /// Connections at once, default 1,024; further ones wait in the system's queue.
    pub connections_max: usize,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It may pass.
    Allow,
    /// It may not.
    Deny,
}

/// What is answered while nobody can say how the agents' cases stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenBlind {
    /// As it was when the store was last heard of: agents known to be contained stay out, all others may act. Where
    /// nothing was heard yet, the check says that it cannot say.
    #[default]
    LastKnown,
    /// No agent may act.
    Deny,
    /// Every agent may act, also one that was contained: for those whose agents must not stop.
    Allow,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: String::new(),
            tls: None,
            plaintext: false,
            identity: Vec::new(),
            run: "default".to_owned(),
            unidentified: Answer::Deny,
            known_agents: Vec::new(),
            when_blind: WhenBlind::LastKnown,
            blind_after_seconds: 10,
            agents_max: 250_000,
            request_bytes_max: 256 * 1024,
            connections_max: 1_024,
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        let mut within = |name: &str, value: usize, low: usize, high: usize| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        let blind_after = usize::try_from(self.blind_after_seconds).unwrap_or(usize::MAX);
        within("blind_after_seconds", blind_after, 2, 3_600);
        within("agents_max", self.agents_max, 1, 10_000_000);
        within(
            "request_bytes_max",
            self.request_bytes_max,
            4 * 1024,
            16 * 1024 * 1024,
        );
        within("connections_max", self.connections_max, 1, 100_000);
        if !immune_domain::is_well_formed(&self.run) {
            mistakes.push(format!("{path}.run = {:?}: is no name of a run", self.run));
        }
        if self.identity.len() > SOURCES_MAX {
            mistakes.push(format!(
                "{path}.identity has {} sources: at most {SOURCES_MAX} are asked",
                self.identity.len()
            ));
        }
        for (place, source) in self.identity.iter().enumerate() {
            source.check(&format!("{path}.identity[{place}]"), mistakes);
        }
        if self.known_agents.len() > KNOWN_MAX || self.known_agents.iter().any(String::is_empty) {
            mistakes.push(format!(
                "{path}.known_agents: must be at most {KNOWN_MAX} patterns, none of them empty"
            ));
        }
        self.check_listener(path, mistakes);
    }

    fn check_listener(&self, path: &str, mistakes: &mut Vec<String>) {
        if self.listen.is_empty() {
            return;
        }
        if let Some(tls) = &self.tls {
            tls.check(&format!("{path}.tls"), mistakes);
            if self.plaintext {
                mistakes.push(format!(
                    "{path}.plaintext = true: but {path}.tls is given; choose one"
                ));
            }
        }
        match self.address() {
            None => mistakes.push(format!(
                "{path}.listen = {:?}: must be an address with a port, such as 127.0.0.1:9001",
                self.listen
            )),
            Some(address) if !address.ip().is_loopback() && self.tls.is_none() && !self.plaintext => {
                mistakes.push(format!(
                    "{path}.listen = {address}: is not a loopback address, so {path}.tls must be given, or \
                     {path}.plaintext: true where the network decides who reaches it"
                ));
            }
            Some(_) => {}
        }
        if self.identity.is_empty() {
            mistakes.push(format!(
                "{path}.identity is empty: it must say who the agent of a request is, such as \
                 [{{header: {{name: x-agent-id}}}}]"
            ));
        }
    }

    /// Where to listen; `None` when nowhere, and when the text is no address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(crate) fn blind_after(&self) -> Duration {
        Duration::from_secs(self.blind_after_seconds)
    }
}
