//! Tool calls: tool spans, without phantoms and without the second span of one call.

use super::{Members, Trace, list};
use crate::assemble::tree::Index;
use crate::dialect::Class;
use foldhash::{HashMap, HashMapExt as _};
use immune_domain::vitals::RepeatedCall;

/// Different calls that are told apart in one execution. A loop shows among the first; beyond, new ones are not counted.
const CALLS_MAX: usize = 64;

/// Tool calls of an execution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tools {
    /// How many, `None` when neither spans nor answers tell.
    pub(super) calls: Option<u32>,
    /// The tools' names in order of first use.
    pub(super) names: Vec<String>,
    /// The call made most often with the same arguments, where one was made more than once.
    pub(super) repeated: Option<RepeatedCall>,
}

/// How often each call was made with the same arguments, of which only the hash is known.
#[derive(Debug, Default)]
struct Repeats<'t> {
    calls: HashMap<(&'t str, u64), u32>,
}

impl<'t> Repeats<'t> {
    fn count(&mut self, tool: &'t str, arguments: u64) {
        let call = (tool, arguments);
        if self.calls.len() < CALLS_MAX || self.calls.contains_key(&call) {
            *self.calls.entry(call).or_default() += 1;
        }
    }

    /// Of equal ones the first by name, so that the same spans in another order say the same.
    fn most(self) -> Option<RepeatedCall> {
        let repeated = self.calls.into_iter().filter(|(_, times)| *times > 1);
        let ((tool, _), times) = repeated.max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.cmp(a)))?;
        Some(RepeatedCall {
            tool: tool.to_owned(),
            times,
        })
    }
}

/// Counts the tool calls of an execution.
pub(super) fn count(trace: &Trace<'_>, members: &Members) -> Tools {
    let mut tools = Tools::default();
    let mut calls = 0_u32;
    let mut ends: HashMap<(u64, &str), u64> = HashMap::new();
    let mut has_tool_spans = false;
    let mut repeats = Repeats::default();
    for index in members.of_class(trace, Class::Tool) {
        has_tool_spans = true;
        let name = name(trace, index);
        if trace.dialect.is_phantom(name) || is_inner_span(trace, index, name) {
            continue;
        }
        // Two instrumentations side by side: the same call id, at the same time.
        if let Some(call) = trace.facts(index).and_then(|facts| facts.call) {
            let span = trace.span(index);
            let end = ends.entry((call, name)).or_insert(0);
            let is_second = span.start < *end;
            *end = span.end.max(*end);
            if is_second {
                continue;
            }
        }
        calls = calls.saturating_add(1);
        list(&mut tools.names, name);
        if let Some(arguments) = trace.facts(index).and_then(|facts| facts.arguments) {
            repeats.count(name, arguments);
        }
    }
    tools.repeated = repeats.most();
    tools.calls = if has_tool_spans {
        Some(calls)
    } else {
        asked_for(trace, members)
    };
    tools
}

/// Name of the tool, else what the span name says.
pub(super) fn name<'t>(trace: &Trace<'t>, index: Index) -> &'t str {
    let span = trace.span(index);
    let told = trace.facts(index).and_then(|facts| facts.tool.as_deref());
    let by_span = span
        .name
        .as_deref()
        .map(|name| name.strip_prefix("execute_tool ").unwrap_or(name));
    told.or(by_span).unwrap_or_default()
}

/// Whether the span is the same call as a tool span around it: the nearest span above that does work is a tool of
/// the same name.
fn is_inner_span(trace: &Trace<'_>, index: Index, name_inside: &str) -> bool {
    for above in trace.tree.ancestors(index) {
        match trace.span(above).class {
            Class::Tool => {
                // Some write the agent before the tool: `assistant.get_weather`.
                let outer = name(trace, above).strip_suffix(name_inside);
                return outer.is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-', '/']));
            }
            Class::Agent | Class::Model => return false,
            Class::Other | Class::Create => {}
        }
    }
    false
}

/// Where tools leave no span, what the models asked for. Unknown when a model stopped for a tool and the answers are
/// not recorded; none where every model says that it stopped for something else, or an agent's instrumentation is
/// at work, which shows tools where there are any.
fn asked_for(trace: &Trace<'_>, members: &Members) -> Option<u32> {
    let calls = model_calls(trace, members);
    let mut asked = 0_u32;
    for call in &calls {
        match call.asked {
            Some(tools) if tools > 0 => asked = asked.saturating_add(tools),
            Some(_) | None if call.wants_tools => return None,
            Some(_) | None => {}
        }
    }
    let is_step = |index: &Index| {
        let span = trace.span(*index);
        span.marks.is_agentic && matches!(span.class, Class::Agent | Class::Other)
    };
    let says_why = calls.iter().all(|call| call.asked.is_some() || call.says_why);
    (asked > 0 || says_why || members.list.iter().any(is_step)).then_some(asked)
}

/// What one model call says of tools.
#[derive(Debug, Default)]
struct ModelCall {
    asked: Option<u32>,
    wants_tools: bool,
    says_why: bool,
}

/// The model calls. Spans of one call, below each other or with one response id, say together what they say.
fn model_calls(trace: &Trace<'_>, members: &Members) -> Vec<ModelCall> {
    let mut calls: Vec<ModelCall> = Vec::new();
    let mut by_span: HashMap<Index, usize> = HashMap::new();
    let mut by_response: HashMap<u64, usize> = HashMap::new();
    for index in members.of_class(trace, Class::Model) {
        let facts = trace.facts(index);
        let response = facts.and_then(|facts| facts.response);
        let around = trace
            .tree
            .ancestors(index)
            .find(|above| !matches!(trace.span(*above).class, Class::Other));
        let known = around.and_then(|above| by_span.get(&above));
        let known = known.or_else(|| by_response.get(&response?)).copied();
        let at = known.unwrap_or_else(|| {
            calls.push(ModelCall::default());
            calls.len() - 1
        });
        by_span.insert(index, at);
        if let Some(response) = response {
            by_response.insert(response, at);
        }
        let (call, Some(facts)) = (&mut calls[at], facts) else {
            continue;
        };
        call.asked = call.asked.max(facts.requested_tools);
        call.says_why |= facts.finish.is_some();
        call.wants_tools |= facts
            .finish
            .as_deref()
            .is_some_and(|finish| trace.dialect.is_unfinished(finish));
    }
    calls
}
