//! Arbitrary domain values for the round-trip tests.

use immune_domain::baseline::{self, Changed, Learned, Moments, Origin, Profile, Version};
use immune_domain::case::{
    Attempt, AttemptOutcome, Case, Containment, Decision, Entry, FirstApproval, LastDecision, Lease,
    LeverState, LeverStatus, Person, Quarantine, QuarantinePhase, State, Step, WaitReason,
};
use immune_domain::detection::guarded::Known;
use immune_domain::detection::{Anomaly, Deviations, EVIDENCE_MAX, Evidence, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis, RuledOut};
use immune_domain::healing::{Action, Healing, Outcome, Trigger};
use immune_domain::memory::{Memory, Pin};
use immune_domain::vitals::{Completeness, Context, RepeatedCall, Source, Vitals};
use immune_domain::{AgentKey, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::Arc;

fn id() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9/_: -]{1,24}"
}

fn text() -> impl Strategy<Value = String> {
    ".{0,16}"
}

fn at() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..1e12, Just(f64::MIN_POSITIVE), Just(f64::MAX)]
}

fn key() -> impl Strategy<Value = AgentKey> {
    (id(), id()).prop_map(|(run, agent)| AgentKey::new(run, agent))
}

fn context() -> impl Strategy<Value = Context> {
    let texts = || (option::of(text()), option::of(text()), option::of(text()));
    let call = || (text(), 2_u32..).prop_map(|(tool, times)| RepeatedCall { tool, times });
    let lists = (vec(text(), 0..4), vec(text(), 0..4), vec(text(), 0..4));
    let rest = (
        option::of(amount()),
        btree_map(text(), text(), 0..4),
        option::of(text()),
        (option::of(text()), option::of(text()), option::of(call())),
    );
    (texts(), texts(), texts(), lists, rest).prop_map(|(a, b, c, lists, rest)| Context {
        agent_type: a.0,
        agent_name: a.1,
        framework: a.2,
        model: b.0,
        conversation: b.1,
        trace_id: b.2,
        tools: lists.0,
        parts: lists.1,
        mcp_servers: lists.2,
        error_type: c.0,
        cost: rest.0,
        prompt_hash: c.1,
        workload: rest.1.into_iter().collect(),
        platform_infected: rest.2,
        task_type: rest.3.0,
        tools_offered: rest.3.1,
        repeated_call: rest.3.2,
    })
}

pub fn vitals() -> impl Strategy<Value = Vitals> {
    let identity = (key(), id(), any::<u32>());
    let times = (at(), at(), at());
    let tokens = any::<(Option<u64>, Option<u64>, Option<u64>)>();
    let counts = any::<(Option<u32>, Option<u32>, bool)>();
    let kind = (
        select(vec![
            Completeness::Complete,
            Completeness::Incomplete,
            Completeness::Running,
        ]),
        select(vec![Source::Otlp, Source::Posted]),
    );
    (identity, times, amount(), tokens, counts, kind, context()).prop_map(
        |((key, execution, revision), times, latency_ms, tokens, counts, kind, context)| Vitals {
            key,
            execution: execution.into(),
            revision,
            started_at: times.0,
            timestamp: times.1,
            received_at: times.2,
            latency_ms,
            input_tokens: tokens.0,
            output_tokens: tokens.1,
            token_count: tokens.2,
            tool_calls: counts.0,
            retries: counts.1,
            success: counts.2,
            completeness: kind.0,
            source: kind.1,
            context: Box::new(context),
        },
    )
}

fn moments() -> impl Strategy<Value = Moments> {
    (any::<u64>(), amount(), amount()).prop_map(|(count, mean, stddev)| Moments { count, mean, stddev })
}

fn agent_version() -> impl Strategy<Value = Version> {
    let changed = any::<(bool, bool, bool)>();
    let origin = select(Origin::ALL.to_vec());
    (any::<u32>(), at(), changed, origin).prop_map(|(epoch, since, (model, prompt, tools), origin)| Version {
        epoch,
        since,
        changed: Changed { model, prompt, tools },
        origin,
    })
}

pub fn profile() -> impl Strategy<Value = Profile> {
    use baseline::State;
    let state = select(vec![State::Learning, State::Active, State::Stale, State::Suspect]);
    let numbers = (any::<u64>(), [moments(), moments(), moments()]);
    let more = (at(), agent_version(), any::<bool>(), option::of(known()));
    (key(), any::<u64>(), state, numbers, more).prop_map(
        |(key, version, state, (sample_count, moments), (updated_at, of, is_frozen, known))| Profile {
            key,
            version,
            state,
            sample_count,
            moments,
            updated_at,
            of,
            is_frozen,
            known: known.map(Arc::new),
        },
    )
}

fn known() -> impl Strategy<Value = Known> {
    vec(vitals(), 1..5).prop_map(|executions| Learned::of(&executions).known)
}

