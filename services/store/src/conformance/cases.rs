//! What a store of cases must do: opening, finding, listing, purging. Changes are in `cases_changes`.

use super::at_once;
use super::samples::{agent, alongside, at, case, changed, healed, released};
use crate::Stores;
use crate::cases::{Alongside, CaseFilter, CaseTotals, Opened, Saved};
use immune_domain::case::{
    Case, Containment, Lease, LeverState, LeverStatus, QuarantinePhase, State, Step,
};
use immune_domain::healing::{Action, Trigger};
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};

/// Opens a case that must be new.
async fn open(stores: &Stores, case: &Case) {
    assert_eq!(stores.cases.open_case(case, &Alongside::default()).await.unwrap(), Opened::New, "{}", case.id);
}

/// Saves a case that must not be in conflict.
async fn save(stores: &Stores, case: &Case) {
    let saved = stores.cases.save_case(case, case.version - 1, &Alongside::default()).await.unwrap();
    assert_eq!(saved, Saved::Done, "{}", case.id);
}

fn ids(cases: &[Case]) -> Vec<&str> {
    cases.iter().map(|case| case.id.as_str()).collect()
}

fn queued(case: &Case, not_before: Timestamp) -> Case {
    let state = State::HealQueued { trigger: Trigger::Auto, not_before };
    changed(case, state, case.updated_at)
}

fn lease(until: Timestamp) -> Lease {
    Lease { worker: "healer-1".into(), fence: 1, until }
}

fn step() -> Step {
    Step { healing: "h".into(), action: Action::ResetMemory, started_at: at(0) }
}

/// Scenario: a case is opened and looked up in every way.
/// Guarantees: it comes back as it was; what does not exist is `None`.
pub async fn a_case_comes_back_as_it_was(stores: &Stores) {
    let case = case(&agent("a"), "case-1", at(1));
    assert_eq!(stores.cases.get(&case.id).await.unwrap(), None);
    assert_eq!(stores.cases.open_case_of(&case.key).await.unwrap(), None);
    assert_eq!(stores.cases.case_of_infection(&case.infection.id).await.unwrap(), None);
    open(stores, &case).await;
    assert_eq!(stores.cases.get(&case.id).await.unwrap(), Some(case.clone()));
    assert_eq!(stores.cases.open_case_of(&case.key).await.unwrap(), Some(case.clone()));
    assert_eq!(stores.cases.case_of_infection(&case.infection.id).await.unwrap(), Some(case.clone()));
    assert_eq!(stores.cases.open_case_of(&AgentKey::new("other", "a")).await.unwrap(), None);
}

/// Scenario: another infection of an agent with an open case.
/// Guarantees: the open case is the answer, and nothing of the refused opening is written.
pub async fn one_open_case_per_agent(stores: &Stores) {
    let first = case(&agent("a"), "first", at(1));
    let second = case(&agent("a"), "second", at(2));
    open(stores, &first).await;
    let answer = stores.cases.open_case(&second, &alongside(&second, "case_opened")).await.unwrap();
    assert_eq!(answer, Opened::AlreadyOpen(Box::new(first.clone())));
    assert_eq!(stores.cases.get(&second.id).await.unwrap(), None);
    assert_eq!(stores.cases.case_of_infection(&second.infection.id).await.unwrap(), None);
    assert_eq!(stores.cases.last_event().await.unwrap(), 0);
    assert_eq!(stores.action_log.recent(&first.key.run, None, 10).await.unwrap(), vec![]);
    open(stores, &case(&AgentKey::new("other", "a"), "third", at(3))).await;
}

/// Scenario: the same infection is reported again, while its case is open and after it has closed.
/// Guarantees: its case is the answer both times; no second case.
pub async fn a_report_opens_one_case(stores: &Stores) {
    let first = case(&agent("a"), "first", at(1));
    open(stores, &first).await;
    let mut again = case(&agent("a"), "again", at(2));
    again.infection.id = first.infection.id.clone();
    let answer = stores.cases.open_case(&again, &Alongside::default()).await.unwrap();
    assert_eq!(answer, Opened::AlreadyReported(Box::new(first.clone())));
    let closed = released(&first, at(3));
    save(stores, &closed).await;
    let answer = stores.cases.open_case(&again, &alongside(&again, "case_opened")).await.unwrap();
    assert_eq!(answer, Opened::AlreadyReported(Box::new(closed)));
    assert_eq!(stores.cases.totals(&first.key.run).await.unwrap().opened, 1);
    assert_eq!(stores.cases.last_event().await.unwrap(), 0);
}

