//! Tokens: the sum over leaf usage spans, each response once.
//!
//! Agents repeat the usage of their model calls, two instrumentations of one call both tell it, one below the other
//! or side by side. Leaves, and one count per response id, give each token once.

use super::{Folded, Members, Trace};
use crate::assemble::span::Usage;
use crate::assemble::tree::Index;
use crate::dialect::Class;
use foldhash::{HashMap, HashMapExt as _};

/// Tokens of an execution; what no span tells is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    /// Read.
    pub(super) input: Option<u64>,
    /// Written.
    pub(super) output: Option<u64>,
    /// Both.
    pub(super) total: Option<u64>,
}

impl Tokens {
    fn add(&mut self, usage: Usage) {
        let both = usage
            .input
            .zip(usage.output)
            .map(|(input, output)| input.saturating_add(output));
        let total = both.or(usage.total).or(usage.input).or(usage.output);
        for (sum, part) in [
            (&mut self.input, usage.input),
            (&mut self.output, usage.output),
            (&mut self.total, total),
        ] {
            if let Some(part) = part {
                *sum = Some(sum.unwrap_or(0).saturating_add(part));
            }
        }
    }

    /// With the tokens of spans that were not kept.
    pub(super) fn with(mut self, folded: Folded) -> Self {
        if folded.input + folded.output > 0 {
            self.add(Usage {
                input: Some(folded.input),
                output: Some(folded.output),
                total: None,
            });
        }
        self
    }
}

/// Counts the tokens of an execution.
pub(super) fn count(trace: &Trace<'_>, members: &Members) -> Tokens {
    let mut tokens = Tokens::default();
    for (_, usage) in responses(trace, members) {
        tokens.add(usage);
    }
    if tokens == Tokens::default() {
        // No call tells: the sum that a framework wrote on its outermost span is all there is.
        let aggregated = members
            .list
            .iter()
            .filter_map(|index| trace.facts(*index))
            .map(|facts| facts.aggregated);
        if let Some(aggregated) = aggregated.into_iter().find(|usage| !usage.is_empty()) {
            tokens.add(aggregated);
        }
    }
    tokens
}

/// The leaf usage spans, one per response.
fn responses(trace: &Trace<'_>, members: &Members) -> Vec<(Index, Usage)> {
    let used: Vec<(Index, Usage)> = members
        .list
        .iter()
        .map(|index| (*index, trace.spans.usage(*index)))
        .filter(|(_, usage)| !usage.is_empty())
        .collect();
    let repeats = repeats(trace, &used);
    let mut leaves: Vec<(Index, Usage)> = Vec::new();
    let mut by_response: HashMap<u64, usize> = HashMap::new();
    for (index, usage) in used.into_iter().filter(|(index, _)| !repeats[*index]) {
        let response = trace.facts(index).and_then(|facts| facts.response);
        match response.and_then(|response| by_response.get(&response)) {
            Some(at) => leaves[*at] = better(trace, leaves[*at], (index, usage)),
            None => {
                if let Some(response) = response {
                    by_response.insert(response, leaves.len());
                }
                leaves.push((index, usage));
            }
        }
    }
    leaves
}

/// Which spans repeat the usage of spans below them. A model call does not repeat what its tools' agents used, an
/// agent does; what log records tell of a span's own calls repeats nothing.
fn repeats(trace: &Trace<'_>, used: &[(Index, Usage)]) -> Vec<bool> {
    let count = trace.spans.all().len();
    let mut repeats = vec![false; count];
    // How each span was passed on the way up: from below a tool, or not. Twice the same way is needless.
    let mut passed = [vec![false; count], vec![false; count]];
    for (index, _) in used {
        let mut is_below_tool = trace.span(*index).class == Class::Tool;
        for above in trace.tree.ancestors(*index) {
            if std::mem::replace(&mut passed[usize::from(is_below_tool)][above], true) {
                break;
            }
            let class = trace.span(above).class;
            let is_own = trace.spans.has_logged_calls(above) || (class == Class::Model && is_below_tool);
            repeats[above] |= !is_own;
            is_below_tool |= class == Class::Tool;
        }
    }
    repeats
}

/// Of two that tell of one response: the provider's own library; else the larger numbers, since a partial count
/// (before the stream's end) is the smaller one.
fn better(trace: &Trace<'_>, one: (Index, Usage), other: (Index, Usage)) -> (Index, Usage) {
    let is_provider = |index: Index| trace.span(index).origin.is_provider;
    match (is_provider(one.0), is_provider(other.0)) {
        (true, false) => one,
        (false, true) => other,
        (true, true) | (false, false) => {
            let usage = Usage {
                input: one.1.input.max(other.1.input),
                output: one.1.output.max(other.1.output),
                total: one.1.total.max(other.1.total),
            };
            (one.0, usage)
        }
    }
}
