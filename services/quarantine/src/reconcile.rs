//! Asks levers for what cases want, until each has answered.
//!
//! The loop takes no input but the store: it does the same whether a save woke it, the timer did, or the process has
//! just started after a crash. What it asks carries a key made of the case, the lever, what is wanted and its
//! generation, so that an ask whose answer was lost is repeated without a second effect.

use crate::desk::Desk;
use immune_domain::CaseId;
use immune_domain::case::{Case, Command, LeverState, LeverStatus};
use immune_levers::{Answer, Ask, Order, Outcome};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long asks under way may take when the role stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Unsettled cases looked at in one pass.
const CASES_MAX: u32 = 1_000;

/// A case and the name of one of its levers.
type Busy = (CaseId, String);

/// Runs until the token is cancelled.
pub(crate) async fn run(desk: Arc<Desk>, shutdown: CancellationToken) {
    let mut asks: JoinSet<Busy> = JoinSet::new();
    let mut busy: HashSet<Busy> = HashSet::new();
    let mut timer = tokio::time::interval(desk.config.reconcile_interval());
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
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
        if room == 0 {
            continue;
        }
        match due(&desk, &busy, room).await {
            Ok(due) => {
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
            Err(error) => tracing::warn!(%error, "unsettled cases could not be read"),
        }
    }
    let drained = tokio::time::timeout(DRAIN_MAX, async { while asks.join_next().await.is_some() {} });
    if drained.await.is_err() {
        tracing::warn!(
            asks = asks.len(),
            "levers have not answered in time; they are asked again at the next start"
        );
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

/// What is to be asked now, at most `room`.
async fn due(
    desk: &Desk,
    busy: &HashSet<Busy>,
    room: usize,
) -> Result<Vec<(Case, LeverState)>, immune_store::StorageError> {
    let now = desk.clock.now();
    let mut due = Vec::new();
    for case in desk.store.unsettled(CASES_MAX).await? {
        for lever in &case.quarantine.levers {
            let is_due = lever.is_pending() && lever.retry_at <= now;
            if is_due && due.len() < room && !busy.contains(&(case.id.clone(), lever.lever.clone())) {
                due.push((case.clone(), lever.clone()));
            }
        }
    }
    Ok(due)
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
