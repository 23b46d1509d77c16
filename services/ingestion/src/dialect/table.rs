//! The dialect in the form that reads spans: one pass over the attributes, one look-up per attribute.

use super::{Class, Dialect, Fact, Rule};
use crate::view::Value;
use serde::de::{self, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// JSON texts are looked into up to this size; a longer one is not read.
const JSON_BYTES_MAX: usize = 16 * 1024;

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
        let mut table = Table { dialect: dialect.clone(), by_length: Vec::new(), rule_slots: Vec::new(), slots: 0 };
        for (fact, names) in &dialect.attributes {
            for (rank, name) in names.iter().enumerate() {
                let (key, member) = match name.split_once(" -> ") {
                    Some((key, member)) => (key.trim(), Some(member.trim().into())),
                    None => (name.as_str(), None),
                };
                table.entry(key).facts.push(Source { fact: *fact, rank, member });
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
        let index = bucket.iter().position(|entry| &*entry.key == key).unwrap_or_else(|| {
            bucket.push(Entry { key: key.into(), facts: Vec::new(), slot: None, is_marker: false });
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
        Reading { facts: [None; Fact::COUNT], slots: vec![None; self.slots], is_marked: false, requested_tools: 0 }
    }

    /// Reads the attributes of one span or resource in place of what `reading` held. Attributes that no rule asks
    /// for are passed over, however many and however long.
    pub fn read<'r>(&self, reading: &mut Reading<'r>, attributes: impl Iterator<Item = (&'r str, Value<'r>)>) {
        reading.facts.fill(None);
        reading.slots.fill(None);
        reading.is_marked = false;
        reading.requested_tools = 0;
        for (key, value) in attributes {
            let entry = self
                .by_length
                .get(key.len())
                .and_then(|bucket| bucket.iter().find(|entry| &*entry.key == key));
            let Some(entry) = entry else {
                reading.requested_tools += u32::from(self.names_a_requested_tool(key));
                continue;
            };
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

    fn names_a_requested_tool(&self, key: &str) -> bool {
        self.dialect.requested_tool_keys.iter().any(|keys| {
            key.starts_with(keys.starts.as_str()) && key.ends_with(keys.ends.as_str()) && key.contains(".tool_calls.")
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

fn fits(rule: &Rule, slots: RuleSlots, reading: &Reading<'_>, scope: &str, is_agentic: bool, name: &str) -> bool {
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
        one.into_iter().chain(many.into_iter().flat_map(|list| list.texts()))
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

/// A text or number that is a member of a JSON object. `None` when the text is no object (the SDK may have cut
/// it), too long, or the member is neither.
fn json_member<'r>(json: &'r str, member: &str) -> Option<Value<'r>> {
    if json.len() > JSON_BYTES_MAX || !json.contains(member) {
        return None;
    }
    serde_json::Deserializer::from_str(json).deserialize_map(Member(member)).ok().flatten()
}

struct Member<'m>(&'m str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        // The whole object is read, so that a text cut in the middle is refused rather than half believed.
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == self.0 {
                found = map.next_value::<Scalar<'de>>()?.0;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A JSON text without escapes, or a number; anything else is nothing.
struct Scalar<'de>(Option<Value<'de>>);

impl<'de> de::Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor).map(Scalar)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Value::Text(text)))
    }

    fn visit_str<E>(self, _escaped: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, n: u64) -> Result<Self::Value, E> {
        Ok(Some(Value::Double(n as f64)))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Self::Value, E> {
        Ok(Some(Value::Int(n)))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Self::Value, E> {
        Ok(Some(Value::Double(x)))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'r>(table: &Table, attributes: &[(&'r str, Value<'r>)]) -> Reading<'r> {
        let mut reading = table.reading();
        table.read(&mut reading, attributes.iter().copied());
        reading
    }

    /// Guarantees: the best-ranked name wins whatever the order on the wire, and empty values do not count.
    #[test]
    fn preference_beats_order() {
        let table = Table::new(Dialect::builtin());
        let (old, new) = (("gen_ai.usage.prompt_tokens", Value::Int(5)), ("gen_ai.usage.input_tokens", Value::Int(7)));
        for attributes in [[old, new], [new, old]] {
            assert_eq!(read(&table, &attributes).count(Fact::InputTokens), Some(7));
        }
        let empty = [("gen_ai.agent.name", Value::Text("")), ("agent_name", Value::Text("bot"))];
        assert_eq!(read(&table, &empty).text(Fact::AgentName), Some("bot"));
    }

    /// Guarantees: members of JSON texts are read, and texts that an SDK cut are not half believed.
    #[test]
    fn members_of_json_texts() {
        let table = Table::new(Dialect::builtin());
        let name = |json| read(&table, &[("metadata", Value::Text(json))]).text(Fact::AgentName);
        assert_eq!(name(r#"{"a": {"lc_agent_name": "no"}, "lc_agent_name": "bot"}"#), Some("bot"));
        assert_eq!(name(r#"{"lc_agent_name": "bot", "thread"#), None);
        assert_eq!(name(r#"{"lc_agent_name": ["bot"]}"#), None);
        let usage = [("langfuse.observation.usage_details", Value::Text(r#"{"input": 12, "output": 3}"#))];
        assert_eq!(read(&table, &usage).count(Fact::InputTokens), Some(12));
    }

    /// Guarantees: each rule of the built-in classification, and their order.
    #[test]
    fn classes() {
        let table = Table::new(Dialect::builtin());
        let text = |key, value| vec![(key, Value::Text(value))];
        let both = |a: (&'static str, &'static str), b: (&'static str, &'static str)| {
            vec![(a.0, Value::Text(a.1)), (b.0, Value::Text(b.1))]
        };
        let (operation, kind) = ("gen_ai.operation.name", "openinference.span.kind");
        let cases = [
            (text(operation, "create_agent"), "", "", Class::Create),
            (text(operation, "chat"), "", "", Class::Model),
            (text(operation, "invoke_agent"), "", "", Class::Agent),
            (text(operation, "agent_step"), "", "", Class::Other),
            (both((operation, "invoke_agent"), (kind, "LLM")), "", "", Class::Model),
            (text(kind, "AGENT"), "", "", Class::Agent),
            (both((kind, "AGENT"), ("tool.name", "search")), "", "", Class::Tool),
            (text(kind, "CHAIN"), "", "", Class::Other),
            (both(("traceloop.span.kind", "tool"), (operation, "invoke_agent")), "", "", Class::Tool),
            (text("ai.operationId", "ai.streamText.doStream"), "ai", "", Class::Model),
            (text("ai.operationId", "ai.streamText"), "ai", "", Class::Agent),
            (vec![], "pydantic-ai", "running tool", Class::Tool),
            (vec![], "pydantic-ai", "running tools", Class::Other),
            (vec![], "other", "agent run", Class::Other),
            (text("gen_ai.response.id", "x"), "pydantic-ai", "chat gpt", Class::Model),
            (text("gen_ai.response.id", "x"), "my.app", "chat gpt", Class::Other),
            (vec![], "pydantic-ai", "invoke_agent bot", Class::Agent),
        ];
        for (attributes, scope, name, class) in cases {
            let reading = read(&table, &attributes);
            let is_agentic = table.is_agentic(scope);
            assert_eq!(table.classify(&reading, scope, is_agentic, name), class, "{attributes:?} {scope} {name}");
        }
    }

    /// Scenario: 100,000 attributes that nobody asked for, among them one that somebody did.
    /// Guarantees: what is kept does not grow with them.
    #[test]
    fn a_bomb_of_attributes_is_passed_over() {
        let table = Table::new(Dialect::builtin());
        let keys: Vec<String> = (0..100_000).map(|n| format!("attribute.{n}")).collect();
        let bomb = keys.iter().map(|key| (key.as_str(), Value::Text("x")));
        let mut reading = table.reading();
        table.read(&mut reading, bomb.chain([("gen_ai.response.id", Value::Text("r-1"))]));
        assert_eq!(reading.text(Fact::ResponseId), Some("r-1"));
        assert_eq!(reading.slots.len(), table.slots);
    }
}
