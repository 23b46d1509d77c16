//! What a store of cases must do: opening, counting, purging. Finding is in `cases_finding`, changes
//! are in `cases_changes`.

use super::at_once;
use super::samples::{agent, alongside, at, case, changed, healed, released};
use crate::Stores;
use crate::cases::{Alongside, CaseFilter, CaseTotals, Opened, Saved, wants_containment};
use immune_domain::case::{Case, QuarantinePhase, State};
use immune_domain::healing::Trigger;
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};

/// Opens a case that must be new.
pub(super) async fn open(stores: &Stores, case: &Case) {
    assert_eq!(
        stores
            .cases
            .open_case(case, u32::MAX, &Alongside::default())
            .await
            .unwrap(),
        Opened::New,
        "{}",
        case.id
    );
}

/// Saves a case that must not be in conflict.
pub(super) async fn save(stores: &Stores, case: &Case) {
    let saved = stores
        .cases
        .save_case(case, case.version - 1, &Alongside::default())
        .await
        .unwrap();
    assert_eq!(saved, Saved::Done, "{}", case.id);
}

pub(super) fn ids(cases: &[Case]) -> Vec<&str> {
    cases.iter().map(|case| case.id.as_str()).collect()
}

pub(super) fn queued(case: &Case, not_before: Timestamp) -> Case {
    let state = State::HealQueued {
        trigger: Trigger::Auto,
        not_before,
    };
    changed(case, state, case.updated_at)
}

/// Scenario: a case is opened and looked up in every way.
/// Guarantees: it comes back as it was; what does not exist is `None`.
pub async fn a_case_comes_back_as_it_was(stores: &Stores) {
    let case = case(&agent("a"), "case-1", at(1));
    assert_eq!(stores.cases.get(&case.id).await.unwrap(), None);
    assert_eq!(stores.cases.open_case_of(&case.key).await.unwrap(), None);
    assert_eq!(
        stores.cases.case_of_infection(&case.infection.id).await.unwrap(),
        None
    );
    open(stores, &case).await;
    assert_eq!(stores.cases.get(&case.id).await.unwrap(), Some(case.clone()));
    assert_eq!(
        stores.cases.open_case_of(&case.key).await.unwrap(),
        Some(case.clone())
    );
    assert_eq!(
        stores.cases.case_of_infection(&case.infection.id).await.unwrap(),
        Some(case.clone())
    );
    assert_eq!(
        stores
            .cases
            .open_case_of(&AgentKey::new("other", "a"))
            .await
            .unwrap(),
        None
    );
}

/// Scenario: another infection of an agent with an open case.
/// Guarantees: the open case is the answer, and nothing of the refused opening is written.
pub async fn one_open_case_per_agent(stores: &Stores) {
    let first = case(&agent("a"), "first", at(1));
    let second = case(&agent("a"), "second", at(2));
    open(stores, &first).await;
    let answer = stores
        .cases
        .open_case(&second, u32::MAX, &alongside(&second, "case_opened"))
        .await
        .unwrap();
    assert_eq!(answer, Opened::AlreadyOpen(Box::new(first.clone())));
    assert_eq!(stores.cases.get(&second.id).await.unwrap(), None);
    assert_eq!(
        stores
            .cases
            .case_of_infection(&second.infection.id)
            .await
            .unwrap(),
        None
    );
    assert_eq!(stores.cases.last_event().await.unwrap(), 0);
    assert_eq!(
        stores.action_log.recent(&first.key.run, None, 10).await.unwrap(),
        vec![]
    );
    open(stores, &case(&AgentKey::new("other", "a"), "third", at(3))).await;
}

/// Scenario: the same infection is reported again, while its case is open and after it has closed.
/// Guarantees: its case is the answer both times; no second case.
pub async fn a_report_opens_one_case(stores: &Stores) {
    let first = case(&agent("a"), "first", at(1));
    open(stores, &first).await;
    let mut again = case(&agent("a"), "again", at(2));
    again.infection.id = first.infection.id.clone();
    let answer = stores
        .cases
        .open_case(&again, u32::MAX, &Alongside::default())
        .await
        .unwrap();
    assert_eq!(answer, Opened::AlreadyReported(Box::new(first.clone())));
    let closed = released(&first, at(3));
    save(stores, &closed).await;
    let answer = stores
        .cases
        .open_case(&again, u32::MAX, &alongside(&again, "case_opened"))
        .await
        .unwrap();
    assert_eq!(answer, Opened::AlreadyReported(Box::new(closed)));
    assert_eq!(stores.cases.totals(&first.key.run).await.unwrap().opened, 1);
    assert_eq!(stores.cases.last_event().await.unwrap(), 0);
}

