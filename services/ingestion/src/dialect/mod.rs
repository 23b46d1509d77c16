//! How instrumentations say things: attribute names and classification as data.
//!
//! [`Dialect`] is that data, with the built-in one in `defaults.yaml`; [`Config`] is what an operator changes;
//! [`Table`] is the form that reads spans quickly. A new framework is a few lines of data, not a code path.

mod config;
mod member;
mod pattern;
mod table;

pub use config::Config;
pub use pattern::Pattern;
pub use table::{Reading, Table};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything the rules know about names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// For each fact the attribute names that tell it, best first. `key -> member` reads a member of a JSON text.
    pub attributes: BTreeMap<Fact, Vec<String>>,
    /// What kind of work a span is; the first rule that fits decides.
    pub classes: Vec<Rule>,
    /// Instrumentation scopes whose spans belong to an agent.
    pub scopes: Vec<Pattern>,
    /// Scopes of the model provider's own client library, whose numbers win over others for the same response.
    pub provider_scopes: Vec<Pattern>,
    /// Attributes that make a span an agent's own whatever its scope.
    pub markers: Vec<String>,
    /// Error classes that steer rather than fail; the last part of a dotted name is compared.
    pub control_flow: Vec<String>,
    /// What a tool call is called as the `type` of a part of a model's answer.
    pub requested_tool_types: Vec<String>,
    /// Attributes that name one tool call each that a model's answer asks for.
    pub requested_tool_keys: Vec<Affixes>,
    /// Names of tools that are no tool's work: hand-offs, final answers, batches.
    pub phantom_tools: Vec<Pattern>,
    /// Finish reasons of an execution that a step limit stopped.
    pub unfinished_reasons: Vec<String>,
    /// Marks in the output of an execution that a step limit stopped.
    pub unfinished_outputs: Vec<String>,
    /// Words before the agent's name in span names.
    pub name_prefixes: Vec<String>,
    /// Words behind the agent's name in span names.
    pub name_suffixes: Vec<String>,
    /// Span names that name nobody.
    pub generic_names: Vec<String>,
}

/// Attribute names that carry indices in the middle, by how they start and end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affixes {
    /// How the name starts.
    pub starts: String,
    /// How it ends.
    pub ends: String,
}

/// What a span is, for the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// An agent is set up; never an execution.
    Create,
    /// A call of a model.
    Model,
    /// A call of a tool.
    Tool,
    /// A run of an agent or of a workflow of agents.
    Agent,
    /// Chains, steps, HTTP, the application.
    Other,
}

/// One classification rule; every condition given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The class of a span that fits.
    pub class: Class,
    /// The attribute that must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// What that attribute must say, one of these; anything when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub is: Vec<Pattern>,
    /// A further attribute that must be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// An attribute that must not be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<String>,
    /// The span's scope, one of these; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<Pattern>,
    /// The span's name, one of these; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub name: Vec<Pattern>,
    /// Only spans of agent scopes or with a marker.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_agentic: bool,
}

