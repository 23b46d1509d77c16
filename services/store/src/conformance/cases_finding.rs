//! What a store of cases must do when cases are looked for: by people, by healers, by the reconciler of levers.

use super::at_once;
use super::cases::{ids, open, queued, save};
use super::samples::{agent, at, case, changed, healed, released};
use crate::Stores;
use crate::cases::CaseFilter;
use immune_domain::case::{Case, Containment, Lease, LeverState, LeverStatus, QuarantinePhase, State, Step};
use immune_domain::healing::{Action, Trigger};
use immune_domain::{AgentKey, CaseId, RunId, Timestamp};

fn lease(until: Timestamp) -> Lease {
    Lease {
        worker: "healer-1".into(),
        fence: 1,
        until,
    }
}

fn step() -> Step {
    Step {
        healing: "h".into(),
        action: Action::ResetMemory,
        started_at: at(0),
    }
}

/// Scenario: of three cases, two are asked for, one of them twice, beside one that does not exist; then none is.
/// Guarantees: each that exists comes once, as it is now.
pub async fn several_cases_are_read_at_once(stores: &Stores) {
    for n in 0..3 {
        let case = case(&agent(&format!("a{n}")), &format!("case-{n}"), at(n));
        open(stores, &case).await;
        if n == 2 {
            save(stores, &released(&case, at(10))).await;
        }
    }
    let wanted: Vec<CaseId> = ["case-2", "no such case", "case-0", "case-2"]
        .map(CaseId::from)
        .into();
    let mut found = stores.cases.cases(&wanted).await.unwrap();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(ids(&found), ["case-0", "case-2"]);
    assert_eq!(found[1].version, 2);
    assert!(stores.cases.cases(&[]).await.unwrap().is_empty());
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
    assert_eq!(
        list(CaseFilter {
            run: run.clone(),
            ..Default::default()
        })
        .await
        .len(),
        10
    );
    assert_eq!(
        list(CaseFilter {
            run,
            open: Some(false),
            ..Default::default()
        })
        .await
        .len(),
        2
    );
    assert_eq!(
        list(CaseFilter {
            open: Some(true),
            ..Default::default()
        })
        .await
        .len(),
        24
    );
    let agent = Some(agent("a7"));
    assert_eq!(
        ids(&list(CaseFilter {
            agent,
            ..Default::default()
        })
        .await),
        ["case-07"]
    );
    let states = vec!["released".to_owned(), "healed".to_owned()];
    assert_eq!(
        list(CaseFilter {
            states,
            ..Default::default()
        })
        .await
        .len(),
        6
    );
    let states = vec!["no such state".to_owned()];
    assert_eq!(
        list(CaseFilter {
            states,
            ..Default::default()
        })
        .await,
        vec![]
    );

    let mut seen: Vec<Case> = Vec::new();
    loop {
        let before = seen.last().map(|case| (case.opened_at, case.id.clone()));
        let page = list(CaseFilter {
            before,
            limit: 7,
            ..Default::default()
        })
        .await;
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
    let healing = |until| State::Healing {
        trigger: Trigger::Auto,
        lease: lease(until),
        step: None,
    };
    let probation = |until| State::Probation {
        trigger: Trigger::Auto,
        lease: lease(until),
        step: step(),
        since: at(0),
    };
    let queue = |not_before| State::HealQueued {
        trigger: Trigger::AfterApproval,
        not_before,
    };
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
    assert_eq!(
        ids(&stores.cases.claimable(now, 2).await.unwrap()),
        ["probation-lost", "healing-lost"]
    );
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
        (
            "probation-confirmed",
            QuarantinePhase::Probation,
            LeverStatus::Confirmed,
        ),
        (
            "probation-unsupported",
            QuarantinePhase::Probation,
            LeverStatus::Unsupported,
        ),
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
    let unsettled = stores
        .cases
        .claim_unsettled("worker", at(0), at(1), 10)
        .await
        .unwrap();
    assert_eq!(
        ids(&unsettled),
        ["probation-asked", "breached", "partial", "requested", "releasing"]
    );
    assert_eq!(
        ids(&stores
            .cases
            .claim_unsettled("worker", at(0), at(1), 1)
            .await
            .unwrap()),
        ["probation-asked"]
    );
}

/// Scenario: two workers look for unsettled cases at the same time, many times.
/// Guarantees: each case has one worker, who finds it again; what is given back goes to the other.
pub async fn an_unsettled_case_has_one_worker(stores: &Stores) {
    for n in 0..20 {
        open(stores, &case(&agent(&format!("a{n}")), &format!("c{n}"), at(n))).await;
    }
    let claims = at_once(8, |n| {
        let store = stores.cases.clone();
        async move {
            let worker = format!("w{n}");
            let claimed = store.claim_unsettled(&worker, at(100), at(115), 5).await;
            let claimed = claimed.unwrap();
            (
                worker,
                ids(&claimed).into_iter().map(str::to_owned).collect::<Vec<_>>(),
            )
        }
    })
    .await;
    let mut all: Vec<String> = claims.iter().flat_map(|(_, ids)| ids.clone()).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "claimed twice: {claims:?}");
    assert!((5..=20).contains(&count), "{claims:?}");
    let (worker, mine) = claims
        .iter()
        .find(|(_, ids)| !ids.is_empty())
        .expect("somebody has some");
    let again = stores
        .cases
        .claim_unsettled(worker, at(101), at(116), 20)
        .await
        .unwrap();
    assert!(
        mine.iter().all(|id| ids(&again).contains(&id.as_str())),
        "{again:?}"
    );
    for (worker, _) in &claims {
        stores.cases.unclaim(worker).await.unwrap();
    }
    let rest = stores
        .cases
        .claim_unsettled("last", at(102), at(117), 100)
        .await
        .unwrap();
    assert_eq!(rest.len(), 20);
}

/// Scenario: a worker dies with claims.
/// Guarantees: nobody else has them before they lapse, somebody has them then.
pub async fn a_dead_workers_claims_lapse(stores: &Stores) {
    open(stores, &case(&agent("a"), "c", at(0))).await;
    let claim = |worker: &'static str, now| stores.cases.claim_unsettled(worker, at(now), at(now + 15), 10);
    assert_eq!(ids(&claim("dead", 0).await.unwrap()), ["c"]);
    assert!(claim("other", 14).await.unwrap().is_empty());
    assert_eq!(ids(&claim("other", 15).await.unwrap()), ["c"]);
    assert!(claim("dead", 16).await.unwrap().is_empty());
}