/// Scenario: sixteen different infections of one agent are reported at the same time.
/// Guarantees: exactly one opens a case, the others are told which; one event, one row of the log.
pub async fn many_openings_have_one_winner(stores: &Stores) {
    let answers = at_once(16, |n| {
        let (store, case) = (
            stores.cases.clone(),
            case(&agent("a"), &format!("case-{n}"), at(n as i64)),
        );
        async move {
            store
                .open_case(&case, u32::MAX, &alongside(&case, "case_opened"))
                .await
        }
    })
    .await;
    let open = stores.cases.open_case_of(&agent("a")).await.unwrap().unwrap();
    let mut won = 0;
    for answer in answers {
        match answer.unwrap() {
            Opened::New => won += 1,
            Opened::AlreadyOpen(case) => assert_eq!(*case, open),
            Opened::AlreadyReported(case) => panic!("reported before as {}", case.id),
            Opened::Crowded(count) => panic!("{count} agents crowd where there is no limit"),
        }
    }
    assert_eq!(won, 1);
    let events = stores.cases.events_after(0, 100).await.unwrap();
    assert_eq!(
        events.iter().map(|event| &event.event.case).collect::<Vec<_>>(),
        [&open.id]
    );
    assert_eq!(
        stores
            .action_log
            .recent(&open.key.run, None, 100)
            .await
            .unwrap()
            .len(),
        1
    );
}

/// Scenario: one report is delivered sixteen times at once, each with a case id of its own.
/// Guarantees: exactly one case.
pub async fn many_redeliveries_open_one_case(stores: &Stores) {
    let answers = at_once(16, |n| {
        let mut case = case(&agent("a"), &format!("case-{n}"), at(1));
        case.infection.id = "one".into();
        let store = stores.cases.clone();
        async move { store.open_case(&case, u32::MAX, &Alongside::default()).await }
    })
    .await;
    let winner = stores
        .cases
        .case_of_infection(&"one".into())
        .await
        .unwrap()
        .unwrap();
    let answers: Vec<Opened> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Opened::New).count(), 1);
    let others = answers.iter().filter(|answer| **answer != Opened::New);
    assert!(
        others
            .into_iter()
            .all(|answer| *answer == Opened::AlreadyReported(Box::new(winner.clone())))
    );
    assert_eq!(
        stores.cases.list(&CaseFilter::default()).await.unwrap(),
        vec![winner]
    );
}

/// Scenario: cases are opened, quarantined late or never, healed, saved again, and purged.
/// Guarantees: each is counted once for its whole life, and counts outlive the cases.
pub async fn totals_outlive_the_cases(stores: &Stores) {
    let (mild, observed, open_one) = (
        case(&agent("a"), "mild", at(1)),
        case(&agent("b"), "observed", at(1)),
        case(&agent("c"), "open", at(1)),
    );
    open(stores, &mild).await;
    let healed_once = healed(&mild, at(2));
    save(stores, &healed_once).await;
    let mut touched = healed(&healed_once, at(2));
    touched.quarantine.breaches = 1;
    save(stores, &touched).await;

    let mut free = observed.clone();
    free.quarantine.phase = QuarantinePhase::NotWanted;
    open(stores, &free).await;
    let totals = async || stores.cases.totals(&mild.key.run).await.unwrap();
    assert_eq!(
        totals().await,
        CaseTotals {
            opened: 2,
            open: 1,
            quarantined: 1,
            healed: 1
        }
    );
    let mut contained = queued(&free, at(5));
    contained.quarantine.phase = QuarantinePhase::Requested;
    save(stores, &contained).await;
    let mut lifted = released(&contained, at(6));
    lifted.quarantine.phase = QuarantinePhase::Released;
    save(stores, &lifted).await;
    open(stores, &open_one).await;
    let expected = CaseTotals {
        opened: 3,
        open: 1,
        quarantined: 3,
        healed: 1,
    };
    assert_eq!(totals().await, expected);
    assert_eq!(stores.cases.purge(at(100)).await.unwrap(), 2);
    assert_eq!(totals().await, expected);
    assert_eq!(
        stores.cases.totals(&RunId::new("other")).await.unwrap(),
        CaseTotals::default()
    );
}

