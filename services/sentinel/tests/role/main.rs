//! The sentinel role over its real gRPC service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod around;
mod world;

use immune_domain::Timestamp;
use immune_domain::detection::Anomaly;
use immune_proto::convert::time::to_wire;
use immune_proto::v1;
use immune_proto::v1::case_state::{AwaitingApproval, Healed, State};
use immune_proto::v1::judge_since_response::Verdict;
use immune_runtime::clock::{Clock, System};
use std::time::Duration;
use world::{World, execution, key};

fn case(severity: f64, state: State, phase: &str) -> v1::Case {
    let at = Some(to_wire(Timestamp::EPOCH));
    let hypothesis = v1::Hypothesis {
        diagnosis: "unknown".into(),
        confidence: 0.2,
        because: "x".into(),
    };
    v1::Case {
        case_id: "c1".into(),
        key: Some(key().into()),
        version: 1,
        opened_at: at,
        updated_at: at,
        infection: Some(v1::Infection {
            infection_id: "i1".into(),
            key: Some(key().into()),
            detected_at: at,
            severity,
            hypotheses: vec![hypothesis],
            window: Some(v1::WindowSummary::default()),
            deviations: Some(v1::Deviations::default()),
            ..v1::Infection::default()
        }),
        state: Some(v1::CaseState { state: Some(state) }),
        quarantine: Some(v1::Quarantine {
            phase: phase.into(),
            since: at,
            ..v1::Quarantine::default()
        }),
        ..v1::Case::default()
    }
}

fn waiting(severity: f64, phase: &str) -> v1::Case {
    let at = Some(to_wire(Timestamp::EPOCH));
    let state = AwaitingApproval {
        since: at,
        reason: "severe".into(),
        escalates_at: at,
        ..AwaitingApproval::default()
    };
    case(severity, State::AwaitingApproval(state), phase)
}

fn healed(at: Timestamp) -> v1::Case {
    let state = Healed {
        at: Some(to_wire(at)),
        action: "reset_memory".into(),
    };
    case(5.0, State::Healed(state), "released")
}

/// Scenario: an agent spikes while quarantine is unavailable.
/// Guarantees: one report, repeated until accepted, with severity, diagnosis, window and the executions that show it;
/// the agent is shown as suspect, with its case.
#[tokio::test]
async fn a_spike_is_reported_once_with_its_evidence() {
    let world = World::start().await;
    *world.around.refusals.lock().unwrap() = 2;
    world.run(&execution("spike", 4_000.0)).await;
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    world.run(&execution("next", 4_000.0)).await;
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    let reports = world.reports();
    let report = &reports[0];
    assert_eq!(report.key, key());
    assert_eq!(report.anomalies, [Anomaly::LatencySpike]);
    // The window holds the first execution too: the average is 2,500.
    assert!(
        (report.severity - (2.0 + 0.45 * 15.0)).abs() < 1e-9,
        "{}",
        report.severity
    );
    assert!(
        report.hypotheses[0].because.contains("15.0 standard deviations"),
        "{:?}",
        report.hypotheses
    );
    let evidence: Vec<&str> = report.evidence.iter().map(|e| e.execution.as_str()).collect();
    assert_eq!(evidence, ["first", "spike"]);
    assert_eq!((report.baseline_version, report.window.executions), (7, 2));
    let agent = world.agent().await;
    assert!(agent.suspect && agent.anomalies == ["latency_spike"]);
    assert_eq!(
        (agent.executions, agent.agent_type.as_deref()),
        (3, Some("research"))
    );
    // The third execution made it worse by more than half a point: told again, for the same case.
    world
        .until("it is told again", async |world| world.reports().len() == 2)
        .await;
    assert!(world.reports()[1].severity >= report.severity + 0.5);
}

/// Guarantees: an agent within its baseline is never reported, however many seconds pass.
#[tokio::test]
async fn the_healthy_are_left_alone() {
    let world = World::start().await;
    for i in 0..20 {
        world
            .run(&execution(&format!("e{i}"), 1_000.0 + f64::from(i)))
            .await;
    }
    world
        .until("all are judged", async |world| {
            world.agent().await.executions == 21
        })
        .await;
    let agent = world.agent().await;
    assert!(
        !agent.suspect && agent.severity == 0.0 && agent.deviations.is_some(),
        "{agent:?}"
    );
    assert!(world.reports().is_empty());
}

