use super::*;
use immune_domain::Timestamp;
use immune_domain::case::{self, Command, Context, Person};
use immune_domain::detection::{Deviations, Infection, WindowSummary};
use immune_domain::policy::Policy;

const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub(crate) fn opened(id: &str, agent: &str) -> Case {
    let infection = Infection {
        id: id.into(),
        key: AgentKey::new("default", agent),
        detected_at: START,
        severity: 8.0,
        anomalies: vec![],
        deviations: Deviations::default(),
        hypotheses: vec![],
        ruled_out: vec![],
        window: WindowSummary::default(),
        evidence: vec![],
        baseline_version: 1,
        evidence_score: None,
        workload: Default::default(),
    };
    case::open(
        id.into(),
        infection,
        &Policy::default(),
        Context::default(),
        START,
    )
    .0
}

pub(crate) fn released(case: &Case) -> Case {
    let by = Person {
        subject: "dora".into(),
        via: "api_key".into(),
    };
    let release = Command::Release {
        by,
        reason: "known experiment".into(),
    };
    case::decide(case.clone(), release, &Policy::default(), case.updated_at)
        .expect("open")
        .0
}

/// Scenario: an agent's first case is released and a second one opens; news of the first arrive again.
/// Guarantees: the second case keeps the agent out; only its own release lets it go.
#[test]
fn only_its_own_case_lets_an_agent_go() {
    let table = Table::new(10);
    let (first, second) = (opened("c-1", "a"), opened("c-2", "a"));
    table.put(&first);
    table.put(&second);
    table.put(&released(&first));
    table.forget(&first.key, &first.id);
    assert_eq!(table.get("default", "a").expect("held").case, second.id);
    assert_eq!(table.get("other", "a"), None);
    table.put(&released(&second));
    assert_eq!((table.get("default", "a"), table.len()), (None, 0));
}

/// Scenario: more agents are contained than have room, one by one and all read at once; then some are released.
/// Guarantees: the table does not grow, says that it is not complete, and is complete again once all is read anew.
#[test]
fn a_full_table_says_so() {
    let table = Table::new(2);
    let cases = ["a", "b", "c"].map(|agent| opened(agent, agent));
    for case in &cases {
        table.put(case);
        table.put(case);
    }
    assert_eq!(table.len(), 2);
    assert!(table.beyond() > 0);
    let mut draft = table.draft();
    cases.iter().for_each(|case| draft.put(case));
    table.replace(draft);
    assert_eq!((table.len(), table.beyond()), (2, 1));
    let mut draft = table.draft();
    cases[1..].iter().for_each(|case| draft.put(case));
    table.replace(draft);
    assert_eq!((table.len(), table.beyond()), (2, 0));
    assert_eq!(table.get("default", "a"), None);
}

/// Guarantees: the age counts from the moment that was followed to, and there is none before.
#[test]
fn age_is_that_of_the_news() {
    let mut table = Table::new(1);
    assert_eq!(table.age(), None);
    table.followed(Instant::now());
    assert!(table.age().expect("known") < Duration::from_secs(3));
    table.grow_older(Duration::from_secs(3));
    assert!(table.age().expect("known") >= Duration::from_secs(3));
}