/// Scenario: sixteen different infections of one agent are reported at the same time.
/// Guarantees: exactly one opens a case, the others are told which; one event, one row of the log.
pub async fn many_openings_have_one_winner(stores: &Stores) {
    let answers = at_once(16, |n| {
        let (store, case) = (stores.cases.clone(), case(&agent("a"), &format!("case-{n}"), at(n as i64)));
        async move { store.open_case(&case, &alongside(&case, "case_opened")).await }
    })
    .await;
    let open = stores.cases.open_case_of(&agent("a")).await.unwrap().unwrap();
    let mut won = 0;
    for answer in answers {
        match answer.unwrap() {
            Opened::New => won += 1,
            Opened::AlreadyOpen(case) => assert_eq!(*case, open),
            Opened::AlreadyReported(case) => panic!("reported before as {}", case.id),
        }
    }
    assert_eq!(won, 1);
    let events = stores.cases.events_after(0, 100).await.unwrap();
    assert_eq!(events.iter().map(|event| &event.event.case).collect::<Vec<_>>(), [&open.id]);
    assert_eq!(stores.action_log.recent(&open.key.run, None, 100).await.unwrap().len(), 1);
}

/// Scenario: one report is delivered sixteen times at once, each with a case id of its own.
/// Guarantees: exactly one case.
pub async fn many_redeliveries_open_one_case(stores: &Stores) {
    let answers = at_once(16, |n| {
        let mut case = case(&agent("a"), &format!("case-{n}"), at(1));
        case.infection.id = "one".into();
        let store = stores.cases.clone();
        async move { store.open_case(&case, &Alongside::default()).await }
    })
    .await;
    let winner = stores.cases.case_of_infection(&"one".into()).await.unwrap().unwrap();
    let answers: Vec<Opened> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Opened::New).count(), 1);
    let others = answers.iter().filter(|answer| **answer != Opened::New);
    assert!(others.into_iter().all(|answer| *answer == Opened::AlreadyReported(Box::new(winner.clone()))));
    assert_eq!(stores.cases.list(&CaseFilter::default()).await.unwrap(), vec![winner]);
}

/// Scenario: thirty cases in two runs, some closed, several of the same microsecond.
/// Guarantees: each filter holds, newest first, and pages meet without a gap or an overlap.
pub async fn listing_filters_and_pages(stores: &Stores) {
    for n in 0..30 {
        let key = AgentKey::new(if n % 3 == 0 { "other" } else { "tests" }, format!("a{n}"));
        let case = case(&key, &format!("case-{n:02}"), at(n / 4));
        open(stores, &case).await;
        if n % 5 == 0 {
            save(stores, &released(&case, at(100))).await;
        }
    }
    let list = async |filter: CaseFilter| stores.cases.list(&filter).await.unwrap();
    let all = list(CaseFilter::default()).await;
    let expected: Vec<String> = (0..30).rev().map(|n| format!("case-{n:02}")).collect();
    assert_eq!(ids(&all), expected);

    let run = Some(RunId::new("other"));
    assert_eq!(list(CaseFilter { run: run.clone(), ..Default::default() }).await.len(), 10);
    assert_eq!(list(CaseFilter { run, open: Some(false), ..Default::default() }).await.len(), 2);
    assert_eq!(list(CaseFilter { open: Some(true), ..Default::default() }).await.len(), 24);
    let agent = Some(agent("a7"));
    assert_eq!(ids(&list(CaseFilter { agent, ..Default::default() }).await), ["case-07"]);
    let states = vec!["released".to_owned(), "healed".to_owned()];
    assert_eq!(list(CaseFilter { states, ..Default::default() }).await.len(), 6);
    let states = vec!["no such state".to_owned()];
    assert_eq!(list(CaseFilter { states, ..Default::default() }).await, vec![]);

    let mut seen: Vec<Case> = Vec::new();
    loop {
        let before = seen.last().map(|case| (case.opened_at, case.id.clone()));
        let page = list(CaseFilter { before, limit: 7, ..Default::default() }).await;
        assert!(page.len() <= 7);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, all);
}

