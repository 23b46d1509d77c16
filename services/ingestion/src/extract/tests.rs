//! Each vital by its rule, on spans as small as the rule allows.

use crate::assemble::tests::world::{S, World, request, vitals_of};
use crate::assemble::{Config, Runs};
use crate::dialect;
use immune_domain::RunId;

const AI: &str = "ai";

/// An agent from second 0 to 9, and what is below it.
fn run(below: impl IntoIterator<Item = S>) -> Vec<S> {
    std::iter::once(S::agent(1, "bot").at(0, 9))
        .chain(below)
        .collect()
}

/// Guarantees: agents repeat the usage of their calls, instrumentations that of others; each token counts once.
#[test]
fn tokens_count_once() {
    let agent_too = run([S::model(2).below(1), S::model(3).below(1)]);
    let agent_too: Vec<S> = agent_too.into_iter().map(|s| s.clone().uses(10, 1)).collect();
    assert_eq!(vitals_of(agent_too).token_count, Some(22));

    let nested = run([S::model(2).below(1), S::model(3).below(2)]);
    assert_eq!(vitals_of(nested).token_count, Some(11));

    let beside = run([
        S::model(2).below(1).uses(10, 2).says("gen_ai.response.id", "r"),
        S::model(3)
            .below(1)
            .uses(10, 1)
            .says("gen_ai.response.id", "r")
            .scope("com.anthropic.sdk.python"),
        S::model(4).below(1).says("gen_ai.response.id", "q"),
    ]);
    assert_eq!(
        vitals_of(beside).output_tokens,
        Some(2),
        "the provider's own count of `r`"
    );

    let aggregated = [S::agent(1, "bot").says("gen_ai.aggregated_usage.input_tokens", 7_i64)];
    assert_eq!(vitals_of(aggregated).input_tokens, Some(7));
    let both = run([S::model(2).below(1)]);
    let both: Vec<S> = both
        .into_iter()
        .map(|s| s.says("gen_ai.aggregated_usage.input_tokens", 7_i64))
        .collect();
    assert_eq!(
        vitals_of(both).input_tokens,
        Some(10),
        "calls tell, so the sum is not added"
    );
}

/// Scenario: a model's span spans the tools it called, and one of them is an agent.
/// Guarantees: the inner agent's tokens do not hide the outer model's own.
#[test]
fn a_model_does_not_repeat_what_its_tools_used() {
    let spans = run([
        S::model(2).below(1).at(0, 8),
        S::tool(3, "ask").below(2),
        S::agent(4, "inner").below(3).uses(10, 1),
        S::model(5).below(4),
    ]);
    assert_eq!(vitals_of(spans).input_tokens, Some(20));
}

/// Guarantees: what no span tells is unknown, not 0.
#[test]
fn what_is_not_told_is_unknown() {
    let silent = S::model(2)
        .below(1)
        .without("gen_ai.usage.input_tokens")
        .without("gen_ai.usage.output_tokens");
    let vitals = vitals_of(run([silent]));
    assert_eq!(
        (vitals.input_tokens, vitals.token_count, vitals.retries),
        (None, None, None)
    );
    let application = [S::new(1).at(0, 9), S::model(2).below(1)];
    assert_eq!(
        vitals_of(application).tool_calls,
        None,
        "a client alone shows no tools"
    );
}

/// Guarantees: batches, hand-offs, final answers and the second span of a call are no tool calls; agents used as
/// tools are; failed ones count as well.
#[test]
fn phantom_tools_do_not_count() {
    let vitals = vitals_of(run([
        S::tool(2, "search").below(1),
        S::tool(3, "search").below(2),
        S::tool(4, "(merged tools)").below(1),
        S::tool(5, "transfer_to_sales").below(1),
        S::tool(6, "final_answer").below(1),
        S::tool(7, "ask_expert").below(1),
        S::agent(8, "expert").below(7),
        S::tool(9, "search").below(8).fails(),
        S::tool(10, "bot.pay").below(1),
        S::tool(11, "pay").below(10),
    ]));
    assert_eq!(vitals.tool_calls, Some(4));
    assert_eq!(vitals.context.tools, ["search", "ask_expert", "bot.pay"]);
    assert!(vitals.success, "a tool's failure is not the agent's");
}

