//! From an execution's spans to its vitals.
//!
//! Each vital has a file of its own with its rule; this one puts them together. To add a vital: a fact in
//! [`crate::dialect`], a field of [`crate::assemble::span::Facts`], a file here.

mod identity;
mod nested;
mod retries;
mod success;
mod tokens;
mod tools;

#[cfg(test)]
mod dialect_tests;
#[cfg(test)]
mod tests;

pub use nested::nested;

use identity::Names;

use crate::assemble::group::Execution;
use crate::assemble::span::{Facts, Name, Span, SpanId};
use crate::assemble::tree::{Index, Spans, Tree};
use crate::dialect::{Class, Dialect};
use immune_domain::vitals::{Completeness, Context, Source, Vitals};
use immune_domain::{AgentKey, ExecutionId, RunId, Timestamp};
use std::cmp::Reverse;

/// Names listed per execution: tools, parts, MCP servers.
const LISTED_MAX: usize = 32;

/// A trace, as the rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Trace<'t> {
    /// Its id.
    pub id: u128,
    /// The run it belongs to.
    pub run: &'t RunId,
    /// Its spans.
    pub spans: &'t Spans,
    /// How they hang together.
    pub tree: &'t Tree,
    /// The words.
    pub dialect: &'t Dialect,
}

/// Numbers of spans that were not kept because the trace was full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Folded {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tool calls.
    pub tools: u32,
    /// Latest end, nanoseconds since the epoch.
    pub end: u64,
}

impl<'t> Trace<'t> {
    pub(crate) fn span(&self, index: Index) -> &'t Span {
        &self.spans.all()[index]
    }

    pub(crate) fn facts(&self, index: Index) -> Option<&'t Facts> {
        self.span(index).facts.as_deref()
    }
}

/// The execution's id: trace and span, in hex.
pub fn execution_id(trace: u128, span: SpanId) -> ExecutionId {
    ExecutionId::new(format!("{trace:032x}-{span:016x}"))
}

/// The vitals of an execution. `completeness` is what the caller knows: an execution whose span ended is complete.
pub fn vitals(
    trace: &Trace<'_>,
    execution: &Execution,
    completeness: Completeness,
    folded: Folded,
    now: Timestamp,
) -> Vitals {
    let members = Members::of(trace, execution);
    let names = Names::of(trace, execution, &members);
    let tokens = tokens::count(trace, &members).with(folded);
    let tools = tools::count(trace, &members);
    let times = members.times(trace, execution, folded);
    let is_over = match completeness {
        Completeness::Complete => true,
        Completeness::Incomplete | Completeness::Running => false,
    };
    // Running: nothing has failed yet. Incomplete: its end never came.
    let success = match completeness {
        Completeness::Complete => success::reached_its_end(trace, execution, &members),
        Completeness::Incomplete => false,
        Completeness::Running => true,
    };
    let first = |pick: fn(&Facts) -> Option<&Name>| members.first(trace, execution.span, pick);
    let key = AgentKey::new(trace.run.clone(), names.agent_id(trace, execution, &members));
    let resource = &trace.span(members.list[0]).origin.resource;
    let error_type = if is_over && !success {
        success::error_type(trace, execution, &members)
    } else {
        None
    };
    let context = Context {
        agent_type: first(|facts| facts.agent_type.as_ref()).or_else(|| text(resource.agent_type.as_ref())),
        agent_name: text(names.agent.as_ref()),
        framework: Some(framework(trace, execution, &members)).filter(|scope| !scope.is_empty()),
        model: members.model(trace),
        conversation: first(|facts| facts.conversation.as_ref()),
        trace_id: Some(format!("{:032x}", trace.id)),
        tools: tools.names,
        parts: names.parts.iter().map(|name| name.to_string()).collect(),
        mcp_servers: members.mcp_servers(trace),
        error_type,
        cost: members.cost(trace),
        prompt_hash: first(|facts| facts.prompt_hash.as_ref()),
        task_type: first(|facts| facts.task_type.as_ref()).or_else(|| text(resource.task_type.as_ref())),
        tools_offered: first(|facts| facts.tools_offered.as_ref()),
        repeated_call: tools.repeated,
        workload: resource
            .workload
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
        platform_infected: first(|facts| facts.infected.as_ref())
            .or_else(|| text(resource.infected.as_ref())),
    };
    Vitals {
        key,
        execution: execution_id(trace.id, execution.id),
        revision: 0,
        started_at: Timestamp::from_unix_nanos(times.start),
        timestamp: Timestamp::from_unix_nanos(times.end),
        received_at: now,
        latency_ms: (times.end - times.start) as f64 / 1e6,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        token_count: tokens.total,
        tool_calls: tools.calls.map(|calls| calls.saturating_add(folded.tools)),
        retries: retries::count(trace, &members),
        success,
        completeness,
        source: Source::Otlp,
        context: Box::new(context),
    }
}

