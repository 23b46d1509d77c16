//! Which spans of a trace are which execution.
//!
//! An execution is the highest span of an agent's instrumentation on the way up from a span. Model calls with no
//! such span above them belong to the application span around them. What still misses a local ancestor waits.

use super::Config;
use super::span::{Span, SpanId};
use super::tree::{Index, Spans, Tree};
use crate::dialect::Class;
use immune_domain::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// One execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The span that names it: its own, or the missing one above its spans.
    pub id: SpanId,
    /// Its own span; `None` when that has not arrived or spans other executions too.
    pub span: Option<Index>,
    /// The spans that are part of it, in order of arrival.
    pub members: Vec<Index>,
    /// Whether its own span ended and arrived.
    pub has_ended: bool,
}

/// The executions of a trace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Those whose record can be given.
    pub ended: Vec<Execution>,
    /// Those that miss a local ancestor, one per service: they run, or the process died.
    pub open: Vec<Execution>,
    /// Spans that ended an agent's run, but may still turn out to be part of another.
    pub pending: Vec<SpanId>,
    /// When to look again, if something only waits for time to pass.
    pub look_again_at: Option<Timestamp>,
}

/// A group of spans under one top.
struct Group {
    top: Index,
    members: Vec<Index>,
    has_model: bool,
    has_agent: bool,
    has_tool: bool,
}

/// Sorts the spans of a trace into executions. `is_quiet` says that the trace has been silent for the timeout.
pub fn group(spans: &Spans, tree: &Tree, config: &Config, now: Timestamp, is_quiet: bool) -> Groups {
    let mut groups = Groups::default();
    let mut under_application: BTreeMap<Index, Vec<Index>> = BTreeMap::new();
    let mut waiting = Vec::new();
    for group in by_top(spans, tree) {
        let root = tree.root[group.top];
        let is_loose = matches!(spans.all()[group.top].class, Class::Model | Class::Tool);
        if awaits_parent(spans, root) {
            waiting.push(group);
        } else if !is_loose {
            if group.has_model || group.has_agent {
                groups.ended.push(own_span(spans, group));
            }
        } else if root != group.top {
            under_application.entry(root).or_default().extend(group.members);
        } else if group.has_model && config.lone_model_calls {
            groups.ended.push(own_span(spans, group));
        }
    }
    for (root, mut members) in under_application {
        if !members
            .iter()
            .any(|index| spans.all()[*index].class == Class::Model)
        {
            continue;
        }
        // An application span that holds agents too does not measure the loose calls beside them.
        let holds_agents = groups
            .ended
            .iter()
            .any(|other| tree.root[other.members[0]] == root);
        members.sort_unstable();
        let span = (!holds_agents).then_some(root);
        groups.ended.push(Execution {
            id: spans.all()[root].id,
            span,
            members,
            has_ended: true,
        });
    }
    let mut services: Vec<Vec<Group>> = Vec::new();
    for group in waiting {
        let resource = |group: &Group| &spans.all()[group.top].origin.resource;
        let same = services
            .iter_mut()
            .find(|list| resource(&list[0]).is_same_service(resource(&group)));
        match same {
            Some(list) => list.push(group),
            None => services.push(vec![group]),
        }
    }
    for service in services {
        sort_waiting(spans, tree, config, now, is_quiet, service, &mut groups);
    }
    groups
}