/// Scenario: old and young, open, closed and not yet lifted cases meet the sweeper.
/// Guarantees: only what is over goes: closed before the time and lifted; its infection is forgotten with it.
pub async fn purging_spares_what_is_not_over(stores: &Stores) {
    let made = ["old", "young", "open", "lifting"].map(|id| case(&agent(id), id, at(1)));
    for case in &made {
        open(stores, case).await;
    }
    save(stores, &released(&made[0], at(10))).await;
    save(stores, &released(&made[1], at(20))).await;
    let mut lifting = released(&made[3], at(10));
    lifting.quarantine.phase = QuarantinePhase::Releasing;
    save(stores, &lifting).await;

    assert_eq!(stores.cases.purge(at(20)).await.unwrap(), 1);
    assert_eq!(stores.cases.purge(at(20)).await.unwrap(), 0);
    assert_eq!(stores.cases.get(&CaseId::new("old")).await.unwrap(), None);
    assert_eq!(
        stores
            .cases
            .case_of_infection(&made[0].infection.id)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        ids(&stores.cases.list(&CaseFilter::default()).await.unwrap()),
        ["young", "open", "lifting"]
    );
}

/// Scenario: the blast radius has room for five, and twelve agents fall ill at once, each caller counting from what
/// it knows.
/// Guarantees: exactly five cases that want containment are opened, each refusal says how many there are, and a
/// case that wants none is opened beside them; a closed case makes room.
pub async fn the_last_place_is_taken_once(stores: &Stores) {
    const ROOM: u32 = 5;
    let opened = at_once(12, |n| {
        let store = stores.cases.clone();
        let case = contained(&agent(&format!("crowd{n}")), &format!("crowd{n}"), at(n as i64));
        async move {
            store
                .open_case(&case, ROOM - 1, &Alongside::default())
                .await
                .unwrap()
        }
    })
    .await;
    let new = opened.iter().filter(|opened| **opened == Opened::New).count();
    assert_eq!(new, ROOM as usize, "{opened:?}");
    let crowded = opened
        .iter()
        .filter(|opened| **opened == Opened::Crowded(ROOM))
        .count();
    assert_eq!(crowded, 12 - ROOM as usize, "{opened:?}");

    let mut calm = case(&agent("calm"), "calm", at(50));
    calm.quarantine.phase = QuarantinePhase::NotWanted;
    assert_eq!(
        stores
            .cases
            .open_case(&calm, 0, &Alongside::default())
            .await
            .unwrap(),
        Opened::New
    );
    let elsewhere = contained(&AgentKey::new("other-run", "a"), "elsewhere", at(51));
    assert_eq!(
        stores
            .cases
            .open_case(&elsewhere, 0, &Alongside::default())
            .await
            .unwrap(),
        Opened::New
    );

    let n = opened.iter().position(|opened| *opened == Opened::New).unwrap();
    let first = stores
        .cases
        .get(&format!("crowd{n}").into())
        .await
        .unwrap()
        .unwrap();
    let mut closed = released(&first, at(60));
    closed.quarantine.phase = QuarantinePhase::Released;
    assert_eq!(
        stores
            .cases
            .save_case(&closed, 1, &Alongside::default())
            .await
            .unwrap(),
        Saved::Done
    );
    let next = contained(&agent("next"), "next", at(61));
    assert_eq!(
        stores
            .cases
            .open_case(&next, ROOM - 1, &Alongside::default())
            .await
            .unwrap(),
        Opened::New
    );
}

/// A case whose agent is to be contained.
fn contained(key: &AgentKey, id: &str, opened_at: Timestamp) -> Case {
    let mut case = case(key, id, opened_at);
    case.quarantine.phase = QuarantinePhase::Requested;
    assert!(wants_containment(&case), "the sample is what the property needs");
    case
}
