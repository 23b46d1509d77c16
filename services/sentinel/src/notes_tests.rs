use super::*;
use immune_domain::vitals::{Completeness, Context, Source};
use immune_domain::{AgentKey, ExecutionId, Timestamp};

fn execution(context: Context) -> Vitals {
    Vitals {
        key: AgentKey::new("default", "a"),
        execution: ExecutionId::from("e"),
        revision: 0,
        started_at: Timestamp::EPOCH,
        timestamp: Timestamp::EPOCH,
        received_at: Timestamp::EPOCH,
        latency_ms: 1_000.0,
        input_tokens: None,
        output_tokens: None,
        token_count: Some(100),
        tool_calls: Some(u32::try_from(context.tools.len()).unwrap_or(u32::MAX)),
        retries: None,
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::new(context),
    }
}

fn context(model: &str, prompt: &str, offer: &str, tools: &[&str]) -> Context {
    Context {
        model: Some(model.to_owned()),
        prompt_hash: Some(prompt.to_owned()),
        tools_offered: Some(offer.to_owned()),
        tools: tools.iter().map(|tool| (*tool).to_owned()).collect(),
        ..Context::default()
    }
}

/// Scenario: an agent that calls two tools runs healthy; then a sick execution has another model, prompt and set of
/// tools, and calls a tool that none has called; the next sick one is as the healthy ones were.
/// Guarantees: each change is a clue, by name where it has one; what a sick execution does never becomes usual; what is
/// not told is no change.
#[test]
fn changes_since_the_last_healthy_execution_are_clues() {
    let mut notes = Notes::default();
    let usual = execution(context("one", "p", "t", &["search", "note"]));
    for _ in 0..20 {
        notes.take(&usual, Reason::Healthy);
    }
    let other = execution(context("two", "q", "u", &["search", "delete_account"]));
    for _ in 0..20 {
        notes.take(&other, Reason::Infected);
    }
    let clues = notes.clues(None);
    assert_eq!(clues.prompt_changed, Some(true));
    assert_eq!(clues.model_changed, Some(("one".to_owned(), "two".to_owned())));
    assert!(clues.tools_changed);
    assert_eq!(clues.new_tools, ["delete_account"]);

    notes.take(&usual, Reason::Infected);
    let clues = notes.clues(None);
    assert_eq!((clues.prompt_changed, clues.model_changed), (Some(false), None));
    assert!(!clues.tools_changed && clues.new_tools.is_empty());

    notes.take(&execution(Context::default()), Reason::Infected);
    let clues = notes.clues(None);
    assert_eq!((clues.prompt_changed, clues.model_changed), (None, None));
    assert!(!clues.tools_changed);
}

/// Scenario: an agent whose tools are hardly known, and one that has called a hundred different ones.
/// Guarantees: neither has new tools: the one is too young to say, of the other not all are remembered.
#[test]
fn a_tool_is_new_only_where_the_usual_ones_are_known() {
    let mut young = Notes::default();
    let mut versatile = Notes::default();
    for n in 0..100 {
        let tool = format!("tool-{n}");
        let vitals = execution(context("m", "p", "t", &[&tool]));
        versatile.take(&vitals, Reason::Healthy);
        if n < 10 {
            young.take(&vitals, Reason::Healthy);
        }
    }
    let strange = execution(context("m", "p", "t", &["strange"]));
    for notes in [&mut young, &mut versatile] {
        notes.take(&strange, Reason::Infected);
        assert!(notes.clues(None).new_tools.is_empty());
    }
}