/// Sorts what misses a local ancestor, within one service.
fn sort_waiting(
    spans: &Spans,
    tree: &Tree,
    config: &Config,
    now: Timestamp,
    is_quiet: bool,
    waiting: Vec<Group>,
    groups: &mut Groups,
) {
    let (runs, mut fragments): (Vec<Group>, Vec<Group>) =
        waiting.into_iter().partition(|group| is_run(spans, group));
    // A model or tool call that ended before an agent began shows that another agent is at work around it: an outer
    // agent asks its model before it calls the inner one.
    let first_fragment_end = fragments.iter().map(|group| spans.all()[group.top].end).min();
    for run in runs {
        let top = &spans.all()[run.top];
        let wait_ends = spans.all()[tree.root[run.top]]
            .arrived
            .plus(Duration::from_secs(config.ancestor_wait_seconds));
        if first_fragment_end.is_some_and(|end| end <= top.start) {
            fragments.push(run);
        } else if is_quiet || now >= wait_ends {
            groups.ended.push(own_span(spans, run));
        } else {
            groups.pending.push(top.id);
            groups.look_again_at = Some(groups.look_again_at.map_or(wait_ends, |at| at.min(wait_ends)));
        }
    }
    if is_quiet {
        // A span between was lost on the way: what hung below it lies within an execution that did end.
        fragments.retain_mut(|fragment| match enclosing(spans, &groups.ended, fragment) {
            Some(at) => {
                groups.ended[at].members.append(&mut fragment.members);
                groups.ended[at].members.sort_unstable();
                false
            }
            None => true,
        });
    }
    let tells = fragments.iter().any(|group| {
        let is_lost = spans.all()[tree.root[group.top]].marks.is_parent_local;
        group.has_model || group.has_agent || (group.has_tool && is_lost)
    });
    let first = fragments
        .iter()
        .map(|group| tree.root[group.top])
        .min_by_key(|root| {
            let root = &spans.all()[*root];
            (root.start, root.id)
        });
    if let Some(id) = first.and_then(|root| spans.all()[root].parent).filter(|_| tells) {
        let mut members: Vec<Index> = fragments.into_iter().flat_map(|group| group.members).collect();
        members.sort_unstable();
        groups.open.push(Execution {
            id,
            span: None,
            members,
            has_ended: false,
        });
    }
}

fn by_top(spans: &Spans, tree: &Tree) -> impl Iterator<Item = Group> {
    let mut groups: BTreeMap<Index, Group> = BTreeMap::new();
    for (index, top) in tree.top.iter().enumerate() {
        let Some(top) = *top else { continue };
        let group = groups.entry(top).or_insert_with(|| Group {
            top,
            members: Vec::new(),
            has_model: false,
            has_agent: false,
            has_tool: false,
        });
        group.members.push(index);
        match spans.all()[index].class {
            Class::Model => group.has_model = true,
            Class::Agent => group.has_agent = true,
            Class::Tool => group.has_tool = true,
            // A span with tokens is a model's, even when an SDK's limits cut off what it is.
            Class::Other => group.has_model |= spans.all()[index].has_usage(),
            Class::Create => {}
        }
    }
    groups.into_values()
}

fn own_span(spans: &Spans, group: Group) -> Execution {
    Execution {
        id: spans.all()[group.top].id,
        span: Some(group.top),
        members: group.members,
        has_ended: true,
    }
}

/// Whether a root may hang below a local span that has not arrived. A server span and a parent that the sender
/// calls remote are boundaries; a parent that is known was cut off as one.
fn awaits_parent(spans: &Spans, root: Index) -> bool {
    let span = &spans.all()[root];
    let Some(parent) = span.parent else { return false };
    let is_server_side = span.marks.is_server && !span.marks.is_agentic;
    !span.marks.is_parent_remote && !is_server_side && spans.find(parent).is_none()
}

/// Whether the top of a group is a run of an agent rather than a step of one: its class says so, or it is a chain
/// that called a model more than once.
fn is_run(spans: &Spans, group: &Group) -> bool {
    let is_call = |index: &&Index| {
        let span: &Span = &spans.all()[**index];
        span.class == Class::Model && span.has_usage()
    };
    match spans.all()[group.top].class {
        Class::Agent => true,
        Class::Other => group.members.iter().filter(is_call).nth(1).is_some(),
        Class::Model | Class::Tool | Class::Create => false,
    }
}

/// The shortest ended execution of the same service around a group.
fn enclosing(spans: &Spans, ended: &[Execution], group: &Group) -> Option<usize> {
    let top = &spans.all()[group.top];
    let around = ended.iter().enumerate().filter_map(|(at, execution)| {
        let own = &spans.all()[execution.span?];
        let is_around = own.start <= top.start && top.end <= own.end;
        (is_around && own.origin.resource.is_same_service(&top.origin.resource))
            .then_some((at, own.end - own.start))
    });
    around.min_by_key(|(_, duration)| *duration).map(|(at, _)| at)
}
