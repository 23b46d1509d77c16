use super::*;
use immune_domain::baseline::Moments;
use immune_domain::case::{Case, QuarantinePhase, State};
use immune_domain::detection::{Anomaly, Infection, WindowSummary};
use immune_domain::diagnosis::{Diagnosis, Hypothesis};
use immune_domain::{CaseId, baseline, case};

const GROWTH: f64 = 0.5;

pub(crate) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + (seconds * 1e6) as i64)
}

fn key() -> AgentKey {
    AgentKey::new("default", "a")
}

/// Latency 1,000 ms with a deviation of 100; nothing else was ever measured.
pub(crate) fn profile() -> Arc<Profile> {
    let latency = Moments {
        count: 15,
        mean: 1_000.0,
        stddev: 100.0,
    };
    Arc::new(Profile {
        key: key(),
        version: 3,
        state: baseline::State::Active,
        sample_count: 15,
        moments: [latency, Moments::default(), Moments::default()],
        updated_at: at(0.0),
        of: Default::default(),
        is_frozen: false,
        known: None,
    })
}

/// An execution that ended, and came in, at the given second.
pub(crate) fn ran(execution: &str, seconds: f64, latency_ms: f64) -> Vitals {
    Vitals {
        key: key(),
        execution: execution.into(),
        revision: 0,
        started_at: at(seconds).minus(Duration::from_micros((latency_ms * 1e3) as u64)),
        timestamp: at(seconds),
        received_at: at(seconds),
        latency_ms,
        input_tokens: None,
        output_tokens: None,
        token_count: None,
        tool_calls: None,
        retries: Some(0),
        success: true,
        completeness: Completeness::Complete,
        source: Source::Otlp,
        context: Box::default(),
    }
}

fn agent() -> Agent {
    agent_under(Policy::default())
}

/// The specified rule decides about it.
fn agent_under(policy: Policy) -> Agent {
    Agent::new(Arc::new(Policy {
        detector: Detector::Specified,
        ..policy
    }))
}

fn take(agent: &mut Agent, vitals: &Vitals) -> Taken {
    agent.take(vitals, Some(&profile()), GROWTH, vitals.received_at)
}

fn tick(agent: &mut Agent, seconds: f64) -> Option<Draft> {
    agent.tick(&key(), Some(&profile()), GROWTH, at(seconds))
}

fn case_in(state: State, phase: QuarantinePhase, severity: f64) -> Case {
    let infection = Infection {
        id: "i".into(),
        key: key(),
        detected_at: at(0.0),
        severity,
        anomalies: vec![Anomaly::LatencySpike],
        deviations: immune_domain::detection::Deviations::default(),
        ruled_out: vec![],
        hypotheses: vec![Hypothesis {
            diagnosis: Diagnosis::Unknown,
            confidence: 0.2,
            because: "x".into(),
        }],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    };
    Case {
        id: CaseId::new("c1"),
        key: key(),
        version: 1,
        opened_at: at(0.0),
        updated_at: at(0.0),
        infection,
        state,
        quarantine: case::Quarantine {
            phase,
            since: at(0.0),
            levers: vec![],
            breaches: 0,
        },
        attempts: vec![],
        timeline: vec![],
        agent_type: None,
        namespace: None,
        ladder_from: None,
        last_decision: None,
        needs_second_person: false,
        first_approval: None,
    }
}

pub(crate) fn waiting(severity: f64) -> Case {
    let state = State::AwaitingApproval {
        since: at(0.0),
        reason: case::WaitReason::Severe,
        escalates_at: at(900.0),
        escalations: 0,
    };
    case_in(state, QuarantinePhase::Confirmed, severity)
}

pub(crate) fn healed(seconds: f64) -> Case {
    let state = State::Healed {
        at: at(seconds),
        action: immune_domain::healing::Action::ResetMemory,
    };
    case_in(state, QuarantinePhase::Released, 5.0)
}

/// Guarantees: healthy executions teach; the one that makes the window anomalous does not, and is reported once.
#[test]
fn judges_first_and_reports_once() {
    let mut agent = agent();
    let taken = take(&mut agent, &ran("1", 1.0, 1_010.0));
    assert_eq!(
        (taken.reason, taken.draft.is_some()),
        (Some(Reason::Healthy), false)
    );
    let taken = take(&mut agent, &ran("2", 20.0, 2_000.0));
    assert_eq!(taken.reason, Some(Reason::AnomalousWindow));
    let draft = taken.draft.expect("a report");
    assert!(
        (draft.severity - (2.0 + 0.45 * 10.0)).abs() < 1e-9,
        "{}",
        draft.severity
    );
    assert!(
        take(&mut agent, &ran("3", 21.0, 2_000.0)).draft.is_none(),
        "one is under way"
    );
    assert!(tick(&mut agent, 22.0).is_none());
}

