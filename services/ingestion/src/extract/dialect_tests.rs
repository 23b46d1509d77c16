//! Runs in the words of instrumentations, as otlp-agents describes them, that are not all among the captures.

use crate::assemble::tests::world::{S, vitals_of};
use immune_domain::vitals::Completeness;

/// A span of a scope with these attributes.
fn span(id: u64, scope: &'static str, name: &str, says: &[(&str, &str)]) -> S {
    let span = S::new(id).scope(scope).named(name).at(id, 20 - id);
    says.iter()
        .fold(span, |span, (key, value)| span.says(key, *value))
}

/// Guarantees: name, tokens and tools of a run of an agent, two model calls and a tool, in each of these words.
#[test]
fn one_run_in_many_words() {
    let vercel = vec![
        span(
            1,
            "ai",
            "ai.generateText",
            &[
                ("ai.operationId", "ai.generateText"),
                ("ai.telemetry.functionId", "bot"),
            ],
        )
        .says("ai.usage.promptTokens", 10_i64),
        span(2, "ai", "x", &[("ai.operationId", "ai.generateText.doGenerate")])
            .below(1)
            .says("ai.usage.promptTokens", 10_i64)
            .says("ai.usage.completionTokens", 1_i64),
        span(
            3,
            "ai",
            "ai.toolCall",
            &[("ai.operationId", "ai.toolCall"), ("ai.toolCall.name", "search")],
        )
        .below(1),
        span(4, "ai", "x", &[("ai.operationId", "ai.generateText.doGenerate")])
            .below(1)
            .uses(10, 1),
    ];
    let usage = r#"{"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11}"#;
    let generation = [
        ("langfuse.observation.type", "generation"),
        ("langfuse.observation.usage_details", usage),
    ];
    let langfuse = vec![
        span(
            1,
            "langfuse-sdk",
            "bot",
            &[("langfuse.observation.type", "agent")],
        ),
        span(2, "langfuse-sdk", "OpenAI-generation", &generation).below(1),
        span(
            3,
            "langfuse-sdk",
            "search",
            &[("langfuse.observation.type", "tool")],
        )
        .below(1),
        span(4, "langfuse-sdk", "OpenAI-generation", &generation).below(1),
    ];
    let pydantic = vec![
        span(1, "pydantic-ai", "agent run", &[("gen_ai.agent.name", "bot")]).uses(20, 2),
        S::model(2).below(1).scope("pydantic-ai"),
        span(5, "pydantic-ai", "running tools", &[]).below(1),
        span(
            3,
            "pydantic-ai",
            "running tool",
            &[("gen_ai.tool.name", "search")],
        )
        .below(5),
        S::model(4).below(1).scope("pydantic-ai"),
    ];
    let request = |id| {
        span(
            id,
            "opentelemetry.instrumentation.openai.v1",
            "openai.chat",
            &[("llm.request.type", "chat")],
        )
        .below(5)
        .says("gen_ai.usage.prompt_tokens", 10_i64)
        .says("gen_ai.usage.completion_tokens", 1_i64)
    };
    let traceloop = vec![
        span(
            1,
            "traceloop.tracer",
            "flow.workflow",
            &[
                ("traceloop.span.kind", "workflow"),
                ("traceloop.entity.name", "flow"),
            ],
        ),
        span(
            5,
            "traceloop.tracer",
            "bot.agent",
            &[("traceloop.span.kind", "agent"), ("gen_ai.agent.name", "bot")],
        )
        .below(1),
        request(2),
        span(
            3,
            "traceloop.tracer",
            "search.tool",
            &[
                ("traceloop.span.kind", "tool"),
                ("traceloop.entity.name", "search"),
            ],
        )
        .below(5),
        request(4),
    ];
    // One model span for all calls of the run, with the total; the root is of kind SERVER.
    let mastra = vec![
        span(
            1,
            "@mastra/otel",
            "agent.bot",
            &[("mastra.span.type", "agent_run"), ("agent.id", "bot")],
        )
        .server(),
        span(
            2,
            "@mastra/otel",
            "chat",
            &[("mastra.span.type", "model_generation")],
        )
        .below(1)
        .uses(20, 2),
        span(
            5,
            "@mastra/otel",
            "step: 0",
            &[("gen_ai.operation.name", "model.step")],
        )
        .below(2),
        span(
            3,
            "@mastra/otel",
            "tool.execute search",
            &[
                ("gen_ai.operation.name", "tool.execute"),
                ("gen_ai.tool.name", "search"),
            ],
        )
        .below(5),
    ];
    let agno = vec![
        span(
            1,
            "openinference.instrumentation.agno",
            "Bot.run",
            &[("openinference.span.kind", "AGENT"), ("agno.agent", "bot")],
        ),
        S::model(2).below(1).says("openinference.span.kind", "LLM"),
        span(
            3,
            "openinference.instrumentation.agno",
            "search",
            &[("openinference.span.kind", "TOOL"), ("tool.name", "search")],
        )
        .below(1),
        S::model(4).below(1).says("openinference.span.kind", "LLM"),
    ];
    let words = [
        ("vercel", vercel),
        ("langfuse", langfuse),
        ("pydantic", pydantic),
        ("traceloop", traceloop),
        ("mastra", mastra),
        ("agno", agno),
    ];
    for (words, spans) in words {
        let vitals = vitals_of(spans);
        let got = (
            vitals.context.agent_name.as_deref(),
            vitals.input_tokens,
            vitals.output_tokens,
            vitals.tool_calls,
        );
        assert_eq!(got, (Some("bot"), Some(20), Some(2), Some(1)), "{words}");
        assert_eq!(vitals.context.tools, ["search"], "{words}");
        assert!(
            vitals.success && vitals.completeness == Completeness::Complete,
            "{words}"
        );
    }
}

