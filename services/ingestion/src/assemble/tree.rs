//! The spans of one trace, linked.

use super::span::{Span, SpanId, Usage};
use foldhash::{HashMap, HashMapExt as _};

/// Index of a span in its trace.
pub type Index = usize;

/// Spans that are looked through one by one. Most traces have fewer, and a table of ids for each would take longer to make
/// than all its look-ups save.
const LISTED_MAX: usize = 16;

/// The spans of a trace in order of arrival, found by id.
#[derive(Debug, Default)]
pub struct Spans {
    list: Vec<Span>,
    /// Where each is, once there are more than [`LISTED_MAX`].
    by_id: HashMap<SpanId, Index>,
    logged: HashMap<SpanId, Logged>,
    bytes: usize,
}

/// Tokens that log records tell of one span's model calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Logged {
    /// Tokens read, summed.
    pub input: u64,
    /// Tokens written, summed.
    pub output: u64,
    /// Fingerprints of the records, so that a repeated one counts once; at most [`LOGGED_MAX`].
    records: Vec<u64>,
}

/// Log records whose tokens are added up per span.
pub const LOGGED_MAX: usize = 1_000;

impl Spans {
    /// Adds a span; false when one with its id is there already, as when a sender repeats a batch.
    pub fn add(&mut self, span: Span) -> bool {
        if self.find(span.id).is_some() {
            return false;
        }
        self.bytes += span.bytes();
        if self.list.len() == LISTED_MAX {
            self.by_id = HashMap::with_capacity(2 * LISTED_MAX);
            let each = self.list.iter().enumerate();
            self.by_id.extend(each.map(|(index, span)| (span.id, index)));
        }
        if self.list.len() >= LISTED_MAX {
            self.by_id.insert(span.id, self.list.len());
        }
        self.list.push(span);
        true
    }

    /// The spans in order of arrival.
    pub fn all(&self) -> &[Span] {
        &self.list
    }

    /// The span of an id.
    pub fn find(&self, id: SpanId) -> Option<Index> {
        if self.list.len() <= LISTED_MAX {
            return self.list.iter().position(|span| span.id == id);
        }
        self.by_id.get(&id).copied()
    }

    /// Adds what a log record says of a span's model call. False when it was known, or there are too many.
    pub fn add_logged(&mut self, id: SpanId, record: u64, input: u64, output: u64) -> bool {
        let logged = self.logged.entry(id).or_default();
        if logged.records.len() >= LOGGED_MAX || logged.records.contains(&record) {
            return false;
        }
        logged.records.push(record);
        logged.input = logged.input.saturating_add(input);
        logged.output = logged.output.saturating_add(output);
        self.bytes += size_of::<u64>()
            + if logged.records.len() == 1 {
                size_of::<Logged>()
            } else {
                0
            };
        true
    }

    /// Whether several log records tell of model calls that the span itself made.
    pub fn has_logged_calls(&self, index: Index) -> bool {
        self.logged
            .get(&self.list[index].id)
            .is_some_and(|logged| logged.records.len() > 1)
    }

    /// The tokens of a span. Where several log records tell of model calls of one span, the span shows the last of
    /// them only (otlp-agents: ADK under OpenInference), and where it shows none, they are all there is; otherwise
    /// the record repeats the span.
    pub fn usage(&self, index: Index) -> Usage {
        let span = &self.list[index];
        let own = span
            .facts
            .as_deref()
            .map_or(Usage::default(), |facts| facts.usage);
        match self.logged.get(&span.id) {
            Some(logged) if logged.records.len() > 1 || own.is_empty() => Usage {
                input: Some(logged.input),
                output: Some(logged.output),
                total: None,
            },
            Some(_) | None => own,
        }
    }

    /// Memory, roughly.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Where each span hangs, cut at service boundaries.
#[derive(Debug)]
pub struct Tree {
    /// The parent of each span on the same side of a boundary.
    pub parent: Vec<Option<Index>>,
    /// The outermost known span above each span, itself when there is none.
    pub root: Vec<Index>,
    /// The highest span above each span, itself included, that belongs to an agent.
    pub top: Vec<Option<Index>>,
}

impl Tree {
    /// Links the spans. Loops of parents, which only a broken sender makes, are cut somewhere.
    pub fn of(spans: &Spans) -> Tree {
        let count = spans.all().len();
        let mut parent: Vec<Option<Index>> = (0..count).map(|index| link(spans, index)).collect();
        let mut root: Vec<Option<Index>> = vec![None; count];
        let mut top: Vec<Option<Index>> = vec![None; count];
        let mut path = Vec::new();
        let mut is_on_path = vec![false; count];
        for start in 0..count {
            let mut at = start;
            while root[at].is_none() {
                path.push(at);
                is_on_path[at] = true;
                match parent[at] {
                    Some(up) if is_on_path[up] => parent[at] = None,
                    Some(up) => {
                        at = up;
                        continue;
                    }
                    None => {}
                }
                break;
            }
            while let Some(index) = path.pop() {
                is_on_path[index] = false;
                let up = parent[index];
                root[index] = Some(up.and_then(|up| root[up]).unwrap_or(index));
                let own = spans.all()[index].marks.is_agentic.then_some(index);
                top[index] = up.and_then(|up| top[up]).or(own);
            }
        }
        let root = root
            .into_iter()
            .enumerate()
            .map(|(index, root)| root.unwrap_or(index))
            .collect();
        Tree { parent, root, top }
    }

    /// The spans above one, nearest first.
    pub fn ancestors(&self, index: Index) -> impl Iterator<Item = Index> {
        std::iter::successors(self.parent[index], |up| self.parent[*up])
    }
}

/// The known parent of a span, unless a service boundary lies between: the span is the server side of a call, or
/// its parent is in another process and another service.
fn link(spans: &Spans, index: Index) -> Option<Index> {
    let span = &spans.all()[index];
    let up = spans.find(span.parent?)?;
    let is_server_side = span.marks.is_server && !span.marks.is_agentic;
    let elsewhere = span.marks.is_parent_remote
        && !span
            .origin
            .resource
            .is_same_service(&spans.all()[up].origin.resource);
    (up != index && !is_server_side && !elsewhere).then_some(up)
}
