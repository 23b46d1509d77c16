//! One open trace: its spans, and what was reported of it.

use super::config::Config;
use super::counts::Totals;
use super::group::{self, Groups};
use super::reports::{Reported, Reports};
use super::span::{Span, SpanId};
use super::tree::{Spans, Tree};
use super::{Emitted, Words};
use crate::dialect::Class;
use crate::extract::{self, Folded};
use foldhash::{HashSet, HashSetExt as _};
use immune_domain::vitals::{Completeness, Vitals};
use immune_domain::{RunId, Timestamp};
use std::time::Duration;

/// What names a trace. Two runs may send the same trace id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct TraceKey {
    pub(super) run: RunId,
    pub(super) id: u128,
}

/// A trace whose spans are kept.
#[derive(Debug)]
pub(super) struct OpenTrace {
    pub(super) key: TraceKey,
    pub(super) spans: Spans,
    pub(super) last: Timestamp,
    pub(super) wake_at: Timestamp,
    /// Whether spans came that no look has seen.
    pub(super) is_changed: bool,
    /// Whether the last look found spans that miss an ancestor.
    pub(super) has_open: bool,
    /// Vitals so far of what still runs, as of the last change.
    pub(super) partial: Option<Vec<Vitals>>,
    /// What was reported of it.
    pub(super) reports: Reports,
    /// Ends of agents' runs that the last look left waiting.
    pending: Vec<SpanId>,
    folded: Folded,
    /// Parents that have not arrived.
    awaited: HashSet<SpanId>,
    needs_look: bool,
}

/// What became of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    Kept,
    Repeated,
    Folded,
    Full,
}

