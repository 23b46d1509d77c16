//! Success: whether the execution reached its end without failing.
//!
//! A tool that fails and an agent that recovers is no failure; a root that says Ok above an agent that failed is.

use super::{Members, Trace, text};
use crate::assemble::group::Execution;
use crate::assemble::tree::Index;
use crate::dialect::Class;

/// Whether an execution that ended did so without failing.
pub(super) fn reached_its_end(trace: &Trace<'_>, execution: &Execution, members: &Members) -> bool {
    let own_failed = execution.span.is_some_and(|index| trace.span(index).failed());
    !own_failed
        && failed_agent(trace, members).is_none()
        && failed_call(trace, members).is_none()
        && !was_cut_short(trace, execution)
        && !was_cancelled(trace, members)
}

/// Error class of what failed: the execution's own, else of the agent or the call that was not made good.
pub(super) fn error_type(trace: &Trace<'_>, execution: &Execution, members: &Members) -> Option<String> {
    let class = |index: Index| text(trace.facts(index)?.error_type.as_ref());
    let own = execution
        .span
        .filter(|index| trace.span(*index).failed())
        .and_then(class);
    own.or_else(|| failed_agent(trace, members).and_then(class))
        .or_else(|| failed_call(trace, members).and_then(class))
        .or_else(|| was_cut_short(trace, execution).then(|| "step_limit".to_owned()))
        .or_else(|| was_cancelled(trace, members).then(|| "cancelled".to_owned()))
}

/// An agent inside that failed, with no model call of the run that succeeded after it.
fn failed_agent(trace: &Trace<'_>, members: &Members) -> Option<Index> {
    let failed = members
        .of_class(trace, Class::Agent)
        .filter(|index| trace.span(*index).failed());
    failed
        .max_by_key(|index| trace.span(*index).end)
        .filter(|index| !has_answer_after(trace, members, *index))
}

/// The last model call failed and nothing answered after it.
fn failed_call(trace: &Trace<'_>, members: &Members) -> Option<Index> {
    let failed = members
        .of_class(trace, Class::Model)
        .filter(|index| trace.span(*index).failed());
    failed
        .max_by_key(|index| trace.span(*index).end)
        .filter(|index| !has_answer_after(trace, members, *index))
}

fn has_answer_after(trace: &Trace<'_>, members: &Members, failed: Index) -> bool {
    let failed = trace.span(failed);
    let mut calls = members.of_class(trace, Class::Model);
    // A call that ran beside the failed one and outlived it counts too: the run went on with its answer.
    calls.any(|index| !trace.span(index).marks.is_error && trace.span(index).end > failed.end)
}

/// A step limit that the framework returns from quietly: the run's own reason to stop is that a tool was wanted,
/// or its output says so.
fn was_cut_short(trace: &Trace<'_>, execution: &Execution) -> bool {
    let Some(own) = execution.span else { return false };
    let span = trace.span(own);
    let finish = trace.facts(own).and_then(|facts| facts.finish.as_deref());
    let stopped = finish.is_some_and(|finish| trace.dialect.is_unfinished(finish));
    span.marks.is_unfinished || (span.class == Class::Agent && stopped)
}

/// The caller went away: the last model call has neither tokens nor a response nor an error, although the others
/// have. A run whose calls never tell tokens says nothing.
fn was_cancelled(trace: &Trace<'_>, members: &Members) -> bool {
    let mut has_model_below = vec![false; trace.spans.all().len()];
    for index in members.of_class(trace, Class::Model) {
        for above in trace.tree.ancestors(index) {
            if std::mem::replace(&mut has_model_below[above], true) {
                break;
            }
        }
    }
    let calls: Vec<Index> = members
        .of_class(trace, Class::Model)
        .filter(|index| !has_model_below[*index])
        .collect();
    let answered = |index: &Index| {
        let has_id = trace.facts(*index).is_some_and(|facts| facts.response.is_some());
        has_id || !trace.spans.usage(*index).is_empty()
    };
    let stopped = |index: &Index| trace.facts(*index).is_some_and(|facts| facts.finish.is_some());
    let Some((last, before)) = calls.split_last() else {
        return false;
    };
    let marks = trace.span(*last).marks;
    let says_nothing = !answered(last) && !stopped(last) && !marks.is_error && !marks.lost_attributes;
    says_nothing && before.iter().any(answered)
}