/// Guarantees: whoever watches verdicts late gets those given before, and then each new one, with the reason.
#[tokio::test]
async fn late_watchers_get_what_was_said() {
    let world = World::start().await;
    world.run(&execution("spike", 9_000.0)).await;
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    let mut watch = world
        .client
        .clone()
        .watch_verdicts(v1::WatchVerdictsRequest {})
        .await
        .unwrap()
        .into_inner();
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(10), watch.message())
            .await
            .expect("a verdict");
        message
            .expect("no error")
            .map(|verdict| (verdict.execution_id, verdict.teaches, verdict.reason))
    };
    assert_eq!(next().await.unwrap(), ("first".into(), true, String::new()));
    assert_eq!(
        next().await.unwrap(),
        ("spike".into(), false, "anomalous_window".into())
    );
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    world.run(&execution("after", 1_000.0)).await;
    assert_eq!(next().await.unwrap(), ("after".into(), false, "open_case".into()));
    world.shutdown.cancel();
    assert_eq!(next().await, None, "the watch ends with the role");
}

/// Scenario: a case is open when the sentinel starts; the agent is contained and executes all the same; it is healed
/// while the watch is broken.
/// Guarantees: the execution is told to quarantine; after the watch has begun again the agent is judged afresh.
#[tokio::test]
async fn contained_executions_are_told_and_lost_closures_found() {
    let world = World::start().await;
    world.around.cases.send(Ok(waiting(10.0, "confirmed"))).unwrap();
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    world.run(&execution("rogue", 20_000.0)).await;
    let heard = async |world: &World| {
        world
            .around
            .executions
            .lock()
            .unwrap()
            .contains(&"rogue".to_owned())
    };
    world.until("quarantine hears of it", heard).await;
    assert!(
        world.reports().is_empty(),
        "an open case of severity 10 cannot get worse"
    );
    world
        .around
        .cases
        .send(Err(tonic::Status::unavailable("broken by the test")))
        .unwrap();
    world
        .until("the case is gone", async |world| {
            world.agent().await.case_id.is_empty()
        })
        .await;
    assert!(
        !world.agent().await.suspect,
        "what was seen before is not held against it"
    );
    world.run(&execution("relapse", 4_000.0)).await;
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    let evidence: Vec<String> = world.reports()[0]
        .evidence
        .iter()
        .map(|e| e.execution.to_string())
        .collect();
    assert_eq!(evidence, ["relapse"]);
}

/// Guarantees: after a healing the window begins anew, and the agent is reported again only for what came later.
#[tokio::test]
async fn a_healed_agent_begins_anew() {
    let world = World::start().await;
    world.run(&execution("spike", 4_000.0)).await;
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    world.around.cases.send(Ok(healed(System.now()))).unwrap();
    world
        .until("the case is closed", async |world| {
            world.agent().await.case_id.is_empty()
        })
        .await;
    assert!(!world.agent().await.suspect);
    world.run(&execution("well", 1_000.0)).await;
    world
        .until("it is judged", async |world| {
            world.agent().await.deviations.is_some()
        })
        .await;
    assert_eq!(world.reports().len(), 1);
}

/// Guarantees: the proof counts executions that began afterwards, and says within, beyond or pending.
#[tokio::test]
async fn a_healing_is_proven_by_what_began_afterwards() {
    let world = World::start().await;
    world.run(&execution("sick", 9_000.0)).await;
    let since = System.now();
    let judge = async || {
        let request = v1::JudgeSinceRequest {
            key: Some(key().into()),
            since: Some(to_wire(since)),
            executions_wanted: 3,
        };
        let answer = world
            .client
            .clone()
            .judge_since(request)
            .await
            .unwrap()
            .into_inner();
        (answer.verdict(), answer.executions_seen)
    };
    assert_eq!(judge().await, (Verdict::Pending, 0));
    for i in 0..3 {
        assert_eq!(judge().await, (Verdict::Pending, i));
        world.run(&execution(&format!("well{i}"), 1_050.0)).await;
    }
    assert_eq!(judge().await, (Verdict::Within, 3));
    world.run(&execution("relapse", 20_000.0)).await;
    assert_eq!(judge().await, (Verdict::Beyond, 4));
}

/// Guarantees: the platform's own word opens a case although vitals are normal, or unknown, and answers with it.
#[tokio::test]
async fn the_platforms_word_opens_a_case() {
    let world = World::start().await;
    for agent in ["a", "never-seen"] {
        let request = v1::ReportAgentInfectedRequest {
            key: Some(v1::AgentKey {
                run_id: String::new(),
                agent_id: agent.into(),
            }),
            reason: "canary leaked".into(),
            infection_id: format!("said-{agent}"),
            reported_by: "platform".into(),
        };
        let answer = world
            .client
            .clone()
            .report_agent_infected(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.case_id, "c1");
    }
    let reports = world.reports();
    assert_eq!(reports.len(), 2);
    for report in &reports {
        assert_eq!(
            (report.severity, report.anomalies.as_slice()),
            (7.0, [Anomaly::PlatformReport].as_slice())
        );
        assert!(
            report.hypotheses[0]
                .because
                .contains("canary leaked, reported by platform"),
            "{report:?}"
        );
    }
    assert_eq!(reports[0].id.as_str(), "said-a");
    *world.around.refusals.lock().unwrap() = 1;
    let request = v1::ReportAgentInfectedRequest {
        key: Some(key().into()),
        ..v1::ReportAgentInfectedRequest::default()
    };
    let status = world
        .client
        .clone()
        .report_agent_infected(request)
        .await
        .unwrap_err();
    assert_eq!(
        status.code(),
        tonic::Code::Unavailable,
        "the platform says it again then"
    );
}

