//! Asks levers for what cases want, until each has answered.
//!
//! The loop takes no input but the store: it does the same whether a save woke it, the timer did, or the process has
//! just started after a crash. What it asks carries a key made of the case, the lever, what is wanted and its
//! generation, so that an ask whose answer was lost is repeated without a second effect.
//!
//! Of several replicas one drives a case's levers at a time: it claims unsettled cases in the store, as many as it
//! has asks to spare, and renews the claims at every look, so that they hold for as long as an ask takes. The claims of
//! a replica that died lapse after the lease; one that stops gives them back. Should a claim lapse under an ask, the
//! same thing may be asked twice with the same key, and the second answer finds nothing left to change.

use crate::desk::Desk;
use immune_domain::case::{Case, Command, LeverState, LeverStatus};
use immune_domain::{CaseId, Timestamp};
use immune_levers::{Answer, Ask, Order, Outcome};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long asks under way may take when the role stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// How long the store may take to take claims back when the role stops.
const UNCLAIM_MAX: Duration = Duration::from_secs(2);
/// Unsettled cases claimed at most, and at least.
const CASES_MAX: u32 = 1_000;
const CASES_MIN: u32 = 32;
/// Least time between two looks: of many saves in a short time, one look serves all.
const LOOK_MIN: Duration = Duration::from_millis(20);
/// First and longest wait after the store could not answer.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// A case and the name of one of its levers.
type Busy = (CaseId, String);

/// Runs until the token is cancelled.
pub(crate) async fn run(desk: Arc<Desk>, shutdown: CancellationToken) {
    let mut asks: JoinSet<Busy> = JoinSet::new();
    let mut busy: HashSet<Busy> = HashSet::new();
    let mut claims = Claims {
        limit: CASES_MIN,
        renewed_at: None,
    };
    let mut timer = tokio::time::interval(desk.config.reconcile_interval());
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut retry = RETRY_FIRST;
    let mut is_away = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = timer.tick() => {}
            () = desk.levers_wanted.notified() => {}
            Some(ended) = asks.join_next(), if !asks.is_empty() => forget(&mut busy, ended, asks.is_empty()),
        }
        while let Some(ended) = asks.try_join_next() {
            forget(&mut busy, ended, asks.is_empty());
        }
        let room = desk.config.asks_max.saturating_sub(asks.len());
        if room == 0 && !claims.is_renewal_due(&desk) {
            continue;
        }
        let due = tokio::select! {
            () = shutdown.cancelled() => break,
            due = async {
                claims.rest().await;
                claims.due(&desk, &busy, room).await
            } => due,
        };
        match due {
            Ok(due) => {
                if is_away {
                    tracing::info!("unsettled cases can be read again");
                }
                (is_away, retry) = (false, RETRY_FIRST);
                for (case, lever) in due {
                    let who = (case.id.clone(), lever.lever.clone());
                    busy.insert(who.clone());
                    let desk = desk.clone();
                    asks.spawn(async move {
                        ask(&desk, &case, &lever).await;
                        who
                    });
                }
            }
            Err(error) => {
                if !is_away {
                    tracing::warn!(%error, "unsettled cases cannot be read; trying again");
                }
                is_away = true;
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(retry) => {}
                }
                retry = (retry * 2).min(RETRY_MAX);
                desk.levers_wanted.notify_one();
            }
        }
    }
    let drained = tokio::time::timeout(DRAIN_MAX, async { while asks.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(
            asks = asks.len(),
            "levers have not answered in time; they are asked again by another replica or at the next start"
        );
        // What is under way here must not be recorded after another replica has begun to ask.
        asks.shutdown().await;
    }
    match tokio::time::timeout(UNCLAIM_MAX, desk.store.unclaim(&desk.replica)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "claims could not be given back; they lapse"),
        Err(_) => tracing::warn!("claims could not be given back in time; they lapse"),
    }
}

fn forget(busy: &mut HashSet<Busy>, ended: Result<Busy, tokio::task::JoinError>, is_idle: bool) {
    match ended {
        Ok(who) => {
            busy.remove(&who);
        }
        Err(error) => tracing::error!(%error, "an ask of a lever ended abnormally"),
    }
    if is_idle {
        // Also what a panic left behind.
        busy.clear();
    }
}

/// How many unsettled cases this replica claims. No more than it can ask for, or the others would have nothing to do;
/// no fewer than it takes to find some that are due behind those that failed and wait.
struct Claims {
    limit: u32,
    renewed_at: Option<Instant>,
}

impl Claims {
    fn is_renewal_due(&self, desk: &Desk) -> bool {
        self.renewed_at
            .is_none_or(|at| at.elapsed() >= desk.config.lever_lease() / 3)
    }

