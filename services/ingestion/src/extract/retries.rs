//! Retries: failed attempts that another attempt followed, where attempts can be seen at all.
//!
//! Most instrumentations hide the retries of the client in one longer span. Then the number is unknown, not 0.

use super::{Members, Trace, tools};
use crate::assemble::tree::Index;
use crate::dialect::Class;

/// Counts the retries of an execution; `None` when nothing in its spans could have shown one.
pub(super) fn count(trace: &Trace<'_>, members: &Members) -> Option<u32> {
    let resends: Vec<u32> = leaf_resends(trace, members);
    let http = attempts(trace, members, |index| {
        let status = trace
            .facts(index)?
            .http_status
            .filter(|_| is_http_of_model(trace, index))?;
        Some(status == 429 || status >= 500)
    });
    let models = attempts(trace, members, |index| {
        let span = trace.span(index);
        (span.class == Class::Model).then(|| span.failed())
    });
    let retries =
        resends.iter().sum::<u32>() + http.followed.max(models.followed) + repeated_tools(trace, members);
    let could_show = !resends.is_empty() || http.seen > 0;
    (retries > 0 || could_show).then_some(retries)
}

/// Whether a span is an HTTP client's below a model call. Models' own spans show the last status only.
fn is_http_of_model(trace: &Trace<'_>, index: Index) -> bool {
    let caller = trace
        .tree
        .ancestors(index)
        .find(|above| trace.span(*above).marks.is_agentic);
    !trace.span(index).marks.is_agentic && caller.is_some_and(|above| trace.span(above).class == Class::Model)
}

/// What the HTTP client itself counted. Nested spans of one call repeat it: the lowest tells.
fn leaf_resends(trace: &Trace<'_>, members: &Members) -> Vec<u32> {
    let told: Vec<(Index, u32)> = members
        .list
        .iter()
        .filter_map(|index| Some((*index, trace.facts(*index)?.resends?)))
        .collect();
    let is_above = |index: Index| {
        told.iter()
            .any(|(low, _)| trace.tree.ancestors(*low).any(|up| up == index))
    };
    told.iter()
        .filter(|(index, _)| !is_above(*index))
        .map(|(_, count)| *count)
        .collect()
}

#[derive(Debug, Default)]
struct Attempts {
    seen: u32,
    followed: u32,
}

/// Attempts under one parent: a failed one counts when another begins after its end. `failed` says of a span
/// whether it failed, and nothing of one that is no attempt.
fn attempts(trace: &Trace<'_>, members: &Members, failed: impl Fn(Index) -> Option<bool>) -> Attempts {
    let mut attempts = Attempts::default();
    let mut failures: Vec<(Option<Index>, u64)> = Vec::new();
    for index in &members.list {
        let Some(failed) = failed(*index) else { continue };
        attempts.seen += 1;
        let (parent, span) = (trace.tree.parent[*index], trace.span(*index));
        // Members come in order of their start: what failed before this one began was tried again by it.
        failures.retain(|(of, end)| {
            let is_followed = *of == parent && *end <= span.start;
            attempts.followed += u32::from(is_followed);
            !is_followed
        });
        if failed {
            failures.push((parent, span.end));
        }
    }
    attempts
}

/// A tool called again with the same arguments after it failed.
fn repeated_tools(trace: &Trace<'_>, members: &Members) -> u32 {
    let mut failures: Vec<(&str, u64)> = Vec::new();
    let mut repeated = 0;
    for index in members.of_class(trace, Class::Tool) {
        let Some(arguments) = trace.facts(index).and_then(|facts| facts.arguments) else {
            continue;
        };
        let call = (tools::name(trace, index), arguments);
        let before = failures.len();
        failures.retain(|failure| *failure != call);
        repeated += u32::from(failures.len() < before);
        if trace.span(index).failed() {
            failures.push(call);
        }
    }
    repeated
}
