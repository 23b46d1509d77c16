//! Open traces: from spans as they arrive to the vitals of executions.
//!
//! A synchronous core without a clock. [`Assembler::accept`] takes a request, [`Assembler::tick`] lets time pass,
//! [`Assembler::drain`] ends everything; each appends what is to be reported.
//!
//! - An execution is reported as soon as its span has arrived and nothing above it is still expected: no parent, a
//!   parent in another process, a service boundary, or an outermost span that is known.
//! - Where a local parent is missing it waits (`ancestor_wait_seconds`). If an outer agent arrives after all, its
//!   record comes and the inner one is taken back.
//! - Late children give the same execution a higher revision, while the trace is kept (`linger_seconds`).
//! - A trace that falls silent without its execution span is reported as incomplete.
//! - Waits run on arrival time. Agents' own times only measure ([`times`]).

mod config;
mod counts;
mod forgotten;
pub mod group;
pub(crate) mod intern;
mod logs;
mod reading;
mod reports;
mod running;
pub mod span;
pub mod times;
mod trace;
pub mod tree;

#[cfg(test)]
pub(crate) mod tests;

pub use config::Config;
pub use counts::{Accepted, Totals};
pub use immune_domain::baseline::Limits;
pub use reading::Refusal;

use crate::dialect::{Dialect, Table};
use crate::view::{RequestView, ResourceView, ScopeView};
use foldhash::{HashMap, HashMapExt as _};
use forgotten::Forgotten;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentKey, ExecutionId, RunId, Timestamp};
use reading::Reader;
use span::Span;
use std::collections::BTreeSet;
use trace::{Added, OpenTrace, TraceKey};

/// What goes out.
#[derive(Debug, Clone, PartialEq)]
pub enum Emitted {
    /// A record; it replaces an earlier one of the same execution with a lower revision.
    Vitals(Vitals),
    /// A record that was reported turned out to be no execution, or another agent's. A record of the same
    /// execution that comes later has a higher revision than the one taken back.
    Retracted {
        /// The agent that it was reported for.
        key: AgentKey,
        /// The execution that is none.
        execution: ExecutionId,
    },
}

/// The run that a request belongs to: stated in its header, else named by its resources, else the caller's own.
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    /// From header or metadata `x-run-id`; wins over what resources say.
    pub stated: Option<&'a RunId>,
    /// The API key's run, or `default`.
    pub otherwise: &'a RunId,
}

impl<'a> Runs<'a> {
    fn of(&self, named: Option<&RunId>) -> RunId {
        self.stated.or(named).unwrap_or(self.otherwise).clone()
    }
}

/// The rules' words and limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a> {
    pub(crate) config: &'a Config,
    pub(crate) dialect: &'a Dialect,
}

/// Puts executions together.
#[derive(Debug)]
pub struct Assembler {
    config: Config,
    table: Table,
    traces: HashMap<u64, OpenTrace>,
    by_key: HashMap<TraceKey, u64>,
    /// When each trace is due, earliest first.
    due: BTreeSet<(Timestamp, u64)>,
    /// When each trace was heard last, earliest first.
    silent: BTreeSet<(Timestamp, u64)>,
    forgotten: Forgotten,
    next: u64,
    totals: Totals,
}

impl Assembler {
    /// An assembler without traces.
    pub fn new(config: Config, dialect: Dialect) -> Self {
        Assembler {
            config,
            table: Table::new(dialect),
            traces: HashMap::new(),
            by_key: HashMap::new(),
            due: BTreeSet::new(),
            silent: BTreeSet::new(),
            forgotten: Forgotten::default(),
            next: 0,
            totals: Totals::default(),
        }
    }

