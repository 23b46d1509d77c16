//! Reading and classification.

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
    let (old, new) = (
        ("gen_ai.usage.prompt_tokens", Value::Int(5)),
        ("gen_ai.usage.input_tokens", Value::Int(7)),
    );
    for attributes in [[old, new], [new, old]] {
        assert_eq!(read(&table, &attributes).count(Fact::InputTokens), Some(7));
    }
    let empty = [
        ("gen_ai.agent.name", Value::Text("")),
        ("agent_name", Value::Text("bot")),
    ];
    assert_eq!(read(&table, &empty).text(Fact::AgentName), Some("bot"));
}

/// Guarantees: members of JSON texts are read, and texts that an SDK cut are not half believed.
#[test]
fn members_of_json_texts() {
    let table = Table::new(Dialect::builtin());
    let name = |json| read(&table, &[("metadata", Value::Text(json))]).text(Fact::AgentName);
    assert_eq!(
        name(r#"{"a": {"lc_agent_name": "no"}, "lc_agent_name": "bot"}"#),
        Some("bot")
    );
    assert_eq!(name(r#"{"lc_agent_name": "bot", "thread"#), None);
    assert_eq!(name(r#"{"lc_agent_name": ["bot"]}"#), None);
    let usage = [(
        "langfuse.observation.usage_details",
        Value::Text(r#"{"input": 12, "output": 3}"#),
    )];
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
        (
            both((operation, "invoke_agent"), (kind, "LLM")),
            "",
            "",
            Class::Model,
        ),
        (text(kind, "AGENT"), "", "", Class::Agent),
        (
            both((kind, "AGENT"), ("tool.name", "search")),
            "",
            "",
            Class::Tool,
        ),
        (text(kind, "CHAIN"), "", "", Class::Other),
        (
            both(("traceloop.span.kind", "tool"), (operation, "invoke_agent")),
            "",
            "",
            Class::Tool,
        ),
        (
            text("ai.operationId", "ai.streamText.doStream"),
            "ai",
            "",
            Class::Model,
        ),
        (text("ai.operationId", "ai.streamText"), "ai", "", Class::Agent),
        (vec![], "pydantic-ai", "running tool", Class::Tool),
        (vec![], "pydantic-ai", "running tools", Class::Other),
        (vec![], "other", "agent run", Class::Other),
        (
            text("gen_ai.response.id", "x"),
            "pydantic-ai",
            "chat gpt",
            Class::Model,
        ),
        (
            text("gen_ai.response.id", "x"),
            "my.app",
            "chat gpt",
            Class::Other,
        ),
        (vec![], "pydantic-ai", "invoke_agent bot", Class::Agent),
    ];
    for (attributes, scope, name, class) in cases {
        let reading = read(&table, &attributes);
        let is_agentic = table.is_agentic(scope);
        assert_eq!(
            table.classify(&reading, scope, is_agentic, name),
            class,
            "{attributes:?} {scope} {name}"
        );
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
    table.read(
        &mut reading,
        bomb.chain([("gen_ai.response.id", Value::Text("r-1"))]),
    );
    assert_eq!(reading.text(Fact::ResponseId), Some("r-1"));
    assert_eq!(reading.slots.len(), table.slots);
}
