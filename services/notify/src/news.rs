//! What a target is told: the event, and the case as it is now.

use crate::config::Filter;
use crate::kind::Kind;
use immune_domain::case::{Case, State};
use immune_domain::healing::Plan;
use immune_domain::policy::matches_pattern;
use immune_domain::{AgentKey, Timestamp};
use immune_store::cases::NewEvent;
use immune_store::notifications::Notification;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::sync::Arc;

/// One piece of news.
#[derive(Debug, Clone)]
pub(crate) struct News {
    /// Identity for the receiver; the same however often it is told, and to whom.
    pub id: String,
    /// Which kind.
    pub kind: Kind,
    /// Place of the event in the order of all.
    pub sequence: u64,
    /// What happened.
    pub event: NewEvent,
    /// The case as it is now; `None` when it is gone.
    pub case: Option<Arc<Case>>,
    /// What would be done next, where a person has to decide.
    pub plan: Option<Plan>,
    /// The page of the case.
    pub url: Option<String>,
    /// What an earlier delivery of the case to this target has left.
    pub receipt: Option<Value>,
    /// An earlier attempt may have arrived.
    pub is_doubtful: bool,
    /// When it is told.
    pub now: Timestamp,
}

/// Many pieces of news in one message.
#[derive(Debug, Clone)]
pub(crate) struct Digest {
    /// Identity for the receiver.
    pub id: String,
    /// What is folded into it, in order.
    pub news: Vec<News>,
    /// Where all of it can be seen.
    pub url: Option<String>,
    /// When it is told.
    pub now: Timestamp,
}

impl News {
    /// Severity for people and for mappings; what is no number counts as the highest.
    pub fn severity(&self) -> f64 {
        match &self.case {
            Some(case) => finite(case.infection.severity),
            None => severity(&self.event),
        }
    }

    pub fn diagnosis(&self) -> String {
        match &self.case {
            Some(case) => case.diagnosis().to_string(),
            None => text(&self.event, "diagnosis_type")
                .unwrap_or("unknown")
                .to_owned(),
        }
    }

    /// State of the case when the event was announced.
    pub fn state_then(&self) -> &str {
        text(&self.event, "state").unwrap_or("unknown")
    }

    /// Whether the case had ended when the event was announced.
    pub fn is_over(&self) -> bool {
        ["healed", "released"].contains(&self.state_then())
    }
}

pub(crate) fn is_waiting(state: &State) -> bool {
    match state {
        State::AwaitingApproval { .. } => true,
        State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Probation { .. }
        | State::Healed { .. }
        | State::Released { .. } => false,
    }
}

/// The highest severity there is.
const SEVERITY_MAX: f64 = 10.0;

fn text<'a>(event: &'a NewEvent, name: &str) -> Option<&'a str> {
    event.payload.get(name).and_then(Value::as_str)
}

fn severity(event: &NewEvent) -> f64 {
    event
        .payload
        .get("severity")
        .and_then(Value::as_f64)
        .map_or(SEVERITY_MAX, finite)
}

fn finite(severity: f64) -> f64 {
    if severity.is_finite() {
        severity
    } else {
        SEVERITY_MAX
    }
}

/// What an id that travels in headers holds as it is: the unreserved characters of RFC 3986.
const ID: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Identity of a notification for its receiver. The case makes it unique also after a store began anew.
pub(crate) fn id_of(notification: &Notification) -> String {
    match notification.sequence {
        0 => notification.id.clone(),
        sequence => format!(
            "{}.{sequence}",
            utf8_percent_encode(notification.event.case.as_str(), ID)
        ),
    }
}

impl Filter {
    /// Whether an event is for the target, whatever its kind.
    pub(crate) fn fits(&self, event: &NewEvent) -> bool {
        self.holds(&event.key, severity(event))
    }

    /// Whether a case is for the target.
    pub(crate) fn fits_case(&self, case: &Case) -> bool {
        self.holds(&case.key, finite(case.infection.severity))
    }

    fn holds(&self, key: &AgentKey, severity: f64) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches_pattern(pattern, text))
        };
        severity >= self.severity_min
            && any(&self.runs, key.run.as_str())
            && any(&self.agents, key.agent.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use immune_domain::CaseId;
    use serde_json::json;

    fn event(run: &str, agent: &str, severity: Value) -> NewEvent {
        NewEvent {
            kind: "case_opened".to_owned(),
            case: CaseId::new("c"),
            key: AgentKey::new(run, agent),
            at: Timestamp::EPOCH,
            text: String::new(),
            payload: json!({ "severity": severity }),
        }
    }

    /// Guarantees: every part of a filter must fit, and a severity that is no number hides nothing.
    #[test]
    fn every_part_must_fit() {
        let filter = Filter {
            severity_min: 7.0,
            runs: vec!["prod".to_owned()],
            agents: vec!["shop/*".to_owned(), "*-bot".to_owned()],
            ..Filter::default()
        };
        assert!(filter.fits(&event("prod", "shop/a", json!(7.0))));
        assert!(filter.fits(&event("prod", "a-bot", json!(null))));
        assert!(!filter.fits(&event("prod", "shop/a", json!(6.99))));
        assert!(!filter.fits(&event("test", "shop/a", json!(9.0))));
        assert!(!filter.fits(&event("prod", "other", json!(9.0))));
    }
}
