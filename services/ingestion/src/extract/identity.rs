//! Who: the agent's id and name, and the agents inside.

use super::{LISTED_MAX, Members, Trace};
use crate::assemble::group::Execution;
use crate::assemble::span::Name;
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
    /// The agent's span that told the name.
    told_by: Option<Index>,
}

impl Names {
    /// Finds the names. What an agent's span says of itself comes first, then the name of the whole run, then what
    /// the name of its span tells; a name that only repeats the operation is none.
    pub(super) fn of(trace: &Trace<'_>, execution: &Execution, members: &Members) -> Self {
        let agents: Vec<Index> = members.of_class(trace, Class::Agent).collect();
        let is_named = |index: &&Index| own_name(trace, **index).is_some();
        // The first agent, or the first named one inside it: an unnamed one beside others names nobody.
        let first = agents.first().copied();
        let is_in_first = |index: &&Index| {
            first == Some(**index) || trace.tree.ancestors(**index).any(|above| Some(above) == first)
        };
        let told_by = agents.iter().filter(is_in_first).find(is_named).copied();
        let own = execution.span;
        let agent = told_by
            .and_then(|index| own_name(trace, index).cloned())
            .or_else(|| own.and_then(|index| own_name(trace, index).cloned()))
            .or_else(|| own.and_then(|index| workflow_name(trace, index)))
            .or_else(|| first.and_then(|index| workflow_name(trace, index)))
            .or_else(|| own.and_then(|index| by_span_name(trace, index)))
            .or_else(|| first.and_then(|index| by_span_name(trace, index)))
            .or_else(|| {
                members
                    .list
                    .iter()
                    .find_map(|index| own_name(trace, *index).cloned())
            });
        let mut parts: Vec<Name> = Vec::new();
        for index in &members.list {
            let part = match trace.span(*index).class {
                Class::Agent if own != Some(*index) && workflow_name(trace, *index).is_none() => {
                    own_name(trace, *index)
                        .cloned()
                        .or_else(|| by_affixes(trace, *index))
                }
                Class::Agent => own_name(trace, *index).cloned(),
                Class::Model | Class::Other => own_name(trace, *index).cloned(),
                Class::Tool | Class::Create => None,
            };
            if let Some(part) = part
                && Some(&part) != agent.as_ref()
                && !parts.contains(&part)
                && parts.len() < LISTED_MAX
            {
                parts.push(part);
            }
        }
        Names {
            agent,
            parts,
            told_by,
        }
    }

    /// The agent's id: given on purpose (or mapped by configuration), else service and name, of what there is.
    pub(super) fn agent_id(&self, trace: &Trace<'_>, execution: &Execution, members: &Members) -> AgentId {
        let resource = &trace.span(members.list[0]).origin.resource;
        // An agent inside may have an id too; it counts for the execution only when nothing else is known of it.
        let own = execution.span.into_iter().chain(self.told_by);
        let any = members.list.iter().copied().filter(|_| execution.span.is_none());
        let told = own
            .chain(any)
            .find_map(|index| trace.facts(index)?.agent_id.as_deref());
        if let Some(told) = told.or(resource.agent_id.as_deref()) {
            return AgentId::new(well_formed(told));
        }
        let parts = [
            resource.namespace.as_deref(),
            resource.service.as_deref(),
            self.agent.as_deref(),
        ];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        AgentId::new(if parts.is_empty() {
            "unknown".to_owned()
        } else {
            well_formed(&parts.join("/"))
        })
    }
}

/// What a span says of its agent's name.
pub(super) fn own_name<'t>(trace: &Trace<'t>, index: Index) -> Option<&'t Name> {
    trace
        .facts(index)?
        .agent_name
        .as_ref()
        .filter(|name| !is_generic(trace.dialect, name))
}

fn workflow_name(trace: &Trace<'_>, index: Index) -> Option<Name> {
    trace
        .facts(index)?
        .workflow_name
        .clone()
        .filter(|name| !is_generic(trace.dialect, name))
}

/// The part of a span's name that is the agent's, the whole of it when it has no words of the operation. Not of
/// application spans, and not the model's name, which some put there.
fn by_span_name(trace: &Trace<'_>, index: Index) -> Option<Name> {
    let span = trace.span(index);
    let full = span
        .name
        .as_deref()
        .filter(|name| !is_generic(trace.dialect, name))?;
    let name = stripped(trace.dialect, full);
    let is_model = trace
        .facts(index)
        .is_some_and(|facts| facts.model.as_deref() == Some(name));
    (!name.is_empty() && !is_model && !is_generic(trace.dialect, name)).then(|| name.into())
}

/// The same, only where words of the operation stand around the name.
fn by_affixes(trace: &Trace<'_>, index: Index) -> Option<Name> {
    let name = by_span_name(trace, index)?;
    (trace.span(index).name.as_ref() != Some(&name)).then_some(name)
}

fn stripped<'n>(dialect: &Dialect, full: &'n str) -> &'n str {
    let prefixes = || dialect.name_prefixes.iter();
    if let Some(name) = prefixes().find_map(|prefix| full.strip_prefix(prefix.as_str())) {
        return name.trim_matches(['[', ']']).trim();
    }
    let suffixes = || dialect.name_suffixes.iter();
    suffixes()
        .find_map(|suffix| full.strip_suffix(suffix.as_str()))
        .unwrap_or(full)
        .trim()
}

fn is_generic(dialect: &Dialect, name: &str) -> bool {
    dialect
        .generic_names
        .iter()
        .any(|generic| generic.eq_ignore_ascii_case(name))
}

/// An id that stores and URLs can carry: no control characters, not `.` or `..`, not too long.
fn well_formed(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let clean = crate::assemble::intern::cut(clean.trim(), ID_BYTES_MAX).trim();
    match clean {
        "" | "." | ".." => "unknown".to_owned(),
        clean => clean.to_owned(),
    }
}