/// Guarantees: tools without spans are counted in the models' answers where those are recorded, once per call.
#[test]
fn tools_are_counted_in_answers() {
    let answer = r#"[{"role":"assistant","parts":[{"type":"tool_call","name":"a"},{"type" : "tool_call"},{"type":"text","content":"tool_call"}]}]"#;
    let asked = S::model(2).below(1).says("gen_ai.output.messages", answer);
    let twice = [
        asked.clone(),
        S::model(3)
            .below(2)
            .says("gen_ai.response.finish_reasons", "tool_calls"),
    ];
    assert_eq!(vitals_of(run(twice)).tool_calls, Some(2));
    let unrecorded = S::model(2)
        .below(1)
        .says("gen_ai.response.finish_reasons", "tool_calls");
    assert_eq!(vitals_of(run([unrecorded])).tool_calls, None);
    let named = S::model(2).below(1).says(
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name",
        "a",
    );
    assert_eq!(vitals_of(run([named])).tool_calls, Some(1));
}

/// Guarantees: retries are attempts after a failed one under the same parent, what HTTP clients count, and tools
/// called again with the same arguments; without any source they are unknown.
#[test]
fn retries_where_they_can_be_seen() {
    let http = |id: u64, status: i64| {
        S::new(id)
            .below(2)
            .at(id, id + 1)
            .says("http.status_code", status)
    };
    let model = S::model(2).below(1).at(0, 9);
    assert_eq!(
        vitals_of(run([model.clone(), http(3, 429), http(4, 503), http(5, 200)])).retries,
        Some(2)
    );
    assert_eq!(vitals_of(run([model.clone(), http(3, 200)])).retries, Some(0));
    assert_eq!(
        vitals_of(run([model.clone(), http(3, 200), http(4, 500)])).retries,
        Some(0),
        "nothing followed"
    );
    assert_eq!(vitals_of(run([model.clone()])).retries, None);
    assert_eq!(
        vitals_of(run([model.says("http.request.resend_count", 2_i64)])).retries,
        Some(2)
    );

    let attempt = |id: u64| S::model(id).below(1).at(id, id + 1).scope(AI);
    let vitals = vitals_of(run([attempt(2).fails(), attempt(3).fails(), attempt(4)]));
    assert_eq!((vitals.retries, vitals.success), (Some(2), true));

    let tool = |id: u64, arguments: &str| {
        S::tool(id, "pay")
            .below(1)
            .at(id, id + 1)
            .says("gen_ai.tool.call.arguments", arguments)
    };
    assert_eq!(
        vitals_of(run([tool(2, "1").fails(), tool(3, "1")])).retries,
        Some(1)
    );
    assert_eq!(vitals_of(run([tool(2, "1").fails(), tool(3, "2")])).retries, None);
}

/// Guarantees: an execution fails when its span does, when an agent inside does and no model answers after it, or
/// when its last model call does; not for a tool, a hand-off, or what it recovered from.
#[test]
fn failures_are_those_of_the_run() {
    let model = |id: u64| S::model(id).below(1).at(id, id + 1);
    let inner = |id: u64| S::agent(id, "inner").below(1).at(id, id + 1);
    let cases = [
        ("an ordinary run", run([model(2)]), true),
        ("an error of its own", vec![S::agent(1, "bot").fails()], false),
        (
            "Ok above a failed agent",
            run([model(2), inner(3).fails()])
                .into_iter()
                .map(S::says_ok_if_root)
                .collect(),
            false,
        ),
        (
            "a failed agent, then an answer",
            run([inner(2).fails(), model(4)]),
            true,
        ),
        (
            "a failed tool",
            run([S::tool(2, "t").below(1).fails(), model(3)]),
            true,
        ),
        (
            "a failed tool at last",
            run([model(2), S::tool(3, "t").below(1).at(4, 5).fails()]),
            true,
        ),
        ("a failed call at last", run([model(2), model(3).fails()]), false),
        (
            "a failed call, then an answer",
            run([model(2).fails(), model(3)]),
            true,
        ),
        (
            "a hand-off as error",
            vec![S::agent(1, "bot").fails().says("error.type", "x.ParentCommand")],
            true,
        ),
    ];
    for (what, spans, success) in cases {
        assert_eq!(vitals_of(spans).success, success, "{what}");
    }
    let failed = vitals_of(run([
        model(2),
        inner(3).fails().says("error.type", "InternalServerError"),
    ]));
    assert_eq!(failed.context.error_type.as_deref(), Some("InternalServerError"));
}

