//! Tool calls: tool spans, without phantoms and without the second span of one call.

use super::{Members, Trace, list};
use crate::assemble::tree::Index;
use crate::dialect::Class;
use std::collections::HashMap;

/// Tool calls of an execution.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tools {
    /// How many, `None` when neither spans nor answers tell.
    pub(super) calls: Option<u32>,
    /// The tools' names in order of first use.
    pub(super) names: Vec<String>,
}

/// Counts the tool calls of an execution.
pub(super) fn count(trace: &Trace<'_>, members: &Members) -> Tools {
    let mut tools = Tools::default();
    let mut calls = 0_u32;
    let mut ends: HashMap<(u64, &str), u64> = HashMap::new();
    let mut has_tool_spans = false;
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
    }
    tools.calls = if has_tool_spans { Some(calls) } else { asked_for(trace, members) };
    tools
}

/// Name of the tool, else what the span name says.
pub(super) fn name<'t>(trace: &Trace<'t>, index: Index) -> &'t str {
    let span = trace.span(index);
    let told = trace.facts(index).and_then(|facts| facts.tool.as_deref());
    let by_span = span.name.as_deref().map(|name| name.strip_prefix("execute_tool ").unwrap_or(name));
    told.or(by_span).unwrap_or_default()
}

/// Whether the span is the same call as a tool span around it: the nearest span above that does work is a tool of
/// the same name.
fn is_inner_span(trace: &Trace<'_>, index: Index, name_inside: &str) -> bool {
    for above in trace.tree.ancestors(index) {
        match trace.span(above).class {
            Class::Tool => return name(trace, above) == name_inside,
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
    let mut calls = 0_u32;
    let mut says_why = true;
    for index in members.of_class(trace, Class::Model) {
        let facts = trace.facts(index);
        let finish = facts.and_then(|facts| facts.finish.as_deref());
        match (facts.and_then(|facts| facts.requested_tools), finish) {
            (Some(asked), _) if asked > 0 => calls = calls.saturating_add(asked),
            (_, Some(finish)) if trace.dialect.is_unfinished(finish) => return None,
            (Some(_), _) | (None, Some(_)) => {}
            (None, None) => says_why = false,
        }
    }
    let is_step = |index: &Index| {
        let span = trace.span(*index);
        span.marks.is_agentic && matches!(span.class, Class::Agent | Class::Other)
    };
    (calls > 0 || says_why || members.list.iter().any(is_step)).then_some(calls)
}