/// Scenario: a nested agent's execution turns out to be a part of another one.
/// Guarantees: it leaves the window, and with it the anomaly that it made.
#[tokio::test]
async fn a_withdrawn_execution_leaves_the_window() {
    let world = World::start().await;
    world.around.cases.send(Ok(waiting(10.0, "not_wanted"))).unwrap();
    world
        .until("the case is known", async |world| {
            world.agent().await.case_id == "c1"
        })
        .await;
    world.run(&execution("part", 9_000.0)).await;
    world
        .until("it is suspect", async |world| world.agent().await.suspect)
        .await;
    world.retract("part").await;
    world
        .until("it is not", async |world| !world.agent().await.suspect)
        .await;
}

/// Guarantees: agents of a run are listed by id, page by page, with totals; other runs are not.
#[tokio::test]
async fn agents_are_listed_by_run() {
    let world = World::start().await;
    for (run, agent) in [("default", "b"), ("default", "c"), ("other", "z")] {
        let mut vitals = execution("e", 1_000.0);
        vitals.key = immune_domain::AgentKey::new(run, agent);
        world.run(&vitals).await;
    }
    let list = async |run: &str, after: &str, limit: u32| {
        let request = v1::ListAgentsRequest {
            run_id: run.into(),
            after: after.into(),
            limit,
        };
        let page = world
            .client
            .clone()
            .list_agents(request)
            .await
            .unwrap()
            .into_inner();
        let ids: Vec<String> = page
            .agents
            .into_iter()
            .map(|agent| agent.key.unwrap().agent_id)
            .collect();
        (ids.join(" "), page.total, page.seen_last_hour)
    };
    assert_eq!(list("", "", 2).await, ("a b".to_owned(), 3, 3));
    assert_eq!(list("default", "b", 0).await, ("c".to_owned(), 3, 3));
    assert_eq!(list("other", "", 0).await, ("z".to_owned(), 1, 1));
    let unknown = v1::GetAgentRequest {
        key: Some(v1::AgentKey {
            run_id: String::new(),
            agent_id: "bb".into(),
        }),
    };
    assert!(
        world
            .client
            .clone()
            .get_agent(unknown)
            .await
            .unwrap()
            .into_inner()
            .agent
            .is_none()
    );
}

/// Scenario: the process restarts, with forty healthy executions of an agent on record; then one execution is an
/// outlier, and later all of them are.
/// Guarantees: the guarded detector judges at once; the outlier makes the agent suspect and is not reported; the lasting
/// rise is, with its evidence, and shows.
#[tokio::test]
async fn a_restarted_guard_begins_from_the_records() {
    let past = |i: u64| {
        let mut vitals = execution(
            &format!("h{i}"),
            [900.0, 1_050.0, 980.0, 1_100.0, 1_000.0][i as usize % 5],
        );
        let at = System.now().minus(Duration::from_secs(60 * (60 - i)));
        (vitals.started_at, vitals.timestamp, vitals.received_at) = (at, at, at);
        vitals
    };
    let history: Vec<_> = (0..40).map(past).collect();
    let world = World::start_guarded(&history).await;
    world
        .until("the guard has begun", async |world| {
            world.agent().await.evidence.is_some()
        })
        .await;
    world.run(&execution("outlier", 1_700.0)).await;
    world
        .until("it is suspect", async |world| world.agent().await.suspect)
        .await;
    assert!(world.reports().is_empty() && !world.agent().await.infected_by_evidence);
    for i in 0..5 {
        world.run(&execution(&format!("sick{i}"), 6_000.0)).await;
    }
    world
        .until("it is reported", async |world| !world.reports().is_empty())
        .await;
    let score = world.reports()[0].evidence_score;
    assert!(score.is_some_and(|score| score > 3.75), "{score:?}");
    let agent = world.agent().await;
    assert!(
        agent.infected_by_evidence && agent.evidence.is_some(),
        "{agent:?}"
    );
}
