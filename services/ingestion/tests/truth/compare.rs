//! One scenario's vitals against its truth, field by field.

use super::index::{Scenario, Truth};
use immune_domain::vitals::{Completeness, Vitals};
use std::collections::BTreeSet;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Number of executions.
    Executions,
    /// Name of the agent.
    Agent,
    /// Names of the agents inside.
    Parts,
    /// Tokens, of each execution and in sum.
    Tokens,
    /// Tool calls.
    Tools,
    /// Success.
    Success,
    /// Model.
    Model,
    /// Latency.
    Latency,
    /// Conversation.
    Conversation,
    /// Retries, where they are known.
    Retries,
    /// Whether the record is complete.
    Completeness,
}

impl Field {
    /// All, in the order of the summary.
    pub const ALL: [Field; 11] = [
        Field::Executions,
        Field::Agent,
        Field::Parts,
        Field::Tokens,
        Field::Tools,
        Field::Success,
        Field::Model,
        Field::Latency,
        Field::Conversation,
        Field::Retries,
        Field::Completeness,
    ];
}

/// The mismatches of a scenario per field. Fields of single executions are left out when their number is wrong:
/// there is nothing to hold them against.
pub fn compare(scenario: &Scenario, vitals: &[Vitals]) -> Vec<(Field, Vec<String>)> {
    let truths = &scenario.executions;
    if vitals.len() != truths.len() {
        let names: Vec<_> = vitals.iter().map(|v| v.key.agent.as_str()).collect();
        let counts = format!("{} instead of {}: {names:?}", vitals.len(), truths.len());
        let sum = |pick: fn(&Vitals) -> Option<u64>| vitals.iter().filter_map(pick).sum::<u64>();
        let got = (sum(|v| v.input_tokens), sum(|v| v.output_tokens));
        let want = (
            truths.iter().map(|t| t.input_tokens).sum(),
            truths.iter().map(|t| t.output_tokens).sum(),
        );
        let tokens = if got == want {
            vec![]
        } else {
            vec![format!("sum {got:?} instead of {want:?}")]
        };
        return vec![(Field::Executions, vec![counts]), (Field::Tokens, tokens)];
    }
    let pairs = pair(truths, vitals);
    let mut fields = vec![(Field::Executions, Vec::new())];
    for field in Field::ALL.into_iter().skip(1) {
        let mismatches = pairs
            .iter()
            .filter_map(|(truth, vitals)| mismatch(field, truth, vitals))
            .collect();
        fields.push((field, mismatches));
    }
    fields
}

/// Each truth with the record nearest in start and duration.
fn pair<'t>(truths: &'t [Truth], vitals: &'t [Vitals]) -> Vec<(&'t Truth, &'t Vitals)> {
    let mut costs = Vec::new();
    for (t, truth) in truths.iter().enumerate() {
        for (v, vitals) in vitals.iter().enumerate() {
            let start_ms =
                (truth.start_unix_ns / 1_000) as f64 / 1e3 - vitals.started_at.as_micros() as f64 / 1e3;
            costs.push((start_ms.abs() + (truth.wall_ms - vitals.latency_ms).abs(), t, v));
        }
    }
    costs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut taken_t, mut taken_v, mut pairs) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    for (_, t, v) in costs {
        if !taken_t.contains(&t) && !taken_v.contains(&v) {
            taken_t.insert(t);
            taken_v.insert(v);
            pairs.push((&truths[t], &vitals[v]));
        }
    }
    pairs
}

fn mismatch(field: Field, truth: &Truth, vitals: &Vitals) -> Option<String> {
    let context = &vitals.context;
    match field {
        Field::Executions => None,
        Field::Agent => differ(context.agent_name.as_ref(), truth.agents.first()),
        Field::Parts => {
            let got: BTreeSet<&str> = context.parts.iter().map(String::as_str).collect();
            differ(got, truth.agents.iter().skip(1).map(String::as_str).collect())
        }
        Field::Tokens => differ(
            (
                vitals.input_tokens.unwrap_or(0),
                vitals.output_tokens.unwrap_or(0),
            ),
            (truth.input_tokens, truth.output_tokens),
        ),
        Field::Tools => {
            // Agents used as tools and calls that the framework refused are asked for, and do not run a function.
            let (ran, asked) = (truth.tool_calls.len(), asked_for_work(truth));
            let got = vitals.tool_calls.map(|calls| calls as usize);
            (got != Some(ran) && got != Some(asked))
                .then(|| format!("{got:?} instead of {ran} (asked for {asked})"))
        }
        Field::Success => differ(vitals.success, truth.success),
        Field::Model => {
            let known = truth.models_served.iter().chain(&truth.models_requested);
            let known: Vec<&String> = known.collect();
            let is_right = context
                .model
                .as_ref()
                .map_or(known.is_empty(), |model| known.contains(&model));
            (!is_right).then(|| format!("{:?} instead of {known:?}", context.model))
        }
        Field::Latency => {
            // The program measured around the framework's call; spans begin later and end earlier.
            let tolerance = (0.15 * truth.wall_ms).max(150.0);
            let off = (vitals.latency_ms - truth.wall_ms).abs();
            (off > tolerance)
                .then(|| format!("{:.0} ms instead of {:.0} ms", vitals.latency_ms, truth.wall_ms))
        }
        Field::Conversation => truth
            .session_id
            .as_ref()
            .and_then(|_| differ(&context.conversation, &truth.session_id)),
        Field::Retries => vitals.retries.and_then(|retries| {
            let known = truth.llm_http_retries..=truth.llm_http_retries + tool_repetitions(truth);
            (!known.contains(&retries)).then(|| format!("{retries} instead of {known:?}"))
        }),
        Field::Completeness => {
            let was_killed = truth.raised.as_deref() == Some("ProcessKilled");
            let expected = if was_killed {
                Completeness::Incomplete
            } else {
                Completeness::Complete
            };
            differ(vitals.completeness, expected)
        }
    }
}

/// Tool calls that may be retries: the same tool again after it failed.
fn tool_repetitions(truth: &Truth) -> u32 {
    let calls = truth.tool_calls.windows(2);
    calls
        .filter(|pair| !pair[0].ok && pair[0].name == pair[1].name)
        .count() as u32
}

/// Requested calls without hand-offs and final answers.
fn asked_for_work(truth: &Truth) -> usize {
    let is_talk = |name: &&String| {
        let name = name.to_lowercase();
        [
            "transfer_to",
            "handoff",
            "final_answer",
            "delegate_work",
            "ask_question",
        ]
        .iter()
        .any(|talk| name.starts_with(talk))
    };
    truth
        .llm_requested_tool_calls
        .iter()
        .filter(|name| !is_talk(name))
        .count()
}

fn differ<T: PartialEq + std::fmt::Debug>(got: T, want: T) -> Option<String> {
    (got != want).then(|| format!("{got:?} instead of {want:?}"))
}