fn deviations() -> impl Strategy<Value = Deviations> {
    let one = || option::of(amount());
    (one(), one(), one(), one()).prop_map(|(latency, tokens, tools, retry_rate)| Deviations {
        latency,
        tokens,
        tools,
        retry_rate,
    })
}

fn window() -> impl Strategy<Value = WindowSummary> {
    let three = || [option::of(amount()), option::of(amount()), option::of(amount())];
    (
        any::<u32>(),
        amount(),
        three(),
        three(),
        three(),
        0.0..=1.0,
        0.0..=1.0,
    )
        .prop_map(
            |(executions, window_seconds, averages, means, stddevs, retry_share, failure_share)| {
                WindowSummary {
                    executions,
                    window_seconds,
                    averages,
                    means,
                    stddevs,
                    retry_share,
                    failure_share,
                }
            },
        )
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let counts = any::<(Option<u64>, Option<u32>, Option<u32>, bool)>();
    (id(), option::of(text()), at(), amount(), counts).prop_map(
        |(execution, trace_id, timestamp, latency_ms, counts)| Evidence {
            execution: execution.into(),
            trace_id,
            timestamp,
            latency_ms,
            token_count: counts.0,
            tool_calls: counts.1,
            retries: counts.2,
            success: counts.3,
        },
    )
}

pub fn infection() -> impl Strategy<Value = Infection> {
    let anomaly = select(vec![
        Anomaly::LatencySpike,
        Anomaly::TokenSpike,
        Anomaly::ToolExplosion,
        Anomaly::HighRetryRate,
        Anomaly::PlatformReport,
    ]);
    let hypothesis =
        (diagnosis(), 0.0..=1.0, text()).prop_map(|(diagnosis, confidence, because)| Hypothesis {
            diagnosis,
            confidence,
            because,
        });
    let ruled_out = (diagnosis(), text()).prop_map(|(diagnosis, because)| RuledOut { diagnosis, because });
    let lists = (
        vec(anomaly, 0..5),
        vec(hypothesis, 1..4),
        vec(evidence(), 0..=EVIDENCE_MAX),
    );
    (
        id(),
        key(),
        at(),
        0.0..=10.0,
        lists,
        deviations(),
        window(),
        (
            any::<u64>(),
            option::of(0.0..100.0),
            btree_map(text(), text(), 0..4),
            vec(ruled_out, 0..4),
        ),
    )
        .prop_map(
            |(id, key, detected_at, severity, lists, deviations, window, by)| Infection {
                id: id.into(),
                key,
                detected_at,
                severity,
                anomalies: lists.0,
                deviations,
                hypotheses: lists.1,
                window,
                evidence: lists.2,
                baseline_version: by.0,
                evidence_score: by.1,
                workload: by.2,
                ruled_out: by.3,
            },
        )
}

fn diagnosis() -> impl Strategy<Value = Diagnosis> {
    select(Diagnosis::ALL.to_vec())
}

fn action() -> impl Strategy<Value = Action> {
    select(Action::ALL.to_vec())
}

fn trigger() -> impl Strategy<Value = Trigger> {
    select(vec![
        Trigger::Auto,
        Trigger::AfterApproval,
        Trigger::ExplicitAfterReject,
    ])
}

pub fn healing() -> impl Strategy<Value = Healing> {
    let outcome = prop_oneof![
        Just(Outcome::Running),
        (at(), text()).prop_map(|(acted_at, detail)| Outcome::Verifying { acted_at, detail }),
        (at(), text()).prop_map(|(at, detail)| Outcome::Succeeded { at, detail }),
        (at(), any::<bool>(), text()).prop_map(|(at, acted, detail)| Outcome::Failed { at, acted, detail }),
        (at(), text()).prop_map(|(at, detail)| Outcome::Unsupported { at, detail }),
        (at(), text()).prop_map(|(at, detail)| Outcome::Abandoned { at, detail }),
    ];
    (id(), id(), key(), diagnosis(), action(), trigger(), at(), outcome).prop_map(
        |(id, case, key, diagnosis, action, trigger, started_at, outcome)| Healing {
            id: id.into(),
            case: case.into(),
            key,
            diagnosis,
            action,
            trigger,
            started_at,
            outcome,
        },
    )
}

pub fn memory() -> impl Strategy<Value = Memory> {
    let pin = option::of(select(vec![Pin::Prefer, Pin::Avoid]));
    (key(), diagnosis(), action(), any::<(u32, u32)>(), at(), pin).prop_map(
        |(key, diagnosis, action, (successes, failures), last_at, pin)| Memory {
            key,
            diagnosis,
            action,
            successes,
            failures,
            last_at,
            pin,
        },
    )
}

fn person() -> impl Strategy<Value = Person> {
    (id(), id()).prop_map(|(subject, via)| Person { subject, via })
}

fn lease() -> impl Strategy<Value = Lease> {
    (text(), any::<u64>(), at()).prop_map(|(worker, fence, until)| Lease { worker, fence, until })
}

