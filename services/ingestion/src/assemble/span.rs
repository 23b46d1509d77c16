//! What is kept of a span: a small record, never the span.

use crate::dialect::Class;
use immune_domain::{RunId, Timestamp};
use std::sync::Arc;

/// Names are cut to this many bytes, at a character's boundary.
pub const NAME_BYTES_MAX: usize = 256;
/// Prompts are hashed and answers searched up to this many bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// A short text that many spans share.
pub type Name = Arc<str>;

/// A span's id; never 0.
pub type SpanId = u64;

/// The record of one span.
#[derive(Debug, Clone)]
pub struct Span {
    /// Its id.
    pub id: SpanId,
    /// The parent's id, if it has one.
    pub parent: Option<SpanId>,
    /// Start, nanoseconds since the epoch by the agent's clock.
    pub start: u64,
    /// End, likewise; never before `start`.
    pub end: u64,
    /// When it arrived here.
    pub arrived: Timestamp,
    /// What kind of work it is.
    pub class: Class,
    /// Its yes-or-no facts.
    pub marks: Marks,
    /// Where it comes from.
    pub origin: Arc<Origin>,
    /// Name of the span, where a rule may ask for it.
    pub name: Option<Name>,
    /// What else it says; most spans say nothing.
    pub facts: Option<Box<Facts>>,
}

impl Span {
    /// Bytes that this record takes, roughly: shared names count once per record that brought them.
    pub fn bytes(&self) -> usize {
        let facts = self
            .facts
            .as_deref()
            .map_or(0, |facts| size_of::<Facts>() + facts.text_bytes());
        size_of::<Self>() + 2 * size_of::<u64>() + facts + self.name.as_ref().map_or(0, |name| name.len())
    }

    /// Whether it tells of tokens.
    pub fn has_usage(&self) -> bool {
        self.facts.as_deref().is_some_and(|facts| !facts.usage.is_empty())
    }

    /// Whether it is an error that a framework did not use to steer.
    pub fn failed(&self) -> bool {
        self.marks.is_error && !self.marks.is_control_flow
    }
}

/// Yes-or-no facts of a span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marks {
    /// Belongs to an agent: its scope is listed, a marker is there, or its class says so.
    pub is_agentic: bool,
    /// Span kind SERVER.
    pub is_server: bool,
    /// Status ERROR.
    pub is_error: bool,
    /// The error is one that frameworks use to steer.
    pub is_control_flow: bool,
    /// The sender says that the parent is in another process.
    pub is_parent_remote: bool,
    /// The sender says that the parent is in the same process.
    pub is_parent_local: bool,
    /// Its end was before its start, so that it has no duration.
    pub has_no_duration: bool,
    /// The sender's limits cut attributes away, so that what is not there says nothing.
    pub lost_attributes: bool,
    /// Its output bears the mark of a step limit.
    pub is_unfinished: bool,
}

/// Where spans come from; one per resource and scope of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Origin {
    /// The resource.
    pub resource: Arc<Resource>,
    /// Name of the instrumentation scope.
    pub scope: Name,
    /// Whether the scope is the model provider's own client library.
    pub is_provider: bool,
}

/// What a resource says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// Run, if the telemetry names one.
    pub run: Option<RunId>,
    /// Agent id, given on purpose.
    pub agent_id: Option<Name>,
    /// Kind of agent.
    pub agent_type: Option<Name>,
    /// Kind of work.
    pub task_type: Option<Name>,
    /// `service.name`.
    pub service: Option<Name>,
    /// `service.namespace`.
    pub namespace: Option<Name>,
    /// MCP servers.
    pub mcp_servers: Vec<Name>,
    /// `k8s.*` attributes without the prefix.
    pub workload: Vec<(Name, Name)>,
    /// The platform's word that the agent is infected.
    pub infected: Option<Name>,
}

impl Resource {
    /// Whether two spans run in the same service, so that a parent link between them is no service boundary.
    pub fn is_same_service(&self, other: &Resource) -> bool {
        self.service == other.service && self.namespace == other.namespace
    }
}

/// Tokens as one span tells them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens read.
    pub input: Option<u64>,
    /// Tokens written.
    pub output: Option<u64>,
    /// Both, where only that is known.
    pub total: Option<u64>,
}

impl Usage {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.input.is_none() && self.output.is_none() && self.total.is_none()
    }
}

/// What a span says beyond its class and times.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Tokens.
    pub usage: Usage,
    /// Tokens of everything below, as the framework sums them.
    pub aggregated: Usage,
    /// Hash of the provider's id of the answer.
    pub response: Option<u64>,
    /// Hash of the tool's arguments.
    pub arguments: Option<u64>,
    /// Hash of the id that the model gave the call.
    pub call: Option<u64>,
    /// Agent id, given on purpose.
    pub agent_id: Option<Name>,
    /// Kind of agent.
    pub agent_type: Option<Name>,
    /// Name of the agent that it is a run of, or that it belongs to.
    pub agent_name: Option<Name>,
    /// Name of a run of several agents.
    pub workflow_name: Option<Name>,
    /// Conversation.
    pub conversation: Option<Name>,
    /// Model that answered, else the one asked.
    pub model: Option<Name>,
    /// Whether `model` answered.
    pub is_model_served: bool,
    /// Tool name.
    pub tool: Option<Name>,
    /// Why it stopped.
    pub finish: Option<Name>,
    /// Error class.
    pub error_type: Option<Name>,
    /// The platform's word that the agent is infected.
    pub infected: Option<Name>,
    /// Hash of the system prompt.
    pub prompt_hash: Option<Name>,
    /// Kind of work.
    pub task_type: Option<Name>,
    /// Fingerprint of the tools on offer.
    pub tools_offered: Option<Name>,
    /// MCP servers.
    pub mcp_servers: Vec<Name>,
    /// Cost, US dollars.
    pub cost: Option<f64>,
    /// HTTP status.
    pub http_status: Option<u16>,
    /// How often the HTTP client sent again.
    pub resends: Option<u32>,
    /// Tool calls that the model's answer asks for, where it can be told.
    pub requested_tools: Option<u32>,
}

impl Facts {
    fn text_bytes(&self) -> usize {
        let texts = [
            &self.agent_id,
            &self.agent_type,
            &self.agent_name,
            &self.workflow_name,
            &self.conversation,
            &self.model,
            &self.tool,
            &self.finish,
            &self.error_type,
            &self.infected,
            &self.prompt_hash,
            &self.task_type,
            &self.tools_offered,
        ];
        let listed: usize = self.mcp_servers.iter().map(|server| server.len()).sum();
        texts.into_iter().flatten().map(|text| text.len()).sum::<usize>() + listed
    }
}
