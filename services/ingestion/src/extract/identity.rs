//! Who: the agent's id and name, and the agents inside.

use super::{LISTED_MAX, Members, Trace};
use crate::assemble::group::Execution;
use crate::assemble::span::{Name, Span};
use crate::assemble::tree::Index;
use crate::dialect::{Class, Dialect};
use immune_domain::AgentId;
use immune_domain::id::ID_BYTES_MAX;

/// Names of an execution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The agent that the execution is of: the first to be named.
    pub(crate) agent: Option<Name>,
    /// The agents inside, in order of first appearance.
    pub(crate) parts: Vec<Name>,
}

impl Names {
    /// Finds the names. Agents' own words come first, then the name of the whole run, then what the names of spans
    /// tell; a name that only repeats the operation is none.
    pub(super) fn of(trace: &Trace<'_>, execution: &Execution, members: &Members) -> Self {
        let agents: Vec<Index> = members.of_class(trace, Class::Agent).collect();
        let mut named: Vec<Name> = Vec::new();
        for index in &agents {
            if let Some(name) = own_name(trace, *index)
                && !named.contains(name)
            {
                named.push(name.clone());
            }
        }
        let first = named.first().cloned();
        let by_any_span = || members.list.iter().find_map(|index| own_name(trace, *index).cloned());
        let agent = first
            .or_else(|| chain_name(trace, execution))
            .or_else(|| agents.iter().find_map(|index| workflow_name(trace, *index)))
            .or_else(|| execution.span.and_then(|index| workflow_name(trace, index)))
            .or_else(|| agents.iter().find_map(|index| by_span_name(trace.dialect, trace.span(*index))))
            .or_else(|| execution.span.and_then(|index| by_span_name(trace.dialect, trace.span(index))))
            .or_else(by_any_span);
        let mut parts: Vec<Name> = named.into_iter().filter(|name| Some(name) != agent.as_ref()).collect();
        parts.truncate(LISTED_MAX);
        Names { agent, parts }
    }

    /// The agent's id: given on purpose (or mapped by configuration), else service and name, of what there is.
    pub(super) fn agent_id(&self, trace: &Trace<'_>, members: &Members) -> AgentId {
        let resource = &trace.span(members.list[0]).origin.resource;
        let told = members.list.iter().find_map(|index| trace.facts(*index)?.agent_id.as_deref());
        if let Some(told) = told.or(resource.agent_id.as_deref()) {
            return AgentId::new(well_formed(told));
        }
        let parts = [resource.namespace.as_deref(), resource.service.as_deref(), self.agent.as_deref()];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        AgentId::new(if parts.is_empty() { "unknown".to_owned() } else { well_formed(&parts.join("/")) })
    }
}

/// What a span says of its agent's name.
pub(crate) fn own_name<'t>(trace: &Trace<'t>, index: Index) -> Option<&'t Name> {
    trace.facts(index)?.agent_name.as_ref().filter(|name| !is_generic(trace.dialect, name))
}

/// A chain that is an execution carries its graph's name in its own span's name or metadata, not in an agent's.
fn chain_name(trace: &Trace<'_>, execution: &Execution) -> Option<Name> {
    let own = execution.span?;
    match trace.span(own).class {
        Class::Other => own_name(trace, own).cloned(),
        Class::Agent | Class::Model | Class::Tool | Class::Create => None,
    }
}

fn workflow_name(trace: &Trace<'_>, index: Index) -> Option<Name> {
    trace.facts(index)?.workflow_name.clone().filter(|name| !is_generic(trace.dialect, name))
}

/// The part of a span's name that is the agent's.
fn by_span_name(dialect: &Dialect, span: &Span) -> Option<Name> {
    let full = span.name.as_deref()?;
    let mut name = full;
    for prefix in &dialect.name_prefixes {
        name = name.strip_prefix(prefix.as_str()).unwrap_or(name);
    }
    for suffix in &dialect.name_suffixes {
        name = name.strip_suffix(suffix.as_str()).unwrap_or(name);
    }
    let name = name.trim_matches(['[', ']']).trim();
    (!name.is_empty() && !is_generic(dialect, full) && !is_generic(dialect, name)).then(|| name.into())
}

fn is_generic(dialect: &Dialect, name: &str) -> bool {
    dialect.generic_names.iter().any(|generic| generic.eq_ignore_ascii_case(name))
}

/// An id that stores and URLs can carry: no control characters, not `.` or `..`, not too long.
fn well_formed(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = crate::assemble::intern::cut(clean.trim(), ID_BYTES_MAX).trim();
    match clean {
        "" | "." | ".." => "unknown".to_owned(),
        clean => clean.to_owned(),
    }
}