fn step() -> impl Strategy<Value = Step> {
    (id(), action(), at()).prop_map(|(healing, action, started_at)| Step {
        healing: healing.into(),
        action,
        started_at,
    })
}

fn state() -> impl Strategy<Value = State> {
    let reason = prop_oneof![
        Just(WaitReason::Severe),
        Just(WaitReason::LadderExhausted),
        any::<u32>().prop_map(|cap| WaitReason::BlastRadius { cap }),
        Just(WaitReason::Observing),
        Just(WaitReason::Unproven),
    ];
    prop_oneof![
        (at(), reason, at(), any::<u32>()).prop_map(|(since, reason, escalates_at, escalations)| {
            State::AwaitingApproval {
                since,
                reason,
                escalates_at,
                escalations,
            }
        }),
        (at(), person(), text()).prop_map(|(at, by, reason)| State::Rejected { at, by, reason }),
        (trigger(), at()).prop_map(|(trigger, not_before)| State::HealQueued { trigger, not_before }),
        (trigger(), lease(), option::of(step())).prop_map(|(trigger, lease, step)| State::Healing {
            trigger,
            lease,
            step
        }),
        (trigger(), lease(), step(), at()).prop_map(|(trigger, lease, step, since)| State::Probation {
            trigger,
            lease,
            step,
            since
        }),
        (at(), action()).prop_map(|(at, action)| State::Healed { at, action }),
        (at(), person(), text()).prop_map(|(at, by, reason)| State::Released { at, by, reason }),
    ]
}

fn quarantine() -> impl Strategy<Value = Quarantine> {
    use QuarantinePhase::{
        Breached, Confirmed, NotWanted, Partial, Probation, Released, Releasing, Requested,
    };
    let phase = select(vec![
        NotWanted, Requested, Partial, Confirmed, Breached, Probation, Releasing, Released,
    ]);
    let wanted = select(vec![
        Containment::Contained,
        Containment::Probation,
        Containment::Free,
    ]);
    let status = select(vec![
        LeverStatus::Requested,
        LeverStatus::Confirmed,
        LeverStatus::Failed,
        LeverStatus::Unsupported,
    ]);
    let lever = (text(), wanted, status, any::<u32>(), at(), text(), any::<u32>()).prop_map(
        |(lever, wanted, status, attempts, retry_at, detail, generation)| LeverState {
            lever,
            wanted,
            status,
            attempts,
            retry_at,
            detail,
            generation,
        },
    );
    (phase, at(), vec(lever, 0..3), any::<u32>()).prop_map(|(phase, since, levers, breaches)| Quarantine {
        phase,
        since,
        levers,
        breaches,
    })
}

pub fn case() -> impl Strategy<Value = Case> {
    let outcome = select(vec![
        AttemptOutcome::Succeeded,
        AttemptOutcome::Failed,
        AttemptOutcome::Unsupported,
        AttemptOutcome::Unproven,
    ]);
    let attempt =
        (id(), action(), outcome, text(), at()).prop_map(|(healing, action, outcome, detail, at)| Attempt {
            healing: healing.into(),
            action,
            outcome,
            detail,
            at,
        });
    let entry =
        (at(), text(), text(), text(), any::<u32>()).prop_map(|(at, kind, actor, text, count)| Entry {
            at,
            kind,
            actor,
            text,
            count,
        });
    let lists = (vec(attempt, 0..3), vec(entry, 0..3));
    let last_decision = (decision(), person(), text(), at(), option::of(first_approval())).prop_map(
        |(decision, by, reason, at, first)| LastDecision {
            decision,
            by,
            reason,
            at,
            first,
        },
    );
    let two = (any::<bool>(), option::of(first_approval()));
    let rest = (
        option::of(text()),
        option::of(text()),
        option::of(any::<u32>()),
        option::of(last_decision),
        two,
    );
    (
        id(),
        key(),
        any::<u64>(),
        (at(), at()),
        infection(),
        state(),
        quarantine(),
        lists,
        rest,
    )
        .prop_map(
            |(id, key, version, times, infection, state, quarantine, lists, rest)| Case {
                id: id.into(),
                key,
                version,
                opened_at: times.0,
                updated_at: times.1,
                infection,
                state,
                quarantine,
                attempts: lists.0,
                timeline: lists.1,
                agent_type: rest.0,
                namespace: rest.1,
                ladder_from: rest.2,
                last_decision: rest.3,
                needs_second_person: rest.4.0,
                first_approval: rest.4.1,
            },
        )
}

fn decision() -> impl Strategy<Value = Decision> {
    select(vec![
        Decision::Approve,
        Decision::Reject,
        Decision::HealNow,
        Decision::Release,
    ])
}

fn first_approval() -> impl Strategy<Value = FirstApproval> {
    let fields = (decision(), person(), text(), at(), at());
    fields.prop_map(|(decision, by, reason, at, expires_at)| FirstApproval {
        by,
        decision,
        reason,
        at,
        expires_at,
    })
}
