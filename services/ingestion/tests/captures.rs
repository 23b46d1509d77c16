//! What real frameworks sent, through decoding and assembling, against what really happened.

mod truth;

use immune_domain::vitals::Vitals;
use immune_domain::{RunId, Timestamp};
use immune_ingestion::assemble::{Assembler, Config, Emitted, Runs};
use immune_ingestion::dialect::Dialect;
use immune_ingestion::json;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::time::Duration;
use truth::{Exception, Field, File, Scenario, Signal, Verdicts};

/// What frameworks do not send. Sections are those of otlp-agents.md.
const EXCEPTIONS: &[Exception] = &[
    // Number of executions.
    without(
        "autogen",
        "handoff|team",
        Field::Executions,
        "a team's run is many traces joined by links (3, 12.18)",
    ),
    without(
        "*",
        "bare",
        Field::Executions,
        "no span around the calls: each is an execution of its own (rule 4)",
    ),
    // Names.
    without(
        "*-client.*",
        "llm*|loop*|multi_tools|normal|streaming|tool_error|grpc*|gzip|otlp_json|metrics*|sessions",
        Field::Agent,
        "the client's instrumentation knows no agent; the service stands for it (3)",
    ),
    without(
        "llama-index.openinference",
        "*",
        Field::Agent,
        "no names, the class of the workflow only (3)",
    ),
    without(
        "llama-index.openinference",
        "handoff",
        Field::Parts,
        "no names of agents (3)",
    ),
    without(
        "crewai.openinference",
        "handoff",
        Field::Parts,
        "delegated work has no agent's span (3)",
    ),
    without(
        "langgraph.otel-genai",
        "handoff",
        Field::Parts,
        "the node around the agent is traced as an agent too (12.6)",
    ),
    without(
        "smolagents.openinference",
        "llm_fail",
        Field::Agent,
        "the agent's span is never sent after a failure (12.9)",
    ),
    without(
        "ms-agent-framework|openai-agents.*|strands",
        "crash_midrun",
        Field::Agent,
        "only the agent's own span tells its name, and it never ended (12.10)",
    ),
    // Tokens and models.
    without("autogen", "*", Field::Tokens, "no LLM spans, no tokens (6)"),
    without(
        "openai-agents.otel-genai",
        "*",
        Field::Tokens,
        "no LLM spans without the client's instrumentation (3, 6)",
    ),
    without(
        "llama-index.openinference",
        "streaming",
        Field::Tokens,
        "no usage when streaming (6)",
    ),
    without(
        "openai-agents.openinference",
        "attr_limits",
        Field::Tokens,
        "the SDK's limits cut the usage away (6)",
    ),
    without(
        "autogen",
        "agent_as_tool|l*|multi_tools|normal|remote_parent|sessions|t*l|tool_error",
        Field::Model,
        "no LLM spans (3)",
    ),
    without(
        "openai-agents.otel-genai",
        "*",
        Field::Model,
        "no LLM spans without the client's instrumentation (3)",
    ),
    without(
        "openai-agents.openinference",
        "llm_auth_fail",
        Field::Model,
        "the model is named in answers only (3)",
    ),
    // Tools.
    without(
        "anthropic-client.otel-genai|openai-client.otel-v2",
        "llm*|loop*|multi_tools|normal|streaming|tool_error|grpc*|gzip|metrics*|sessions",
        Field::Tools,
        "tools leave no span and answers are not recorded (12.16)",
    ),
    without(
        "*",
        "crash_midrun",
        Field::Tools,
        "the tool that the process died in never ended (12.10)",
    ),
    // Outcome.
    without(
        "autogen|crewai.openinference",
        "loop_max_turns",
        Field::Success,
        "returns quietly, without a sign (5)",
    ),
    without(
        "autogen",
        "timeout_cancel",
        Field::Success,
        "no LLM span that could lack an answer (5)",
    ),
    without(
        "smolagents.openinference",
        "llm_fail",
        Field::Completeness,
        "the agent's span is never sent after a failure (12.9)",
    ),
    without(
        "crewai.openinference",
        "llm_fail",
        Field::Retries,
        "the client's own retries are inside of the spans (4)",
    ),
    without(
        "google-adk",
        "a*|handoff|llm_fail|loop*|multi_tools|normal|remote_parent|sessions|tool_error",
        Field::Latency,
        "the program's clock includes setting the runner up, before the first span",
    ),
    // Conversations.
    without(
        "autogen|crewai.openinference|smolagents.openinference",
        "sessions",
        Field::Conversation,
        "not sent (3)",
    ),
    without(
        "openai-agents.openinference|openai-agents.openllmetry",
        "sessions",
        Field::Conversation,
        "group_id is not exported (3)",
    ),
    without(
        "ms-agent-framework|vercel-ai.v7",
        "sessions",
        Field::Conversation,
        "a local session's id is not sent (3)",
    ),
];

