//! The dialect in the form that reads spans: one pass over the attributes, one look-up per attribute.

use super::member::json_member;
use super::{Class, Dialect, Fact, Rule};
use crate::view::{AttributeView, Value};

/// Within the key of an attribute about a tool call.
const CALLS: &[u8] = b".tool_calls.";

/// A compiled [`Dialect`].
#[derive(Debug)]
pub struct Table {
    dialect: Dialect,
    /// Attribute names by their length: few share one, and a comparison of equal lengths is quick.
    by_length: Vec<Vec<Entry>>,
    /// Per rule the slots of `attribute`, `with` and `without`.
    rule_slots: Vec<RuleSlots>,
    slots: usize,
}

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    facts: Vec<Source>,
    slot: Option<usize>,
    is_marker: bool,
}

/// Where an attribute stands in the list of a fact.
#[derive(Debug)]
struct Source {
    fact: Fact,
    rank: usize,
    member: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy)]
struct RuleSlots {
    attribute: Option<usize>,
    with: Option<usize>,
    without: Option<usize>,
}

/// What one span or resource says, as far as the rules ask. Reused from span to span.
#[derive(Debug)]
pub struct Reading<'r> {
    facts: [Option<(usize, Value<'r>)>; Fact::COUNT],
    slots: Vec<Option<Value<'r>>>,
    is_marked: bool,
    /// Tool calls that the model's answer names one attribute each.
    requested_tools: u32,
}

impl Table {
    /// Compiles the dialect.
    pub fn new(dialect: Dialect) -> Self {
        let mut table = Table {
            dialect: dialect.clone(),
            by_length: Vec::new(),
            rule_slots: Vec::new(),
            slots: 0,
        };
        for (fact, names) in &dialect.attributes {
            for (rank, name) in names.iter().enumerate() {
                let (key, member) = match name.split_once(" -> ") {
                    Some((key, member)) => (key.trim(), Some(member.trim().into())),
                    None => (name.as_str(), None),
                };
                table.entry(key).facts.push(Source {
                    fact: *fact,
                    rank,
                    member,
                });
            }
        }
        for marker in &dialect.markers {
            table.entry(marker).is_marker = true;
        }
        for rule in &dialect.classes {
            let slots = RuleSlots {
                attribute: rule.attribute.as_deref().map(|key| table.slot(key)),
                with: rule.with.as_deref().map(|key| table.slot(key)),
                without: rule.without.as_deref().map(|key| table.slot(key)),
            };
            table.rule_slots.push(slots);
        }
        table
    }

    fn entry(&mut self, key: &str) -> &mut Entry {
        if self.by_length.len() <= key.len() {
            self.by_length.resize_with(key.len() + 1, Vec::new);
        }
        let bucket = &mut self.by_length[key.len()];
        let index = bucket
            .iter()
            .position(|entry| &*entry.key == key)
            .unwrap_or_else(|| {
                bucket.push(Entry {
                    key: key.into(),
                    facts: Vec::new(),
                    slot: None,
                    is_marker: false,
                });
                bucket.len() - 1
            });
        &mut bucket[index]
    }

    fn slot(&mut self, key: &str) -> usize {
        let next = self.slots;
        let slot = *self.entry(key).slot.get_or_insert(next);
        self.slots = self.slots.max(slot + 1);
        slot
    }

    /// The data that this was compiled from.
    pub fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    /// An empty reading for [`Table::read`].
    pub fn reading<'r>(&self) -> Reading<'r> {
        Reading {
            facts: [None; Fact::COUNT],
            slots: vec![None; self.slots],
            is_marked: false,
            requested_tools: 0,
        }
    }

    /// Reads the attributes of one span or resource in place of what `reading` held. Attributes that no rule asks
    /// for are passed over, however many and however long.
    pub fn read<'r>(
        &self,
        reading: &mut Reading<'r>,
        attributes: impl Iterator<Item = impl AttributeView<'r>>,
    ) {
        reading.facts.fill(None);
        reading.slots.fill(None);
        reading.is_marked = false;
        reading.requested_tools = 0;
        for attribute in attributes {
            let key = attribute.key();
            let entry = self
                .by_length
                .get(key.len())
                .and_then(|bucket| bucket.iter().find(|entry| entry.key.as_bytes() == key));
            let Some(entry) = entry else {
                reading.requested_tools += u32::from(self.names_a_requested_tool(key));
                continue;
            };
            let value = attribute.value();
            if matches!(value, Value::Text("")) {
                continue;
            }
            reading.is_marked |= entry.is_marker;
            if let Some(slot) = entry.slot {
                reading.slots[slot] = Some(value);
            }
            for source in &entry.facts {
                reading.offer(source, value);
            }
        }
    }

    fn names_a_requested_tool(&self, key: &[u8]) -> bool {
        self.dialect.requested_tool_keys.iter().any(|keys| {
            key.starts_with(keys.starts.as_bytes())
                && key.ends_with(keys.ends.as_bytes())
                && key.windows(CALLS.len()).any(|part| part == CALLS)
        })
    }

    /// Whether spans of this scope belong to an agent.
    pub fn is_agentic(&self, scope: &str) -> bool {
        self.dialect.scopes.iter().any(|known| known.fits(scope))
    }

    /// Whether this scope is the model provider's own client library.
    pub fn is_provider(&self, scope: &str) -> bool {
        self.dialect.provider_scopes.iter().any(|known| known.fits(scope))
    }

    /// The class of a span that was just read, by the first rule that fits.
    pub fn classify(&self, reading: &Reading<'_>, scope: &str, is_agentic: bool, name: &str) -> Class {
        let rules = self.dialect.classes.iter().zip(&self.rule_slots);
        for (rule, slots) in rules {
            if fits(rule, *slots, reading, scope, is_agentic, name) {
                return rule.class;
            }
        }
        Class::Other
    }
}

