//! Fleet incidents, as every replica of the sentinel sees them among its own agents: the same incident shows in each,
//! and is told once.

use immune_domain::diagnosis::Diagnosis;
use immune_domain::fleet::{Incident, Sign};
use serde::Serialize;
use utoipa::ToSchema;

/// Many agents of the run that depart at once in the same way.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct IncidentView {
    /// Identity; that of the replica of the sentinel that saw it first.
    id: String,
    /// In which ways they depart: `latency_up`, `latency_down`, `tokens_up`, `tokens_down`, `tools_up`, `tools_down`,
    /// `failures`, `retries`.
    what: Vec<&'static str>,
    /// What they share: `run`, `model` or `tool`.
    shared: &'static str,
    /// Name of the model or the tool.
    name: Option<String>,
    /// Agents that depart; 0 once it is closed, or fewer than before.
    departing: u32,
    /// Active agents that share it.
    active: u32,
    /// Departing of active ones, 0 to 1.
    share: f64,
    /// When it was opened, epoch seconds.
    opened_at: f64,
    /// When it ended; null while it is open.
    closed_at: Option<f64>,
    /// Reports of single agents that were held back for it.
    held_back: u64,
    /// What it is a sign of: `external_cause`.
    diagnosis: &'static str,
    /// One sentence with the numbers.
    because: String,
}

impl From<&Incident> for IncidentView {
    fn from(incident: &Incident) -> Self {
        let diagnosis: Diagnosis = incident.diagnosis();
        IncidentView {
            id: incident.id.clone(),
            what: incident.what.iter().map(Sign::as_str).collect(),
            shared: incident.shared.kind(),
            name: incident.shared.name().map(ToString::to_string),
            departing: incident.departing,
            active: incident.active,
            share: incident.share(),
            opened_at: incident.opened_at.as_epoch_seconds(),
            closed_at: incident.closed_at.map(|at| at.as_epoch_seconds()),
            held_back: incident.held_back,
            diagnosis: diagnosis.as_str(),
            because: incident.told(),
        }
    }
}

/// The incidents of several replicas as one list, open ones first, the newest first.
pub(crate) fn merged(incidents: Vec<Incident>) -> Vec<Incident> {
    let mut merged: Vec<Incident> = Vec::new();
    for incident in incidents {
        match merged.iter_mut().find(|known| is_same(known, &incident)) {
            Some(known) => join(known, incident),
            None => merged.push(incident),
        }
    }
    merged.sort_by_key(|incident| {
        (
            incident.closed_at.is_some(),
            std::cmp::Reverse(incident.opened_at),
        )
    });
    merged
}

/// Whether two replicas mean the same: the same is shared, at the same time.
fn is_same(a: &Incident, b: &Incident) -> bool {
    let began_before_the_end = |a: &Incident, b: &Incident| b.closed_at.is_none_or(|end| a.opened_at <= end);
    a.run == b.run
        && a.shared == b.shared
        && a.closed_at.is_some() == b.closed_at.is_some()
        && !a.what.and(b.what).is_empty()
        && began_before_the_end(a, b)
        && began_before_the_end(b, a)
}

fn join(known: &mut Incident, other: Incident) {
    known.what = known.what.or(other.what);
    known.departing = known.departing.saturating_add(other.departing);
    known.active = known.active.saturating_add(other.active);
    known.held_back = known.held_back.saturating_add(other.held_back);
    known.closed_at = known.closed_at.max(other.closed_at);
    if other.opened_at < known.opened_at {
        (known.id, known.opened_at) = (other.id, other.opened_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::Timestamp;
    use immune_domain::fleet::Shared;

    fn incident(id: &str, shared: Shared, signs: &[Sign], opened: i64, closed: Option<i64>) -> Incident {
        let at = |second: i64| Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_000);
        Incident {
            id: id.to_owned(),
            run: "r".into(),
            what: signs.iter().copied().collect(),
            shared,
            departing: 4,
            active: 10,
            opened_at: at(opened),
            closed_at: closed.map(at),
            held_back: 2,
        }
    }

    /// Scenario: two replicas see the same open incident, one of them another one, and both had one before.
    /// Guarantees: each is told once, with the agents of both and the time at which it was seen first.
    #[test]
    fn the_same_incident_is_told_once() {
        use Sign::{Failures, LatencyUp};
        let slow = || Shared::Model("slow".into());
        let merged = merged(vec![
            incident("a1", slow(), &[LatencyUp, Failures], 12, None),
            incident("a0", Shared::Run, &[LatencyUp], 0, Some(5)),
            incident("b1", slow(), &[LatencyUp], 10, None),
            incident("b2", Shared::Tool("mail".into()), &[LatencyUp], 20, None),
            incident("b0", Shared::Run, &[LatencyUp], 1, Some(6)),
            incident("b00", Shared::Run, &[LatencyUp], -90, Some(-60)),
        ]);
        let ids: Vec<&str> = merged.iter().map(|incident| incident.id.as_str()).collect();
        assert_eq!(ids, ["b2", "b1", "a0", "b00"]);
        let view = IncidentView::from(&merged[1]);
        assert_eq!((view.departing, view.active, view.held_back), (8, 20, 4));
        assert_eq!(
            (view.what, view.diagnosis),
            (vec!["latency_up", "failures"], "external_cause")
        );
        assert_eq!(
            view.because,
            "8 of 20 agents of model slow depart in latency (up), failures: 40 %"
        );
    }
}
