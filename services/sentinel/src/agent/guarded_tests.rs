//! An agent about which the guarded detector decides, beside the same agent under the specified rule.

use super::*;
use immune_domain::detection::guarded::ALARM;
use immune_domain::policy::Detector;

fn by(detector: Detector) -> Agent {
    Agent::new(Arc::new(Policy {
        detector,
        ..Policy::default()
    }))
}

/// Healthy executions, one a minute: each alone in its window, within 2.5 deviations of the profile.
fn learned(detector: Detector) -> Agent {
    let mut agent = by(detector);
    for i in 0..60 {
        let latency = [900.0, 1_050.0, 980.0, 1_150.0, 1_000.0, 930.0, 1_100.0][i % 7];
        let taken = take(&mut agent, &ran(&format!("h{i}"), 60.0 * i as f64, latency));
        assert_eq!(
            (taken.reason, taken.draft.is_some()),
            (Some(Reason::Healthy), false)
        );
    }
    agent
}

/// Scenario: one execution takes a fifth longer than the threshold allows.
/// Guarantees: it makes the agent suspect; the specified rule reports it, the guarded detector does not; either way it
/// does not teach.
#[test]
fn a_lone_outlier_makes_suspect_only() {
    for (detector, is_reported) in [(Detector::Specified, true), (Detector::Guarded, false)] {
        let mut agent = learned(detector);
        let taken = take(&mut agent, &ran("outlier", 3_600.0, 1_300.0));
        assert!(agent.judgement.is_anomalous(), "{detector:?}");
        assert_eq!(taken.draft.is_some(), is_reported, "{detector:?}");
        assert_eq!(taken.reason, Some(Reason::AnomalousWindow), "{detector:?}");
        assert!(!agent.is_infected_by_evidence());
        assert_eq!(agent.evidence().is_some(), detector == Detector::Guarded);
    }
}

/// Scenario: latency doubles and stays so.
/// Guarantees: both detectors report within ten executions, with the formula's severity; only evidence has a score.
#[test]
fn a_lasting_rise_is_reported() {
    for detector in [Detector::Specified, Detector::Guarded] {
        let mut agent = learned(detector);
        let draft = (0..10)
            .find_map(|i| {
                let at = 3_600.0 + 60.0 * f64::from(i);
                take(&mut agent, &ran(&format!("s{i}"), at, 2_000.0)).draft
            })
            .expect("a report");
        let infection = draft.infection("i".into(), &[]);
        assert!(
            (infection.severity - (2.0 + 0.45 * 10.0)).abs() < 1e-9,
            "{infection:?}"
        );
        assert_eq!(infection.anomalies, [Anomaly::LatencySpike]);
        let is_sure = infection
            .evidence_score
            .is_some_and(|score| score > f64::from(ALARM));
        assert_eq!(is_sure, detector == Detector::Guarded, "{infection:?}");
    }
}

/// Scenario: every execution fails, with vitals as always; the first report finds no room.
/// Guarantees: reported by evidence although no metric departed, of the lowest severity, named; it does not teach;
/// told again although the window is empty; after a healing the agent begins anew.
#[test]
fn failures_alone_are_reported_until_heard() {
    let mut agent = learned(Detector::Guarded);
    let mut last = None;
    for i in 0..5 {
        let mut failed = ran(&format!("f{i}"), 3_600.0 + 60.0 * f64::from(i), 1_000.0);
        failed.success = false;
        last = Some(take(&mut agent, &failed)).filter(|taken| taken.draft.is_some());
        if last.is_some() {
            break;
        }
    }
    let taken = last.expect("a report within five executions");
    assert_eq!(taken.reason, Some(Reason::Infected));
    let infection = taken.draft.expect("a report").infection("i".into(), &[]);
    assert!(infection.anomalies.is_empty() && infection.severity >= 2.0);
    assert_eq!(infection.hypotheses[0].diagnosis, Diagnosis::ToolInstability);
    agent.reporting = Reporting::NotBefore(at(4_000.0));
    assert!(tick(&mut agent, 3_999.0).is_none() && agent.window.is_empty() && !agent.is_idle());
    assert!(tick(&mut agent, 4_000.0).is_some(), "told again");
    agent.accepted(CaseId::new("c1"), 2.0, false, 1);
    assert!(agent.is_idle());
    agent.note_case(&healed(4_100.0), 1);
    assert!(!agent.is_infected_by_evidence() && tick(&mut agent, 4_101.0).is_none());
    let well = take(&mut agent, &ran("well", 4_200.0, 1_000.0));
    assert_eq!(
        (well.reason, well.draft.is_some()),
        (Some(Reason::Healthy), false)
    );
}

/// Guarantees: each execution is observed once, when it has ended: neither a running one, nor a correction, nor one
/// that the agent was released from, nor one that policy ignores.
#[test]
fn each_execution_is_observed_once() {
    let count = |agent: &Agent| {
        agent
            .guarding
            .as_ref()
            .map_or(0, |guarding| guarding.observations())
    };
    let mut agent = by(Detector::Guarded);
    let mut running = ran("1", 10.0, 1_000.0);
    running.completeness = Completeness::Running;
    take(&mut agent, &running);
    assert_eq!(count(&agent), 0);
    for revision in 1..4 {
        take(
            &mut agent,
            &Vitals {
                revision,
                ..ran("1", 11.0, 1_000.0)
            },
        );
        assert_eq!(count(&agent), 1);
    }
    // The window has moved past it: a correction is judged by itself, and not observed again.
    take(&mut agent, &ran("2", 40.0, 1_000.0));
    let mut correction = ran("1", 11.0, 1_000.0);
    (correction.revision, correction.received_at) = (5, at(41.0));
    take(&mut agent, &correction);
    assert_eq!(count(&agent), 2);
    let mut posted = ran("3", 42.0, 1_000.0);
    posted.source = Source::Posted;
    let mut late = ran("4", 43.0, 1_000.0);
    late.received_at = at(400.0);
    agent.note_case(&healed(44.0), 1);
    for vitals in [posted, late, ran("5", 44.5, 1_000.0)] {
        take(&mut agent, &vitals);
        assert_eq!(count(&agent), 2, "{}", vitals.execution);
    }
}