const fn without(
    capture: &'static str,
    scenario: &'static str,
    field: Field,
    reason: &'static str,
) -> Exception {
    Exception {
        capture,
        scenario,
        field,
        reason,
    }
}

/// The record that stands of each execution when everything was reported.
fn standing(emitted: Vec<Emitted>) -> Vec<Vitals> {
    let mut standing: Vec<Vitals> = Vec::new();
    for emitted in emitted {
        match emitted {
            Emitted::Vitals(vitals) => {
                let before = standing
                    .iter()
                    .position(|other| other.execution == vitals.execution);
                if let Some(before) = before.map(|at| standing.swap_remove(at)) {
                    assert!(
                        vitals.revision > before.revision,
                        "a correction needs a higher revision: {vitals:?}"
                    );
                    assert_eq!(
                        vitals.key, before.key,
                        "an execution changed hands without being taken back"
                    );
                }
                standing.push(vitals);
            }
            Emitted::Retracted { key, execution, .. } => {
                let at = standing
                    .iter()
                    .position(|other| other.execution == execution && other.key == key);
                standing.swap_remove(at.expect("only what stands is taken back"));
            }
        }
    }
    standing
}

fn decode<T: Message + Default + json::Decode>(file: &File, body: &[u8]) -> T {
    let decoded = if file.is_json() {
        <T as json::Decode>::decode(body).map_err(|e| e.to_string())
    } else {
        <T as Message>::decode(body).map_err(|e| e.to_string())
    };
    decoded.unwrap_or_else(|e| panic!("{}: {e}", file.file))
}

/// Feeds a scenario's requests a tenth of a second apart, months after they were recorded, and ends it.
fn run(captures: &Path, scenario: &Scenario, config: Config) -> Vec<Vitals> {
    let run = RunId::default();
    let runs = Runs {
        stated: None,
        otherwise: &run,
    };
    let mut assembler = Assembler::new(config, Dialect::builtin());
    let mut now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
    let mut emitted = Vec::new();
    for file in &scenario.files {
        now = now.plus(Duration::from_millis(100));
        let body = file.body(captures);
        match file.signal {
            Signal::Traces => {
                let request: ExportTraceServiceRequest = decode(file, &body);
                let accepted = assembler.accept(runs, &request, now, &mut emitted);
                assert_eq!(
                    accepted.rejected_count(),
                    0,
                    "{}: {}",
                    file.file,
                    accepted.message()
                );
            }
            Signal::Logs => {
                let request: ExportLogsServiceRequest = decode(file, &body);
                assembler.accept_logs(runs, &request, now, &mut emitted);
            }
            Signal::Metrics => drop(decode::<ExportMetricsServiceRequest>(file, &body)),
        }
        assembler.tick(now, &mut emitted);
    }
    assembler.drain(now, &mut emitted);
    assert_eq!(assembler.totals().traces, 0);
    assert_eq!(
        (assembler.totals().bytes, assembler.totals().spans),
        (0, 0),
        "the books balance"
    );
    standing(emitted)
}

