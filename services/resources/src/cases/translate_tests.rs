use super::*;
use crate::cases::conditions::{APPROVAL_REQUIRED, CONTAINED, HEALING, RELEASED};
use immune_domain::AgentKey;
use immune_domain::case::{Containment, Decision, Lease, LeverStatus as Answered};
use immune_domain::case::{FirstApproval, LeverState, Person, QuarantinePhase, Step};
use immune_domain::healing::{Action, Trigger};
use immune_store::conformance::samples;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

fn case() -> Case {
    samples::case(&AgentKey::new("default", "billing"), "case-1", at(0))
}

fn scope() -> Scope {
    Scope {
        own: "immune".to_owned(),
        namespaces: vec!["prod".to_owned()],
        all: false,
    }
}

fn condition<'a>(object: &'a AgentCase, type_: &str) -> (&'a str, &'a str, String) {
    let status = object.status.as_ref().unwrap();
    let found = status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    (
        &found.status,
        &found.reason,
        found.last_transition_time.0.to_string(),
    )
}

/// Guarantees: a valid id is its object's name; every other id gives a valid name, and no two ids the same.
#[test]
fn names_are_valid_and_different() {
    assert_eq!(name(&CaseId::from("case-0a1b")), "case-0a1b");
    let long = "x".repeat(200);
    let odd = [
        "Case-A", "case-a ", "case_a", "case.a", "-case-a", "", "ÄÖ", &long, "a/b", "../..",
    ];
    let mut names: Vec<String> = odd.iter().map(|id| name(&CaseId::from(*id))).collect();
    names.push(name(&CaseId::from("case-a")));
    for name in &names {
        let is_valid = name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        assert!(is_valid && !name.is_empty() && name.len() <= NAME_MAX, "{name:?}");
        assert!(!name.starts_with('-') && !name.ends_with('-'), "{name:?}");
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    assert!(name(&CaseId::from("Case-A")).starts_with("case-a-"));
}

/// Guarantees: a case is shown in its agent's namespace if that is allowed, else in the plane's own; a hint that is no
/// namespace leads nowhere.
#[test]
fn namespaces_are_those_allowed() {
    let mut case = case();
    let mut hinted = |hint: Option<&str>, scope: &Scope| {
        case.infection.workload = hint
            .map(|hint| (NAMESPACE_HINT.to_owned(), hint.to_owned()))
            .into_iter()
            .collect();
        namespace(&case, scope)
    };
    assert_eq!(hinted(Some("prod"), &scope()), "prod");
    assert_eq!(hinted(Some("kube-system"), &scope()), "immune");
    assert_eq!(hinted(None, &scope()), "immune");
    let all = Scope { all: true, ..scope() };
    assert_eq!(hinted(Some("kube-system"), &all), "kube-system");
    for odd in ["", "../x", "Prod", "a/b", "a b", &"x".repeat(64)] {
        assert_eq!(hinted(Some(odd), &all), "immune", "{odd:?}");
    }
    let shown = object(&case, &all, true);
    assert_eq!(shown.metadata.namespace.as_deref(), Some("immune"));
}

/// Scenario: a case that waits for a person while two levers hold its agent.
/// Guarantees: what `kubectl get` and `kubectl describe` need is there, and nothing of it is too long.
#[test]
fn a_waiting_case() {
    let mut case = case();
    let lever = |name: &str, status, detail: String| LeverState {
        lever: name.to_owned(),
        wanted: Containment::Contained,
        status,
        attempts: 1,
        retry_at: at(0),
        detail,
        generation: 0,
    };
    case.infection.severity = 8.4499;
    case.quarantine.phase = QuarantinePhase::Partial;
    case.quarantine.since = at(2);
    case.quarantine.levers = vec![
        lever("lifecycle", Answered::Confirmed, "ok".to_owned()),
        lever("kubernetes", Answered::Failed, "ä".repeat(5_000)),
    ];
    let object = object(&case, &scope(), false);
    assert_eq!(object.spec.case_id, "case-1");
    let labels = object.metadata.labels.clone().unwrap();
    assert_eq!(labels[AGENT_ID], "billing");
    assert_eq!(labels[STATE], "awaiting_approval");
    assert_eq!(labels[PLANE], "immune");
    let status = object.status.as_ref().unwrap();
    assert_eq!(status.state.as_deref(), Some("awaiting_approval"));
    assert_eq!(status.quarantine.as_deref(), Some("partial"));
    assert_eq!(status.severity, Some(8.4));
    assert_eq!(
        status.summary.as_deref(),
        Some(
            "prompt drift (severity 8.4); the agent is partly quarantined; so severe that a person must decide"
        )
    );
    assert_eq!(status.expires_at, Some(time(at(900))));
    assert_eq!(status.closed_at, None);
    assert!(status.levers[1].detail.len() <= DETAIL_MAX && status.levers[1].detail.ends_with('…'));
    assert_eq!(
        condition(&object, CONTAINED),
        ("True", "SomeLeversConfirmed", time(at(2)).0.to_string())
    );
    assert_eq!(condition(&object, APPROVAL_REQUIRED).0, "True");
    assert_eq!(condition(&object, APPROVAL_REQUIRED).1, "Severe");
    assert_eq!(condition(&object, HEALING).0, "False");
    assert_eq!(condition(&object, RELEASED).0, "False");
}

/// Scenario: a step under way, whose lease is renewed again and again.
/// Guarantees: the action is named; the renewals change nothing that is shown.
#[test]
fn a_healing_case_is_shown_once() {
    let mut case = case();
    case.state = State::Healing {
        trigger: Trigger::Auto,
        lease: Lease {
            worker: "w".to_owned(),
            fence: 3,
            until: at(30),
        },
        step: Some(Step {
            healing: "h".into(),
            action: Action::RollbackPrompt,
            started_at: at(4),
        }),
    };
    let first = object(&case, &scope(), false);
    assert_eq!(
        first.status.as_ref().unwrap().next.as_deref(),
        Some("rollback_prompt")
    );
    assert_eq!(
        condition(&first, HEALING),
        ("True", "ActionUnderWay", time(at(4)).0.to_string())
    );
    case.version += 7;
    case.updated_at = at(60);
    if let State::Healing { lease, .. } = &mut case.state {
        lease.until = at(90);
    }
    assert_eq!(object(&case, &scope(), false), first);
}

/// Scenario: a case that needs two people, one of whom has spoken; then it is released.
/// Guarantees: who, and until when the word counts; after the end nothing expires any more.
#[test]
fn the_first_of_two_and_the_end() {
    let mut case = case();
    case.first_approval = Some(FirstApproval {
        by: Person {
            subject: "ada".to_owned(),
            via: "oidc".to_owned(),
        },
        decision: Decision::HealNow,
        reason: String::new(),
        at: at(5),
        expires_at: at(65),
    });
    let waiting = object(&case, &scope(), false);
    let status = waiting.status.unwrap();
    assert_eq!(status.expires_at, Some(time(at(65))));
    assert!(
        status
            .summary
            .unwrap()
            .contains("ada has said heal now, somebody else must, too")
    );
    let ended = samples::released(&case, at(10));
    let shown = object(&ended, &scope(), false);
    let status = shown.status.clone().unwrap();
    assert_eq!(status.closed_at, Some(time(at(10))));
    assert_eq!(status.expires_at, None);
    assert_eq!(
        condition(&shown, RELEASED),
        ("True", "CaseClosed", time(at(10)).0.to_string())
    );
    assert!(status.summary.unwrap().contains("ada has released it: a drill"));
}

/// Guarantees: values that the API server would refuse as labels are left out rather than cut.
#[test]
fn labels_are_valid_or_left_out() {
    let mut case = samples::case(&AgentKey::new("team a", "billing/agent"), "case-1", at(0));
    let labels = object(&case, &scope(), false).metadata.labels.unwrap();
    assert!(!labels.contains_key(AGENT_ID) && !labels.contains_key(RUN));
    case.key = AgentKey::new("r", "x".repeat(64));
    let labels = object(&case, &scope(), false).metadata.labels.unwrap();
    assert_eq!(
        (labels.contains_key(AGENT_ID), labels.contains_key(RUN)),
        (false, true)
    );
}