impl OpenTrace {
    pub(super) fn new(key: TraceKey, now: Timestamp) -> Self {
        OpenTrace {
            key,
            spans: Spans::default(),
            last: now,
            wake_at: now,
            is_changed: false,
            has_open: false,
            partial: None,
            reports: Reports::default(),
            pending: Vec::new(),
            folded: Folded::default(),
            awaited: HashSet::new(),
            needs_look: false,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.spans.bytes()
            + self.awaited.len() * 2 * size_of::<SpanId>()
            + self.reports.bytes()
    }

    /// Takes a span in. Beyond the limit only agents' spans and awaited parents are kept, up to twice the limit;
    /// of others the numbers are added up.
    pub(super) fn add(&mut self, span: Span, config: &Config) -> Added {
        let count = self.spans.all().len();
        if count >= config.trace_spans_max && self.spans.find(span.id).is_none() {
            let is_structure = span.class == Class::Agent || self.awaited.contains(&span.id);
            if !is_structure || count >= 2 * config.trace_spans_max {
                return self.fold(&span);
            }
        }
        let awaits = span.parent.filter(|parent| self.spans.find(*parent).is_none());
        let is_settled = span.marks.is_parent_remote || span.marks.is_server;
        // A call below a span that has not arrived decides nothing: most spans of a run that goes on are such.
        let decides = awaits.is_none() || is_settled || span.class == Class::Agent;
        let id = span.id;
        if !self.spans.add(span) {
            return Added::Repeated;
        }
        self.needs_look |= self.awaited.remove(&id) || decides;
        self.awaited.extend(awaits);
        self.changed();
        Added::Kept
    }

    /// Marks that something came.
    pub(super) fn changed(&mut self) {
        self.is_changed = true;
        self.partial = None;
    }

    /// Marks that what was reported may have to be corrected.
    pub(super) fn look_needed(&mut self) {
        self.needs_look = true;
    }

    fn fold(&mut self, span: &Span) -> Added {
        let usage = span
            .facts
            .as_deref()
            .map(|facts| facts.usage)
            .filter(|_| span.class == Class::Model);
        if usage.is_none() && span.class != Class::Tool {
            return Added::Full;
        }
        let usage = usage.unwrap_or_default();
        self.folded.input = self.folded.input.saturating_add(usage.input.unwrap_or(0));
        self.folded.output = self.folded.output.saturating_add(usage.output.unwrap_or(0));
        self.folded.tools = self
            .folded
            .tools
            .saturating_add(u32::from(span.class == Class::Tool));
        self.folded.end = self.folded.end.max(span.end);
        self.needs_look |= !self.reports.standing().is_empty();
        self.changed();
        Added::Folded
    }

    pub(super) fn is_quiet(&self, config: &Config, now: Timestamp) -> bool {
        now >= self.last.plus(Duration::from_secs(config.quiet_timeout_seconds))
    }

    /// After spans came: reports what can be reported, and says when to look again.
    pub(super) fn after_spans(
        &mut self,
        words: &Words<'_>,
        now: Timestamp,
        totals: &mut Totals,
        out: &mut Vec<Emitted>,
    ) {
        self.last = now;
        let quiet_at = now.plus(Duration::from_secs(words.config.quiet_timeout_seconds));
        if self.needs_look {
            self.look(words, now, false, totals, out);
        } else {
            self.has_open = true;
            self.wake_at = self.wake_at.max(now).min(quiet_at);
        }
    }

    /// Sorts the spans into executions, reports what is new, corrects what changed, takes back what is none any
    /// more. Afterwards `wake_at` is the next time at which something may be due.
    pub(super) fn look(
        &mut self,
        words: &Words<'_>,
        now: Timestamp,
        is_quiet: bool,
        totals: &mut Totals,
        out: &mut Vec<Emitted>,
    ) {
        self.needs_look = false;
        self.is_changed = false;
        let tree = Tree::of(&self.spans);
        let groups = group::group(&self.spans, &tree, words.config, now, is_quiet);
        let wanted = self.wanted(words, &tree, &groups, is_quiet, now);
        self.retract(&wanted, &groups, is_quiet, totals, out);
        for vitals in wanted {
            self.reports.report(self.key.id, vitals.0, vitals.1, totals, out);
        }
        self.has_open = !groups.open.is_empty();
        self.pending.clone_from(&groups.pending);
        let after = |seconds| self.last.plus(Duration::from_secs(seconds));
        let config = words.config;
        let is_waiting = self.has_open || !groups.pending.is_empty();
        let quiet_at = after(config.quiet_timeout_seconds);
        let next = if is_waiting && !is_quiet {
            quiet_at
        } else {
            self.forget_at(config)
        };
        self.wake_at = groups.look_again_at.map_or(next, |at| at.min(next));
    }

    /// When the trace may be forgotten, if nothing more comes.
    pub(super) fn forget_at(&self, config: &Config) -> Timestamp {
        let linger = if self.has_open {
            config.incomplete_linger_seconds
        } else {
            config.linger_seconds
        };
        self.last
            .plus(Duration::from_secs(linger.max(config.quiet_timeout_seconds)))
    }

    /// The records that the spans give now.
    fn wanted(
        &self,
        words: &Words<'_>,
        tree: &Tree,
        groups: &Groups,
        is_quiet: bool,
        now: Timestamp,
    ) -> Vec<(SpanId, Vitals)> {
        let trace = self.view(words, tree);
        let incomplete = groups
            .open
            .iter()
            .filter(|_| is_quiet)
            .map(|one| (one, Completeness::Incomplete));
        let complete = groups.ended.iter().map(|one| (one, Completeness::Complete));
        // What a full trace could not keep belongs to its largest execution.
        let largest = groups
            .ended
            .iter()
            .chain(&groups.open)
            .max_by_key(|one| one.members.len())
            .map(|one| one.id);
        let mut wanted = Vec::new();
        for (execution, completeness) in complete.chain(incomplete) {
            let folded = if largest == Some(execution.id) {
                self.folded
            } else {
                Folded::default()
            };
            wanted.push((
                execution.id,
                extract::vitals(&trace, execution, completeness, folded, now),
            ));
            if words.config.nested_agents_own_vitals {
                for inner in extract::nested(&trace, execution) {
                    let vitals =
                        extract::vitals(&trace, &inner, Completeness::Complete, Folded::default(), now);
                    wanted.push((inner.id, vitals));
                }
            }
        }
        wanted
    }

    /// Vitals so far of what still runs.
    pub(super) fn running(&self, words: &Words<'_>, now: Timestamp) -> Vec<Vitals> {
        let tree = Tree::of(&self.spans);
        let groups = group::group(&self.spans, &tree, words.config, now, false);
        let trace = self.view(words, &tree);
        let folded = |first: bool| if first { self.folded } else { Folded::default() };
        let open = groups.open.iter().enumerate();
        open.map(|(n, one)| extract::vitals(&trace, one, Completeness::Running, folded(n == 0), now))
            .collect()
    }

    fn view<'t>(&'t self, words: &Words<'t>, tree: &'t Tree) -> extract::Trace<'t> {
        extract::Trace {
            id: self.key.id,
            run: &self.key.run,
            spans: &self.spans,
            tree,
            dialect: words.dialect,
        }
    }

    /// Takes back what stands and is no execution any more: an inner agent whose outer one arrived, a provisional
    /// id that was not the final one.
    fn retract(
        &mut self,
        wanted: &[(SpanId, Vitals)],
        groups: &Groups,
        is_quiet: bool,
        totals: &mut Totals,
        out: &mut Vec<Emitted>,
    ) {
        let spans = &self.spans;
        let stands = |reported: &Reported| {
            let is_wanted = wanted.iter().any(|(id, _)| *id == reported.id);
            let is_held =
                |members: &[usize]| members.iter().any(|index| spans.all()[*index].id == reported.id);
            let waits = !is_quiet
                && (groups.pending.contains(&reported.id)
                    || groups.open.iter().any(|open| {
                        open.id == reported.id
                            || (reported.completeness == Completeness::Complete && is_held(&open.members))
                    }));
            is_wanted || waits
        };
        self.reports.retain(self.key.id, stands, totals, out);
    }

    /// Takes back provisional records of ids that are not among those of what runs now: an ancestor arrived, and
    /// the missing span above it has another id.
    pub(super) fn retract_provisional(
        &mut self,
        running: &[SpanId],
        totals: &mut Totals,
        out: &mut Vec<Emitted>,
    ) {
        let stands = |reported: &Reported| match reported.completeness {
            Completeness::Complete => true,
            Completeness::Incomplete | Completeness::Running => {
                running.contains(&reported.id) || self.pending.contains(&reported.id)
            }
        };
        self.reports.retain(self.key.id, stands, totals, out);
    }
}