fn fits(
    rule: &Rule,
    slots: RuleSlots,
    reading: &Reading<'_>,
    scope: &str,
    is_agentic: bool,
    name: &str,
) -> bool {
    let value = |slot: Option<usize>| slot.map(|slot| reading.slots[slot]);
    if let Some(value) = value(slots.attribute) {
        let Some(value) = value else { return false };
        let says = |text: &str| rule.is.iter().any(|pattern| pattern.fits(text));
        if !rule.is.is_empty() && !value.text().is_some_and(says) {
            return false;
        }
    }
    value(slots.with).is_none_or(|value| value.is_some())
        && value(slots.without).is_none_or(|value| value.is_none())
        && (!rule.is_agentic || is_agentic || reading.is_marked)
        && (rule.scope.is_empty() || rule.scope.iter().any(|pattern| pattern.fits(scope)))
        && (rule.name.is_empty() || rule.name.iter().any(|pattern| pattern.fits(name)))
}

impl<'r> Reading<'r> {
    fn offer(&mut self, source: &Source, value: Value<'r>) {
        let held = &mut self.facts[source.fact as usize];
        if held.is_some_and(|(rank, _)| rank <= source.rank) {
            return;
        }
        let value = match &source.member {
            None => value,
            Some(member) => match value.text().and_then(|json| json_member(json, member)) {
                Some(value) => value,
                None => return,
            },
        };
        *held = Some((source.rank, value));
    }

    fn value(&self, fact: Fact) -> Option<Value<'r>> {
        self.facts[fact as usize].map(|(_, value)| value)
    }

    /// The fact as text.
    pub fn text(&self, fact: Fact) -> Option<&'r str> {
        self.value(fact)?.text()
    }

    /// The fact as a count.
    pub fn count(&self, fact: Fact) -> Option<u64> {
        self.value(fact)?.count()
    }

    /// The fact as a number that is not negative.
    pub fn number(&self, fact: Fact) -> Option<f64> {
        self.value(fact)?.number()
    }

    /// Whether the fact is there and says yes.
    pub fn is_true(&self, fact: Fact) -> bool {
        self.value(fact).is_some_and(Value::is_true)
    }

    /// The texts of a fact that may be a list.
    pub fn texts(&self, fact: Fact) -> impl Iterator<Item = &'r str> {
        let (one, many) = match self.value(fact) {
            Some(Value::List(list)) => (None, Some(list)),
            Some(value) => (value.text(), None),
            None => (None, None),
        };
        one.into_iter()
            .chain(many.into_iter().flat_map(|list| list.texts()))
    }

    /// Whether a marker attribute was there.
    pub fn is_marked(&self) -> bool {
        self.is_marked
    }

    /// Tool calls that the model's answer names one attribute each.
    pub fn requested_tools(&self) -> u32 {
        self.requested_tools
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