/// Scenario: Mastra fails: the agent's span is never sent, the model's says Ok, and the exporter sends no flags.
/// Guarantees: an incomplete, failed record of what came.
#[test]
fn a_root_that_is_never_sent() {
    let chat = span(
        2,
        "@mastra/otel",
        "chat",
        &[("mastra.span.type", "model_generation")],
    );
    let vitals = vitals_of([chat.below(1).without_flags().says_ok().uses(20, 2)]);
    assert_eq!(
        (vitals.completeness, vitals.success, vitals.token_count),
        (Completeness::Incomplete, false, Some(22))
    );
}

/// Scenario: OpenLIT: a workflow, three nested `invoke_agent` spans of which one has a name, HTTP calls below.
/// Guarantees: the named one is the agent, the others are nobody, retries are seen.
#[test]
fn unnamed_agents_between() {
    let invoke = |id| {
        span(
            id,
            "openlit.instrumentation.openai_agents",
            "invoke_agent",
            &[("gen_ai.operation.name", "invoke_agent")],
        )
    };
    let http = |id, status: i64| {
        span(id, "opentelemetry.instrumentation.httpx", "POST", &[])
            .at(id, id + 1)
            .below(5)
            .says("http.status_code", status)
    };
    let vitals = vitals_of([
        span(
            1,
            "openlit.instrumentation.openai_agents",
            "invoke_workflow Agent workflow",
            &[
                ("gen_ai.operation.name", "invoke_workflow"),
                ("gen_ai.workflow.name", "Agent workflow"),
            ],
        ),
        invoke(2).below(1),
        invoke(3)
            .below(2)
            .named("invoke_agent Bot")
            .says("gen_ai.agent.name", "Bot"),
        invoke(4).below(3),
        S::model(5).below(4).at(5, 15),
        http(6, 500),
        http(7, 503),
        http(8, 200),
    ]);
    assert_eq!(vitals.context.agent_name.as_deref(), Some("Bot"));
    assert!(vitals.context.parts.is_empty(), "{:?}", vitals.context.parts);
    assert_eq!((vitals.retries, vitals.tool_calls), (Some(2), Some(0)));
}