fn is_false(value: &bool) -> bool {
    !value
}

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A fact that the rules ask of a span or a resource.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Fact { $($(#[$doc])* $name),+ }

        impl Fact {
            /// How many facts there are.
            pub const COUNT: usize = [$(Fact::$name),+].len();
        }
    };
}

facts! {
    /// The agent's id, given on purpose.
    AgentId,
    /// Kind of agent, as the platform calls it.
    AgentType,
    /// Run that the telemetry belongs to.
    Run,
    /// The agent's name.
    AgentName,
    /// Name of the agent that a call or a step belongs to.
    CallerName,
    /// Name of a run of several agents.
    WorkflowName,
    /// Conversation, session or thread.
    Conversation,
    /// `service.name`.
    ServiceName,
    /// `service.namespace`.
    ServiceNamespace,
    /// Model that answered.
    ResponseModel,
    /// Model that was asked.
    RequestModel,
    /// Tokens read, cached ones included.
    InputTokens,
    /// Tokens written.
    OutputTokens,
    /// Both together.
    TotalTokens,
    /// Tokens read by everything below, as the framework sums them.
    AggregatedInputTokens,
    /// Tokens written by everything below.
    AggregatedOutputTokens,
    /// The provider's id of the answer.
    ResponseId,
    /// Cost in US dollars.
    Cost,
    /// Name of the tool.
    ToolName,
    /// Arguments of the call; only their hash is kept.
    ToolArguments,
    /// Id that the model gave the call.
    ToolCallId,
    /// MCP servers.
    McpServers,
    /// JSON text with the model's answer, to count the tool calls it asks for.
    RequestedTools,
    /// Why the model, or the run, stopped.
    FinishReason,
    /// Class of the error.
    ErrorType,
    /// Output of the run; only marks in it are looked for.
    Output,
    /// Status of an HTTP call.
    HttpStatus,
    /// How often the HTTP client sent again.
    ResendCount,
    /// System prompt; only its hash is kept.
    Prompt,
    /// Hash of the system prompt, computed by the sender.
    PromptHash,
    /// Kind of work that the execution does, as the platform calls it.
    TaskType,
    /// Definitions of the tools that the agent is offered; only a fingerprint of their names is kept.
    ToolDefinitions,
    /// The platform's word that the agent is infected.
    Infected,
    /// And why.
    InfectedReason,
}

impl Dialect {
    /// The built-in one.
    pub fn builtin() -> Self {
        serde_norway::from_str(include_str!("defaults.yaml"))
            .expect("the built-in dialect is tested to parse")
    }

    /// Whether an error of this class steers rather than fails.
    pub fn is_control_flow(&self, error_type: &str) -> bool {
        let class = error_type.trim_end_matches(['\'', '>']);
        let last = class.rsplit(['.', ':', ' ']).next().unwrap_or(class);
        self.control_flow.iter().any(|known| known == last)
    }

    /// Whether a tool of this name does no work of its own.
    pub fn is_phantom(&self, tool: &str) -> bool {
        self.phantom_tools.iter().any(|phantom| phantom.fits(tool))
    }

    /// Whether a finish reason says that the run wanted to go on. Lists that arrive as JSON text are looked into.
    pub fn is_unfinished(&self, reason: &str) -> bool {
        let reason = reason.trim_matches(|c: char| !c.is_alphanumeric());
        self.unfinished_reasons
            .iter()
            .any(|known| known.eq_ignore_ascii_case(reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the built-in data parses, tells every fact, and survives a round trip.
    #[test]
    fn the_builtin_dialect_is_whole() {
        let dialect = Dialect::builtin();
        assert_eq!(
            dialect.attributes.len(),
            Fact::COUNT,
            "a fact without attribute names"
        );
        assert!(dialect.attributes.values().all(|names| !names.is_empty()));
        let text = serde_norway::to_string(&dialect).expect("plain data");
        assert_eq!(
            serde_norway::from_str::<Dialect>(&text).expect("what was written"),
            dialect
        );
    }

    /// Guarantees: class names of every spelling are recognised by their last part, and nothing else is.
    #[test]
    fn control_flow_is_known_by_its_class() {
        let dialect = Dialect::builtin();
        for steering in [
            "ParentCommand",
            "langgraph.errors.ParentCommand",
            "<class 'a.b.GraphInterrupt'>",
        ] {
            assert!(dialect.is_control_flow(steering), "{steering}");
        }
        for failing in ["InternalServerError", "MyParentCommand", "", "ParentCommand.x"] {
            assert!(!dialect.is_control_flow(failing), "{failing}");
        }
    }

    /// Guarantees: a list of reasons written as JSON text counts like the plain word.
    #[test]
    fn finish_reasons_of_every_form() {
        let dialect = Dialect::builtin();
        for unfinished in ["tool_calls", "tool-calls", "[\"tool_calls\"]", "TOOL_CALL"] {
            assert!(dialect.is_unfinished(unfinished), "{unfinished}");
        }
        for finished in ["stop", "[\"stop\"]", "FinishReason.STOP", ""] {
            assert!(!dialect.is_unfinished(finished), "{finished}");
        }
    }
}