/// The spans of an execution in order of their start.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) list: Vec<Index>,
}

struct Times {
    start: u64,
    end: u64,
}

impl Members {
    pub(crate) fn of(trace: &Trace<'_>, execution: &Execution) -> Self {
        let mut list = execution.members.clone();
        // Of spans that start together the longer one is around the other; ids make the order the same however
        // the spans arrived.
        let order = |span: &Span| (span.start, Reverse(span.end), span.id);
        list.sort_by_key(|index| order(trace.span(*index)));
        Members { list }
    }

    pub(crate) fn of_class(&self, trace: &Trace<'_>, class: Class) -> impl Iterator<Item = Index> {
        self.list
            .iter()
            .copied()
            .filter(move |index| trace.span(*index).class == class)
    }

    /// Latency is that of the execution's own span; where it has none, or no duration, from the first start to the
    /// last end.
    fn times(&self, trace: &Trace<'_>, execution: &Execution, folded: Folded) -> Times {
        let own = execution
            .span
            .map(|index| trace.span(index))
            .filter(|span| !span.marks.has_no_duration);
        if let Some(own) = own {
            return Times {
                start: own.start,
                end: own.end,
            };
        }
        let start = self
            .list
            .iter()
            .map(|index| trace.span(*index).start)
            .min()
            .unwrap_or(0);
        let end = self
            .list
            .iter()
            .map(|index| trace.span(*index).end)
            .max()
            .unwrap_or(start);
        Times {
            start,
            end: end.max(folded.end).max(start),
        }
    }

    /// What the execution's own span says, else the first member that says it.
    fn first(
        &self,
        trace: &Trace<'_>,
        own: Option<Index>,
        pick: fn(&Facts) -> Option<&Name>,
    ) -> Option<String> {
        let found = own.into_iter().chain(self.list.iter().copied());
        found
            .filter_map(|index| trace.facts(index))
            .find_map(|facts| text(pick(facts)))
    }

    /// The model of the first model call, one that answered if there is; else what any span names.
    fn model(&self, trace: &Trace<'_>) -> Option<String> {
        let model = |served: bool| {
            let calls = self
                .of_class(trace, Class::Model)
                .filter_map(|index| trace.facts(index));
            calls
                .filter(|facts| facts.is_model_served || !served)
                .find_map(|facts| text(facts.model.as_ref()))
        };
        model(true)
            .or_else(|| model(false))
            .or_else(|| self.first(trace, None, |facts| facts.model.as_ref()))
    }

    /// The sum of what the calls cost; a total above them is not added to it.
    fn cost(&self, trace: &Trace<'_>) -> Option<f64> {
        let cost = |class| {
            let costs = self
                .of_class(trace, class)
                .filter_map(|index| trace.facts(index)?.cost);
            costs.reduce(|sum, cost| sum + cost)
        };
        cost(Class::Model).or_else(|| cost(Class::Agent))
    }

    fn mcp_servers(&self, trace: &Trace<'_>) -> Vec<String> {
        let mut listed = Vec::new();
        let own = self
            .list
            .iter()
            .filter_map(|index| trace.facts(*index))
            .flat_map(|facts| &facts.mcp_servers);
        for server in own.chain(&trace.span(self.list[0]).origin.resource.mcp_servers) {
            list(&mut listed, server);
        }
        listed
    }
}

/// The scope of the execution's own span, if that is an agent's; else of the first member.
fn framework(trace: &Trace<'_>, execution: &Execution, members: &Members) -> String {
    let own = execution.span.filter(|index| trace.span(*index).marks.is_agentic);
    let first = members
        .list
        .iter()
        .copied()
        .find(|index| trace.span(*index).marks.is_agentic);
    own.or(first)
        .map_or(String::new(), |index| trace.span(index).origin.scope.to_string())
}

/// Appends a name once, up to [`LISTED_MAX`].
fn list(listed: &mut Vec<String>, name: &str) {
    if listed.len() < LISTED_MAX && !listed.iter().any(|known| known == name) {
        listed.push(name.to_owned());
    }
}

fn text(name: Option<&Name>) -> Option<String> {
    name.map(|name| name.to_string())
}