/// Scenario: every request of every capture, in order, through decoder and assembler.
/// Guarantees: executions, agents, tokens, tools, success, models, latency and conversations are what they really
/// were, except where a named framework does not send them.
#[test]
fn captures_give_the_truth() {
    let Some(captures) = truth::captures() else { return };
    let mut verdicts = Verdicts::default();
    for scenario in truth::scenarios(&captures) {
        let vitals = run(&captures, &scenario, Config::default());
        verdicts.judge(&scenario, &vitals, EXCEPTIONS);
    }
    verdicts.finish(EXCEPTIONS);
}

/// One request per span, in an order that the seed decides.
fn shuffled(captures: &Path, scenario: &Scenario, seed: u64) -> Vec<ExportTraceServiceRequest> {
    let mut requests = Vec::new();
    for file in scenario.files.iter().filter(|file| file.signal == Signal::Traces) {
        let request: ExportTraceServiceRequest = decode(file, &file.body(captures));
        for resource in request.resource_spans {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    let mut one = resource.clone();
                    one.scope_spans = vec![scope.clone()];
                    one.scope_spans[0].spans = vec![span.clone()];
                    requests.push(ExportTraceServiceRequest {
                        resource_spans: vec![one],
                    });
                }
            }
        }
    }
    let rank = |request: &ExportTraceServiceRequest| {
        let mut hasher = DefaultHasher::new();
        (seed, &request.resource_spans[0].scope_spans[0].spans[0].span_id).hash(&mut hasher);
        hasher.finish()
    };
    requests.sort_by_cached_key(rank);
    requests
}

/// Scenario: the spans of every capture one by one in orders that no sender would choose, now and then late enough
/// that an inner agent is taken for the execution at first; every one of them twice.
/// Guarantees: what stands in the end is the same as for the order in which they were sent, whatever was reported,
/// corrected and taken back in between, and repetition changes nothing.
#[test]
fn any_order_gives_the_same() {
    let Some(captures) = truth::captures() else { return };
    let run_id = RunId::default();
    let runs = Runs {
        stated: None,
        otherwise: &run_id,
    };
    for scenario in truth::scenarios(&captures) {
        let sent_in_order = plain(run_traces(&captures, &scenario));
        for (seed, step) in [(1, 10), (2, 10), (3, 4_000)] {
            let mut assembler = Assembler::new(Config::default(), Dialect::builtin());
            let mut now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
            let mut emitted = Vec::new();
            let requests = shuffled(&captures, &scenario, seed);
            for request in requests.iter().chain(&requests) {
                now = now.plus(Duration::from_millis(step));
                assembler.accept(runs, request, now, &mut emitted);
                if step < 1_000 || requests.len() < 7 {
                    assembler.tick(now, &mut emitted);
                }
            }
            assembler.drain(now, &mut emitted);
            let name = format!("{}/{} seed {seed}", scenario.capture, scenario.scenario);
            assert_eq!(plain(standing(emitted)), sent_in_order, "{name}");
        }
    }
}

/// The trace requests alone, as sent.
fn run_traces(captures: &Path, scenario: &Scenario) -> Vec<Vitals> {
    let run_id = RunId::default();
    let runs = Runs {
        stated: None,
        otherwise: &run_id,
    };
    let mut assembler = Assembler::new(Config::default(), Dialect::builtin());
    let now = Timestamp::from_epoch_seconds(1_900_000_000.0).expect("a time");
    let mut emitted = Vec::new();
    for file in scenario.files.iter().filter(|file| file.signal == Signal::Traces) {
        let request: ExportTraceServiceRequest = decode(file, &file.body(captures));
        assembler.accept(runs, &request, now, &mut emitted);
    }
    assembler.drain(now, &mut emitted);
    standing(emitted)
}

/// What the records say, without how often and when they were given, in order of their ids.
fn plain(mut vitals: Vec<Vitals>) -> Vec<Vitals> {
    for vitals in &mut vitals {
        vitals.revision = 0;
        vitals.received_at = Timestamp::EPOCH;
    }
    vitals.sort_by(|a, b| a.execution.cmp(&b.execution));
    vitals
}
