//! One replica with everything: what is reported, and what is not.

use crate::fixtures::{execution, key, waiting};
use crate::world::World;
use immune_domain::detection::Anomaly;
use immune_proto::v1;
use immune_runtime::clock::{Clock, System};
use std::time::Duration;

/// Guarantees: one report, repeated until accepted, with severity, diagnosis, window and the executions that show it;
/// the agent is shown as suspect, with its case.
#[tokio::test]
async fn a_spike_is_reported_once_with_its_evidence() {
    let world = World::start().await;
    *world.quarantine.refusals.lock().unwrap() = 2;
    let mut spike = execution("spike", 4_000.0);
    spike.context.workload = vec![("deployment.name".into(), "research".into())];
    world.run(&spike).await;
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
    assert_eq!(report.workload["deployment.name"], "research");
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

/// Guarantees: the platform's own word opens a case although vitals are normal, or unknown, and answers with it.
#[tokio::test]
async fn the_platforms_word_opens_a_case() {
    let world = World::start().await;
    for (agent, case) in [("a", "c1"), ("never-seen", "c2")] {
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
        assert_eq!(answer.case_id, case);
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
    *world.quarantine.refusals.lock().unwrap() = 1;
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

/// Guarantees: it leaves the window, and with it the anomaly that it made.
#[tokio::test]
async fn a_withdrawn_execution_leaves_the_window() {
    let world = World::start().await;
    world
        .quarantine
        .cases
        .send(Ok(waiting(10.0, "not_wanted")))
        .unwrap();
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
    assert!(score.is_some_and(|score| score > 4.0), "{score:?}");
    let agent = world.agent().await;
    assert!(
        agent.infected_by_evidence && agent.evidence.is_some(),
        "{agent:?}"
    );
}