    /// Takes the spans of a request, and appends to `out` what can be reported now.
    pub fn accept<'r>(
        &mut self,
        runs: Runs<'_>,
        request: impl RequestView<'r>,
        now: Timestamp,
        out: &mut Vec<Emitted>,
    ) -> Accepted {
        let mut accepted = Accepted::default();
        let mut kept: Vec<(TraceKey, Span)> = Vec::new();
        self.read(runs, request, now, &mut accepted, &mut kept);
        let mut touched = Vec::new();
        let mut kept = kept.into_iter().peekable();
        while let Some((key, span)) = kept.next() {
            // A request mostly has the spans of a trace one after the other: the trace is looked up once for them.
            let Some(serial) = self.add(&key, span, now, &mut accepted) else {
                continue;
            };
            touched.push(serial);
            while let Some((_, span)) = kept.next_if(|(next, _)| *next == key) {
                self.add_to(serial, span, &mut accepted);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        self.settle(touched, now, out);
        accepted
    }

    fn read<'r>(
        &self,
        runs: Runs<'_>,
        request: impl RequestView<'r>,
        now: Timestamp,
        accepted: &mut Accepted,
        kept: &mut Vec<(TraceKey, Span)>,
    ) {
        let mut reader = Reader::new(&self.table);
        for resource_view in request.resources() {
            let resource = match reader.resource(resource_view) {
                Ok(resource) => resource,
                Err(reason) => {
                    let spans = resource_view
                        .scopes()
                        .map(|scope| scope.spans().count() as u64)
                        .sum();
                    accepted.refuse(reason, spans);
                    continue;
                }
            };
            let run = runs.of(resource.run.as_ref());
            for scope_view in resource_view.scopes() {
                let scope = reader.scope(&resource, scope_view.name());
                for view in scope_view.spans() {
                    match reader.span(view, &scope, now) {
                        Ok(read) => {
                            accepted.ahead += u64::from(read.was_ahead);
                            kept.push((
                                TraceKey {
                                    run: run.clone(),
                                    id: read.trace,
                                },
                                read.span,
                            ));
                        }
                        Err(reason) => accepted.refuse(reason, 1),
                    }
                }
            }
        }
    }

    fn add(&mut self, key: &TraceKey, span: Span, now: Timestamp, accepted: &mut Accepted) -> Option<u64> {
        let serial = match self.by_key.get(key) {
            Some(serial) => *serial,
            None if self.forgotten.holds(key, &span) => {
                accepted.accepted += 1;
                accepted.too_late += 1;
                return None;
            }
            None => self.open(key, now),
        };
        self.add_to(serial, span, accepted);
        Some(serial)
    }

    /// Adds a span to an open trace.
    fn add_to(&mut self, serial: u64, span: Span, accepted: &mut Accepted) {
        let Some(trace) = self.traces.get_mut(&serial) else {
            return;
        };
        let before = (trace.bytes(), trace.spans.all().len());
        let added = trace.add(span, &self.config);
        self.totals.bytes = self.totals.bytes + trace.bytes() - before.0;
        self.totals.spans += trace.spans.all().len() - before.1;
        accepted.accepted += u64::from(added != Added::Full);
        match added {
            Added::Kept => {}
            Added::Repeated => accepted.repeated += 1,
            Added::Folded => accepted.folded += 1,
            Added::Full => accepted.refuse(Refusal::TraceFull, 1),
        }
    }

    /// Opens the trace of a key that has none.
    fn open(&mut self, key: &TraceKey, now: Timestamp) -> u64 {
        let serial = self.next;
        self.next += 1;
        let trace = OpenTrace::new(key.clone(), now);
        self.totals.bytes += trace.bytes();
        self.due.insert((trace.wake_at, serial));
        self.silent.insert((trace.last, serial));
        self.traces.insert(serial, trace);
        self.by_key.insert(key.clone(), serial);
        self.totals.traces = self.traces.len();
        serial
    }

    /// Reports what the traces that got something now give, and keeps within the limits.
    fn settle(&mut self, touched: impl IntoIterator<Item = u64>, now: Timestamp, out: &mut Vec<Emitted>) {
        for serial in touched {
            self.with(serial, |trace, words, totals| {
                trace.after_spans(words, now, totals, out)
            });
        }
        while self.traces.len() > self.config.traces_max || self.totals.bytes > self.config.bytes_max {
            let Some((_, serial)) = self.silent.first().copied() else {
                break;
            };
            self.totals.finished_early += 1;
            self.finish(serial, now, out);
        }
    }

    /// Lets time pass: reports what waited long enough, forgets what is over.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Emitted>) {
        while let Some((_, serial)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let Some(trace) = self.traces.get(&serial) else {
                break;
            };
            let is_quiet = trace.is_quiet(&self.config, now);
            if is_quiet && now >= trace.forget_at(&self.config) && !trace.is_changed {
                self.finish(serial, now, out);
                continue;
            }
            self.with(serial, |trace, words, totals| {
                trace.look(words, now, is_quiet, totals, out);
                // Never due again at once, or this loop would not end.
                trace.wake_at = trace.wake_at.max(now.plus(std::time::Duration::from_millis(1)));
            });
        }
    }

    /// Ends every trace, as at shutdown: what misses its execution span is reported as incomplete.
    pub fn drain(&mut self, now: Timestamp, out: &mut Vec<Emitted>) {
        while let Some((_, serial)) = self.silent.first().copied() {
            self.finish(serial, now, out);
        }
    }

    /// Reports the last of a trace and forgets it.
    fn finish(&mut self, serial: u64, now: Timestamp, out: &mut Vec<Emitted>) {
        self.with(serial, |trace, words, totals| {
            trace.look(words, now, true, totals, out)
        });
        let Some(trace) = self.traces.remove(&serial) else {
            return;
        };
        self.by_key.remove(&trace.key);
        self.due.remove(&(trace.wake_at, serial));
        self.silent.remove(&(trace.last, serial));
        self.totals.bytes -= trace.bytes();
        self.totals.spans -= trace.spans.all().len();
        self.totals.traces = self.traces.len();
        for reported in trace.reports.standing() {
            self.forgotten.add(&trace.key, reported.id);
        }
    }

    /// Does something to a trace and keeps the books.
    fn with(&mut self, serial: u64, act: impl FnOnce(&mut OpenTrace, &Words<'_>, &mut Totals)) {
        let Some(trace) = self.traces.get_mut(&serial) else {
            return;
        };
        let (bytes, wake_at, last) = (trace.bytes(), trace.wake_at, trace.last);
        let words = Words {
            config: &self.config,
            dialect: self.table.dialect(),
        };
        act(trace, &words, &mut self.totals);
        self.totals.bytes = self.totals.bytes + trace.bytes() - bytes;
        if trace.wake_at != wake_at {
            self.due.remove(&(wake_at, serial));
            self.due.insert((trace.wake_at, serial));
        }
        if trace.last != last {
            self.silent.remove(&(last, serial));
            self.silent.insert((trace.last, serial));
        }
    }

    /// What is held and was done.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// When [`Assembler::tick`] has something to do next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}