/// Scenario: cases in every state, queued ones due and not yet due, leases running and over.
/// Guarantees: exactly those are offered that a healer may take now, oldest first, within the limit.
pub async fn claimable_cases_are_due(stores: &Stores) {
    let now = at(1_000);
    let just_after = Timestamp::from_micros(now.as_micros() + 1);
    let healing = |until| State::Healing { trigger: Trigger::Auto, lease: lease(until), step: None };
    let probation =
        |until| State::Probation { trigger: Trigger::Auto, lease: lease(until), step: step(), since: at(0) };
    let queue = |not_before| State::HealQueued { trigger: Trigger::AfterApproval, not_before };
    let states = [
        ("queued-due", Some(queue(now))),
        ("queued-later", Some(queue(just_after))),
        ("healing-held", Some(healing(just_after))),
        ("healing-lost", Some(healing(now))),
        ("probation-held", Some(probation(at(2_000)))),
        ("probation-lost", Some(probation(at(500)))),
        ("waiting", None),
    ];
    for (n, (id, state)) in (0..).zip(states) {
        let case = case(&agent(id), id, at(100 - n));
        open(stores, &case).await;
        if let Some(state) = state {
            save(stores, &changed(&case, state, at(200))).await;
        }
    }
    let closed = case(&agent("closed"), "closed", at(1));
    open(stores, &closed).await;
    save(stores, &queued(&closed, at(2))).await;
    save(stores, &healed(&queued(&closed, at(2)), at(3))).await;

    let due = stores.cases.claimable(now, 10).await.unwrap();
    assert_eq!(ids(&due), ["probation-lost", "healing-lost", "queued-due"]);
    assert_eq!(ids(&stores.cases.claimable(now, 2).await.unwrap()), ["probation-lost", "healing-lost"]);
    assert_eq!(stores.cases.claimable(at(3_000), 10).await.unwrap().len(), 6);
}

/// Scenario: cases in every phase of containment, open and closed.
/// Guarantees: exactly those come back for which a lever must be asked, the one changed longest ago first.
pub async fn unsettled_cases_are_found(stores: &Stores) {
    let lever = |status| LeverState {
        lever: "lifecycle".into(),
        wanted: Containment::Probation,
        status,
        attempts: 1,
        generation: 1,
        retry_at: at(0),
        detail: String::new(),
    };
    let phases = [
        ("not-wanted", QuarantinePhase::NotWanted, LeverStatus::Requested),
        ("requested", QuarantinePhase::Requested, LeverStatus::Requested),
        ("partial", QuarantinePhase::Partial, LeverStatus::Confirmed),
        ("confirmed", QuarantinePhase::Confirmed, LeverStatus::Confirmed),
        ("breached", QuarantinePhase::Breached, LeverStatus::Confirmed),
        ("probation-asked", QuarantinePhase::Probation, LeverStatus::Failed),
        ("probation-confirmed", QuarantinePhase::Probation, LeverStatus::Confirmed),
        ("probation-unsupported", QuarantinePhase::Probation, LeverStatus::Unsupported),
        ("releasing", QuarantinePhase::Releasing, LeverStatus::Requested),
        ("released", QuarantinePhase::Released, LeverStatus::Confirmed),
    ];
    for (n, (id, phase, status)) in (0..).zip(phases) {
        let mut case = case(&agent(id), id, at(100 - n));
        case.quarantine.phase = phase;
        case.quarantine.levers = vec![lever(status)];
        open(stores, &case).await;
        let mut closed = released(&case, at(200 - n));
        closed.quarantine.phase = phase;
        if phase == QuarantinePhase::Releasing {
            save(stores, &closed).await;
        }
    }
    let unsettled = stores.cases.unsettled(10).await.unwrap();
    assert_eq!(ids(&unsettled), ["probation-asked", "breached", "partial", "requested", "releasing"]);
    assert_eq!(ids(&stores.cases.unsettled(1).await.unwrap()), ["probation-asked"]);
}

/// Scenario: cases are opened, quarantined late or never, healed, saved again, and purged.
/// Guarantees: each is counted once for its whole life, and counts outlive the cases.
pub async fn totals_outlive_the_cases(stores: &Stores) {
    let (mild, observed, open_one) =
        (case(&agent("a"), "mild", at(1)), case(&agent("b"), "observed", at(1)), case(&agent("c"), "open", at(1)));
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
    assert_eq!(totals().await, CaseTotals { opened: 2, open: 1, quarantined: 1, healed: 1 });
    let mut contained = queued(&free, at(5));
    contained.quarantine.phase = QuarantinePhase::Requested;
    save(stores, &contained).await;
    let mut lifted = released(&contained, at(6));
    lifted.quarantine.phase = QuarantinePhase::Released;
    save(stores, &lifted).await;
    open(stores, &open_one).await;
    let expected = CaseTotals { opened: 3, open: 1, quarantined: 3, healed: 1 };
    assert_eq!(totals().await, expected);
    assert_eq!(stores.cases.purge(at(100)).await.unwrap(), 2);
    assert_eq!(totals().await, expected);
    assert_eq!(stores.cases.totals(&RunId::new("other")).await.unwrap(), CaseTotals::default());
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
    assert_eq!(stores.cases.case_of_infection(&made[0].infection.id).await.unwrap(), None);
    assert_eq!(ids(&stores.cases.list(&CaseFilter::default()).await.unwrap()), ["young", "open", "lifting"]);
}