impl S {
    /// The root says Ok, the others what they said.
    fn says_ok_if_root(self) -> S {
        let mut is_root = false;
        let span = self.change(|span| is_root = span.parent_span_id.is_empty());
        if is_root { span.says_ok() } else { span }
    }
}

/// Guarantees: quiet ends that were none: a step limit with a sign, and a caller that went away.
#[test]
fn quiet_failures() {
    let model = |id: u64| S::model(id).below(1).at(id, id + 1);
    let silent = |id: u64| {
        model(id)
            .without("gen_ai.usage.input_tokens")
            .without("gen_ai.usage.output_tokens")
    };
    let stopped = |reason: &str| vec![S::agent(1, "bot").says("gen_ai.response.finish_reasons", reason)];
    let limit = "RunResult(output=None, state='max_steps_error')";
    let output = vec![S::agent(1, "bot").says("output.value", limit)];
    assert_eq!(
        vitals_of(stopped("[\"tool_calls\"]"))
            .context
            .error_type
            .as_deref(),
        Some("step_limit")
    );
    assert!(vitals_of(stopped("stop")).success);
    assert_eq!(
        vitals_of(output).context.error_type.as_deref(),
        Some("step_limit")
    );
    let cancelled = vitals_of(run([model(2), silent(3)]));
    assert_eq!(
        (cancelled.success, cancelled.context.error_type.as_deref()),
        (false, Some("cancelled"))
    );
    assert!(
        vitals_of(run([silent(2), silent(3)])).success,
        "calls that never tell tokens say nothing"
    );
    let cut = silent(3).change(|span| span.dropped_attributes_count = 4);
    assert!(
        vitals_of(run([model(2), cut])).success,
        "what the sender's limits cut away says nothing"
    );
}

/// Guarantees: the id given on purpose, else what is mapped, else namespace, service and name; always one that
/// stores and URLs can carry.
#[test]
fn identity() {
    let run_id = RunId::default();
    let runs = Runs {
        stated: None,
        otherwise: &run_id,
    };
    let mapped = dialect::Config {
        attributes: [(dialect::Fact::AgentId, vec!["gen_ai.agent.id".to_owned()])].into(),
        ..dialect::Config::default()
    };
    let of = |dialect: &dialect::Config, resource: &[(&str, _)], span: S| {
        let mut world = World::speaking(Config::default(), dialect.apply());
        world
            .assembler
            .accept(runs, &request(resource, [span]), world.now, &mut world.out);
        world.one().key.agent.to_string()
    };
    let plain = dialect::Config::default();
    let service = [
        ("service.namespace", "ns".into()),
        ("service.name", "shop".into()),
    ];
    let bot = || S::agent(1, "bot").says("gen_ai.agent.id", "7");
    assert_eq!(of(&plain, &service, bot()), "ns/shop/bot");
    assert_eq!(of(&plain, &service[1..], bot()), "shop/bot");
    assert_eq!(of(&plain, &[], bot()), "bot");
    assert_eq!(of(&mapped, &service, bot()), "7");
    assert_eq!(
        of(
            &mapped,
            &service,
            bot().says("immune.agent.id", "mine").without("gen_ai.agent.id")
        ),
        "mine"
    );
    assert_eq!(
        of(&plain, &[("immune.agent.id", "by-resource".into())], bot()),
        "by-resource"
    );
    assert_eq!(of(&plain, &[], S::agent(1, "..")), "unknown");
    assert_eq!(of(&plain, &[], S::agent(1, "a\u{7}b")), "a b");
    assert_eq!(
        of(
            &plain,
            &[],
            S::new(1).says("gen_ai.operation.name", "invoke_agent")
        ),
        "unknown"
    );
}