    /// Waits until it is time for another look.
    async fn rest(&self) {
        if let Some(looked_at) = self.renewed_at {
            tokio::time::sleep_until(looked_at + LOOK_MIN).await;
        }
    }

    /// What is to be asked now, at most `room`; claims it, and renews what is claimed.
    async fn due(
        &mut self,
        desk: &Desk,
        busy: &HashSet<Busy>,
        room: usize,
    ) -> Result<Vec<(Case, LeverState)>, immune_store::StorageError> {
        loop {
            let (renewed_at, now) = (Instant::now(), desk.clock.now());
            let until = now.plus(desk.config.lever_lease());
            let claimed = desk
                .store
                .claim_unsettled(&desk.replica, now, until, self.limit)
                .await?;
            self.renewed_at = Some(renewed_at);
            let is_page_full = claimed.len() >= self.limit as usize;
            let due = pending(claimed, busy, now, room);
            if is_page_full && due.len() < room && self.limit < CASES_MAX {
                self.limit = (self.limit * 2).min(CASES_MAX);
                continue;
            }
            if due.len() >= room {
                self.limit = (self.limit / 2).max(CASES_MIN);
            }
            return Ok(due);
        }
    }
}

/// The levers of cases that have to be asked at `now` and are not being asked, at most `room`.
fn pending(cases: Vec<Case>, busy: &HashSet<Busy>, now: Timestamp, room: usize) -> Vec<(Case, LeverState)> {
    let mut due = Vec::new();
    for case in cases {
        for lever in &case.quarantine.levers {
            let is_due = lever.is_pending() && lever.retry_at <= now;
            if is_due && due.len() < room && !busy.contains(&(case.id.clone(), lever.lever.clone())) {
                due.push((case.clone(), lever.clone()));
            }
        }
    }
    due
}

async fn ask(desk: &Desk, case: &Case, lever: &LeverState) {
    let answer = answer(desk, case, lever).await;
    desk.metrics.asked(answer.outcome);
    let status = match answer.outcome {
        Outcome::Done => LeverStatus::Confirmed,
        Outcome::Failed => LeverStatus::Failed,
        Outcome::Unsupported => LeverStatus::Unsupported,
        Outcome::Unknown => LeverStatus::Requested,
    };
    tracing::info!(
        case = %case.id, agent = %case.key, lever = lever.lever, wanted = lever.wanted.as_str(),
        status = status.as_str(), detail = answer.detail, "lever answered"
    );
    let command = Command::LeverAnswered {
        lever: lever.lever.clone(),
        wanted: lever.wanted,
        generation: lever.generation,
        status,
        detail: answer.detail,
    };
    if let Err(error) = desk.apply(&case.id, command).await {
        // The lever is asked again with the same key, and says that it has done it.
        tracing::warn!(%error, case = %case.id, "a lever's answer could not be recorded");
    }
}

async fn answer(desk: &Desk, case: &Case, lever: &LeverState) -> Answer {
    let Some(means) = desk.levers.get(&lever.lever) else {
        let detail = format!("this process has no lever {:?}", lever.lever);
        return Answer {
            outcome: Outcome::Failed,
            detail,
            evidence: Value::Null,
        };
    };
    let ask = Ask {
        key: case.key.clone(),
        case: case.id.clone(),
        idempotency_key: idempotency_key(case, lever),
        order: Order::Contain(lever.wanted),
        reason: reason(case),
        parameters: parameters(desk, case),
        workload: case.infection.workload.clone(),
    };
    match tokio::time::timeout(desk.config.ask_max(), means.ask(&ask)).await {
        Ok(answer) => answer,
        Err(_) => {
            let detail = format!("no answer within {} s", desk.config.ask_seconds_max);
            Answer {
                outcome: Outcome::Unknown,
                detail,
                evidence: Value::Null,
            }
        }
    }
}

/// The key of an ask: the same after a crash, another one when something new is wanted or a no was given.
fn idempotency_key(case: &Case, lever: &LeverState) -> String {
    format!(
        "{}:{}:{}:{}",
        case.id,
        lever.lever,
        lever.wanted.as_str(),
        lever.generation
    )
}

fn reason(case: &Case) -> String {
    let infection = &case.infection;
    format!(
        "{} of severity {:.1}, case {}",
        case.diagnosis(),
        infection.severity,
        case.state.as_str()
    )
}

fn parameters(desk: &Desk, case: &Case) -> BTreeMap<String, Value> {
    BTreeMap::from([
        ("severity".to_owned(), json!(case.infection.severity)),
        ("diagnosis_type".to_owned(), json!(case.diagnosis())),
        (
            "probation_executions".to_owned(),
            json!(desk.policy(case).probation.executions),
        ),
    ])
}