/// Guarantees: an agent that is still learning is not judged and learns.
#[test]
fn without_a_profile_nothing_is_said() {
    let mut agent = agent();
    let taken = agent.take(&ran("1", 1.0, 9e6), None, GROWTH, at(1.0));
    assert_eq!(
        (taken.reason, taken.draft.is_some()),
        (Some(Reason::Healthy), false)
    );
}

/// Scenario: a spike hides behind two normal executions, which leave the window first.
/// Guarantees: the second that passes finds it, with no further record.
#[test]
fn seconds_find_what_records_did_not() {
    let mut agent = agent();
    take(&mut agent, &ran("1", 0.0, 1_000.0));
    take(&mut agent, &ran("2", 0.1, 1_000.0));
    let taken = take(&mut agent, &ran("3", 5.0, 1_600.0));
    assert!(taken.draft.is_none(), "average 1,200 is 2 standard deviations");
    assert!(tick(&mut agent, 9.0).is_none());
    assert!(tick(&mut agent, 11.0).is_some());
    assert!(!agent.is_idle());
    assert!(tick(&mut agent, 15.0).is_none() && agent.is_idle());
    assert_eq!(agent.judgement, Judgement::default());
}

/// Guarantees: while its case is open an agent teaches nothing, and only what is materially worse is told again.
#[test]
fn an_open_case_is_told_again_only_when_it_grows() {
    let mut agent = agent();
    take(&mut agent, &ran("1", 1.0, 1_500.0))
        .draft
        .expect("severity 4.25");
    agent.accepted(CaseId::new("c1"), 4.25, false, 1);
    let taken = take(&mut agent, &ran("2", 2.0, 1_700.0));
    assert_eq!(taken.reason, Some(Reason::OpenCase));
    assert!(taken.draft.is_none(), "the average is 1,600: 4.7");
    assert!(
        take(&mut agent, &ran("3", 3.0, 2_100.0)).draft.is_some(),
        "the average is 1,767: 5.45"
    );
    agent.accepted(CaseId::new("c1"), 5.45, false, 1);
    assert!(tick(&mut agent, 4.0).is_none());
    let healthy = take(&mut agent, &ran("4", 60.0, 1_000.0));
    assert_eq!(healthy.reason, Some(Reason::OpenCase));
}

/// Guarantees: a healer at work is not disturbed by reports; the proof speaks then.
#[test]
fn healing_silences_reports() {
    let mut agent = agent();
    let lease = case::Lease {
        worker: "w".into(),
        fence: 1,
        until: at(100.0),
    };
    let trigger = immune_domain::healing::Trigger::Auto;
    let state = State::Healing {
        trigger,
        lease,
        step: None,
    };
    agent.note_case(&case_in(state, QuarantinePhase::Confirmed, 3.2), 1);
    let taken = take(&mut agent, &ran("1", 1.0, 9_000.0));
    assert!(taken.draft.is_none());
    assert!(taken.is_contained, "it should not have executed");
}

/// Scenario: healed, and executions from before the healing come in afterwards.
/// Guarantees: they are neither judged nor learned; what began afterwards is judged afresh, and can fall ill again.
#[test]
fn the_past_is_not_held_against_a_healed_agent() {
    let mut agent = agent();
    take(&mut agent, &ran("1", 1.0, 2_000.0)).draft.expect("a report");
    agent.accepted(CaseId::new("c1"), 6.5, false, 1);
    agent.note_case(&waiting(6.5), 1);
    agent.note_case(&healed(5.0), 1);
    assert!(agent.case.is_none() && agent.window.is_empty());
    assert!(tick(&mut agent, 6.0).is_none());
    let old = take(&mut agent, &ran("2", 6.0, 2_000.0));
    assert_eq!(
        (old.reason, old.draft.is_some()),
        (Some(Reason::BeforeRelease), false)
    );
    let relapse = take(&mut agent, &ran("3", 8.0, 2_000.0));
    assert!(relapse.draft.is_some(), "it began after the healing");
}

/// Scenario: the answer to a report arrives after the case it opened was closed.
/// Guarantees: the agent is not taken to have an open case for ever.
#[test]
fn a_late_answer_does_not_reopen_a_case() {
    let mut agent = agent();
    take(&mut agent, &ran("1", 1.0, 2_000.0)).draft.expect("a report");
    agent.note_case(&healed(2.0), 1);
    agent.accepted(CaseId::new("c1"), 6.5, false, 1);
    assert_eq!(agent.case, None);
    assert!(take(&mut agent, &ran("2", 9.0, 2_000.0)).draft.is_some());
}