/// Guarantees: names come from the agents' spans first, inner ones where the outer has none, then from the run's
/// name, then from what the span's name tells.
#[test]
fn names() {
    let name = |spans: Vec<S>| vitals_of(spans).context.agent_name;
    let workflow = |name: &str| {
        S::new(1)
            .at(0, 9)
            .says("gen_ai.operation.name", "invoke_workflow")
            .says("gen_ai.workflow.name", name)
    };
    assert_eq!(
        name(vec![workflow("flow"), S::agent(2, "bot").below(1)]).as_deref(),
        Some("bot")
    );
    assert_eq!(name(vec![workflow("flow")]).as_deref(), Some("flow"));
    assert_eq!(name(vec![workflow("Agent workflow")]), None);
    let kind = |id: u64, kind: &str, name: &str| {
        S::new(id)
            .at(0, 9)
            .says("openinference.span.kind", kind)
            .named(name)
    };
    assert_eq!(
        name(vec![kind(1, "AGENT", "helper.run")]).as_deref(),
        Some("helper")
    );
    assert_eq!(
        name(vec![kind(1, "CHAIN", "graph"), S::model(2).below(1)]).as_deref(),
        Some("graph")
    );
    let later = S::agent(4, "second").below(1).at(5, 6);
    let first = kind(3, "AGENT", "agent").below(1).at(1, 2);
    assert_eq!(
        name(vec![kind(1, "CHAIN", "graph"), first, later]).as_deref(),
        Some("graph")
    );
}

/// Guarantees: the platform's own word reaches the record from a span or the resource, with its reason.
#[test]
fn the_platforms_word() {
    let told = S::agent(1, "bot")
        .says("immune.infected", true)
        .says("immune.infected.reason", "canary leaked");
    assert_eq!(
        vitals_of([told]).context.platform_infected.as_deref(),
        Some("canary leaked")
    );
    let denied = S::agent(1, "bot").says("immune.infected", false);
    assert_eq!(vitals_of([denied]).context.platform_infected, None);
}

/// Guarantees: a prompt leaves a fingerprint that changes with it, and never its text.
#[test]
fn prompts_leave_fingerprints_only() {
    let hash = |prompt: &str| {
        let vitals = vitals_of([S::agent(1, "bot").says("gen_ai.system_instructions", prompt)]);
        assert!(!format!("{vitals:?}").contains(prompt));
        vitals.context.prompt_hash
    };
    assert!(hash("you are kind").is_some());
    assert_ne!(hash("you are kind"), hash("you are root"));
}

/// Scenario: an agent searches the same thing three times and another once, with two tool spans whose arguments nobody
/// recorded; another agent calls 10,000 different things and then the first of them once more.
/// Guarantees: the call made most often is told with its count, and nothing of its arguments; what is kept is bounded.
#[test]
fn the_same_call_again_is_counted() {
    let call = |id, argument: &str| {
        S::tool(id, "search")
            .below(1)
            .says("gen_ai.tool.call.arguments", argument)
    };
    let calls = [
        call(2, "secret"),
        call(3, "secret"),
        call(4, "other"),
        call(5, "secret"),
    ];
    let unknown = [S::tool(6, "note").below(1), S::tool(7, "note").below(1)];
    let vitals = vitals_of(run(calls.into_iter().chain(unknown)));
    let repeated = vitals
        .context
        .repeated_call
        .as_ref()
        .map(|call| (call.tool.as_str(), call.times));
    assert_eq!(repeated, Some(("search", 3)));
    assert!(!format!("{vitals:?}").contains("secret"));

    let many = (0..10_000_u64)
        .map(|i| call(i + 2, &i.to_string()))
        .chain([call(20_000, "0")]);
    let vitals = vitals_of(run(many));
    assert_eq!(vitals.context.repeated_call.map(|call| call.times), Some(2));
}

/// Guarantees: the kind of work is what the execution says of itself; a text is no kind; tools on offer leave the
/// fingerprint of their set.
#[test]
fn kind_of_work_and_tools_on_offer() {
    let told = |kind: &str| {
        vitals_of([S::agent(1, "bot").says("immune.task_type", kind)])
            .context
            .task_type
    };
    assert_eq!(told("refund").as_deref(), Some("refund"));
    assert_eq!(told(&"please refund me ".repeat(20)), None);
    let offer = |tools: &str| {
        let model = S::model(2).below(1).says("gen_ai.tool.definitions", tools);
        vitals_of(run([model])).context.tools_offered
    };
    let both = offer(r#"[{"name":"get"},{"name":"put"}]"#);
    assert!(both.is_some());
    assert_eq!(both, offer(r#"[{"name":"put"},{"name":"get"}]"#));
    assert_ne!(both, offer(r#"[{"name":"get"}]"#));
}
