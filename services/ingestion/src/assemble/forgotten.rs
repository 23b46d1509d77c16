//! Executions that were finished and forgotten, so that a span that comes too late does not make a new one.

use super::span::{Span, SpanId};
use super::trace::TraceKey;
use foldhash::HashSet;
use foldhash::fast::FixedState;
use std::collections::VecDeque;
use std::hash::BuildHasher as _;

/// How many are remembered, 16 bytes each and their table.
const FORGOTTEN_MAX: usize = 65_536;

/// The latest of them.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

impl Forgotten {
    pub(super) fn add(&mut self, trace: &TraceKey, span: SpanId) {
        let name = name(trace, span);
        if !self.known.insert(name) {
            return;
        }
        self.order.push_back(name);
        if self.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether the span is that of a forgotten execution, or a child of it.
    pub(super) fn holds(&self, trace: &TraceKey, span: &Span) -> bool {
        !self.known.is_empty()
            && (self.known.contains(&name(trace, span.id))
                || span
                    .parent
                    .is_some_and(|parent| self.known.contains(&name(trace, parent))))
    }
}

fn name(trace: &TraceKey, span: SpanId) -> u64 {
    FixedState::default().hash_one((trace, span))
}