/// Guarantees: the platform's word is reported although vitals are normal, once per case.
#[test]
fn the_platforms_word_is_reported_once() {
    let mut agent = agent();
    let mut said = ran("1", 1.0, 1_000.0);
    said.context.platform_infected = Some("canary leaked".into());
    let taken = take(&mut agent, &said);
    assert_eq!(taken.reason, Some(Reason::PlatformReport));
    let draft = taken.draft.expect("a report");
    let infection = draft.infection("i".into(), &[]);
    assert_eq!(
        (infection.severity, infection.anomalies.as_slice()),
        (7.0, [Anomaly::PlatformReport].as_slice())
    );
    assert!(infection.hypotheses[0].because.contains("canary leaked"));
    agent.accepted(CaseId::new("c1"), 7.0, true, 1);
    said.execution = "2".into();
    assert!(take(&mut agent, &said).draft.is_none());
}

/// Guarantees: what could not be delivered is drafted again after its wait.
#[test]
fn an_undelivered_report_is_drafted_again() {
    let mut agent = agent();
    take(&mut agent, &ran("1", 1.0, 2_000.0)).draft.expect("a report");
    agent.reporting = Reporting::NotBefore(at(3.0));
    assert!(tick(&mut agent, 2.0).is_none());
    assert!(tick(&mut agent, 3.0).is_some());
}

/// Guarantees: history, failures, running and incomplete executions do not teach, each for its own reason.
#[test]
fn each_reason_not_to_teach() {
    let mut failed = ran("1", 1.0, 1_000.0);
    failed.success = false;
    let mut running = ran("2", 1.0, 1_000.0);
    running.completeness = Completeness::Running;
    let mut incomplete = ran("3", 1.0, 1_000.0);
    incomplete.completeness = Completeness::Incomplete;
    let mut late = ran("4", 1.0, 1_000.0);
    late.received_at = at(302.0);
    let mut posted = ran("5", 1.0, 1_000.0);
    posted.source = Source::Posted;
    for (vitals, reason) in [
        (failed, Reason::Failed),
        (running, Reason::Running),
        (incomplete, Reason::Incomplete),
        (late, Reason::Late),
        (posted.clone(), Reason::NotJudged),
    ] {
        let mut agent = agent();
        assert_eq!(take(&mut agent, &vitals).reason, Some(reason));
    }
    let mut judged = agent_under(Policy {
        judge_posted_vitals: true,
        ..Policy::default()
    });
    assert_eq!(take(&mut judged, &posted).reason, Some(Reason::Healthy));
}

/// Scenario: an endless loop is reported while it runs, then its span ends.
/// Guarantees: it is judged while it runs, and the final record takes its place.
#[test]
fn a_running_execution_is_judged_and_replaced() {
    let mut agent = agent();
    let mut running = ran("1", 10.0, 9_000.0);
    running.completeness = Completeness::Running;
    let taken = take(&mut agent, &running);
    assert!(taken.draft.is_some());
    let ended = Vitals {
        revision: 1,
        ..ran("1", 12.0, 11_000.0)
    };
    assert_eq!(take(&mut agent, &ended).reason, Some(Reason::AnomalousWindow));
    assert_eq!(
        (agent.window.len(), agent.window.recent().averages[0]),
        (1, Some(11_000.0))
    );
    assert_eq!(take(&mut agent, &ended).reason, None, "its verdict was given");
}

/// Guarantees: a changed prompt is a clue until an execution with it proves healthy.
#[test]
fn a_changed_prompt_is_a_clue() {
    let mut agent = agent();
    let with_prompt = |execution: &str, seconds, latency, prompt: &str| {
        let mut vitals = ran(execution, seconds, latency);
        vitals.context.prompt_hash = Some(prompt.into());
        vitals
    };
    take(&mut agent, &with_prompt("1", 0.0, 1_000.0, "p"));
    let draft = take(&mut agent, &with_prompt("2", 20.0, 2_000.0, "q"))
        .draft
        .expect("a report");
    assert_eq!(draft.clues.prompt_changed, Some(true));
    assert_eq!(
        draft.infection("i".into(), &[]).hypotheses[0].diagnosis,
        Diagnosis::PromptInjection
    );
}

#[path = "following_tests.rs"]
mod following;
#[path = "guarded_tests.rs"]
mod guarded;
