//! `/api/notifications`: how outgoing targets stand, what could not be delivered, and what to do about it.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::rest::operators::{DONE, Done};
use crate::rest::read::LIMIT_DEFAULT;
use crate::rest::read::context::Context;
use crate::rest::read::params::Params;
use crate::rest::read::path::NamePath;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use immune_domain::{AgentId, ErrorKind, RunId, Timestamp};
use immune_runtime::http::problem::Problem;
use immune_store::action_log::LogRow;
use immune_store::notifications::{Notification, TargetState};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use utoipa::ToSchema;

/// Dead letters at most.
const LIMIT_MAX: u32 = 1_000;

/// A failure.
#[derive(Serialize, ToSchema)]
pub struct FailureView {
    /// When, epoch seconds.
    at: f64,
    /// Why.
    text: String,
}

/// How a target stands.
#[derive(Serialize, ToSchema)]
pub struct TargetView {
    /// Its name.
    name: String,
    /// `webhook`, `slack`, `teams`, `pagerduty`, `alertmanager`, `appdynamics`; `none` when it is not configured any
    /// more.
    kind: &'static str,
    /// `ok`, `failing`, `waiting` (no process has delivered to it yet), `removed` (not configured any more).
    state: &'static str,
    /// Notifications that wait.
    waiting: u64,
    /// Dead letters.
    dead: u64,
    /// Ever delivered.
    delivered: u64,
    /// Age of the oldest notification that waits, seconds.
    lag_seconds: f64,
    /// When something was delivered last, epoch seconds.
    last_delivered_at: Option<f64>,
    /// Since when every attempt has failed, epoch seconds.
    failing_since: Option<f64>,
    /// The last failure.
    last_error: Option<FailureView>,
}

/// What could not be delivered.
#[derive(Serialize, ToSchema)]
pub struct DeadLetterView {
    /// Its id.
    id: String,
    /// To whom.
    target: String,
    /// Kind of the event.
    kind: String,
    /// Run of the agent.
    run_id: String,
    /// Agent.
    agent_id: String,
    /// Case.
    case_id: String,
    /// What would have been told.
    text: String,
    /// When it happened, epoch seconds.
    at: f64,
    /// Since when it is a dead letter, epoch seconds.
    died_at: f64,
    /// Attempts.
    attempts: u32,
    /// Why it was given up.
    error: String,
}

/// Outgoing notifications.
#[derive(Serialize, ToSchema)]
pub struct NotificationsView {
    /// Every target.
    targets: Vec<TargetView>,
    /// What could not be delivered, the latest first.
    dead_letters: Vec<DeadLetterView>,
}

/// A test on its way.
#[derive(Serialize, ToSchema)]
pub struct TestView {
    /// True.
    ok: bool,
    /// Its id; should it not arrive, it is among the dead letters or the target says why.
    id: String,
}

/// How outgoing targets stand, and what could not be delivered.
#[utoipa::path(get, path = "/api/notifications", tag = "operators",
    params(("target" = Option<String>, Query, description = "Only dead letters of this target"),
           ("limit" = Option<u32>, Query, description = "Dead letters at most; default 100, at most 1,000")),
    responses((status = 200, description = "Targets and dead letters", body = NotificationsView)))]
pub async fn list(
    State(app): State<Arc<App>>,
    context: Context,
    params: Params,
) -> Answer<Json<NotificationsView>> {
    let target = params.text("target")?;
    let limit = params.limit(LIMIT_DEFAULT, LIMIT_MAX)?;
    let front = &app.notifications;
    let known = front.store.targets().await.map_err(stored)?;
    let dead = front.store.dead(target.as_deref(), limit).await.map_err(stored)?;
    let now = app.clock.now();
    let mut targets: Vec<TargetView> = front
        .targets
        .iter()
        .map(
            |(name, kind)| match known.iter().find(|target| target.name == *name) {
                Some(target) => TargetView::of(target, kind, now),
                None => TargetView::unknown(name, kind),
            },
        )
        .collect();
    let is_configured = |name: &str| front.targets.iter().any(|(configured, _)| configured == name);
    // One that was taken out of the configuration is worth a line only for what it has left behind.
    let removed = known
        .iter()
        .filter(|target| !is_configured(&target.name) && target.dead + target.waiting > 0);
    targets.extend(removed.map(|target| TargetView {
        state: "removed",
        ..TargetView::of(target, "none", now)
    }));
    let may_see = |letter: &&Notification| context.caller.may_use(&letter.event.key.run);
    Ok(Json(NotificationsView {
        targets,
        dead_letters: dead.iter().filter(may_see).map(DeadLetterView::of).collect(),
    }))
}

/// Delivers a dead letter once more.
#[utoipa::path(post, path = "/api/notifications/{notification_id}/retry", tag = "operators",
    params(("notification_id" = String, Path, description = "Which dead letter")),
    responses((status = 200, description = "It waits again", body = Done),
              (status = 404, description = "There is no such dead letter")))]
pub async fn retry(
    State(app): State<Arc<App>>,
    context: Context,
    NamePath(id): NamePath,
) -> Answer<Json<Done>> {
    let letter = find(&app, &context, &id).await?;
    let is_done = app
        .notifications
        .store
        .retry(&id, app.clock.now())
        .await
        .map_err(stored)?;
    record(
        &app,
        &context,
        "notification_retried",
        &letter.event.key.run,
        Some(&letter),
        &letter.target,
    )
    .await?;
    if is_done {
        Ok(Json(DONE))
    } else {
        Err(no_letter(&id))
    }
}

/// Removes a dead letter.
#[utoipa::path(delete, path = "/api/notifications/{notification_id}", tag = "operators",
    params(("notification_id" = String, Path, description = "Which dead letter")),
    responses((status = 200, description = "It is gone", body = Done),
              (status = 404, description = "There is no such dead letter")))]
pub async fn discard(
    State(app): State<Arc<App>>,
    context: Context,
    NamePath(id): NamePath,
) -> Answer<Json<Done>> {
    let letter = find(&app, &context, &id).await?;
    let is_done = app.notifications.store.discard(&id).await.map_err(stored)?;
    record(
        &app,
        &context,
        "notification_discarded",
        &letter.event.key.run,
        Some(&letter),
        &letter.target,
    )
    .await?;
    if is_done {
        Ok(Json(DONE))
    } else {
        Err(no_letter(&id))
    }
}

/// Sends a test message to a target.
#[utoipa::path(post, path = "/api/notifications/targets/{target}/test", tag = "operators",
    params(("target" = String, Path, description = "Which target")),
    responses((status = 202, description = "It is on its way", body = TestView),
              (status = 404, description = "There is no such target"),
              (status = 409, description = "No process has delivered to it yet")))]
pub async fn test(
    State(app): State<Arc<App>>,
    context: Context,
    NamePath(target): NamePath,
) -> Answer<(StatusCode, Json<TestView>)> {
    if !app.notifications.targets.iter().any(|(name, _)| *name == target) {
        let shown: String = target.chars().take(64).collect();
        let detail = format!("there is no target {shown:?}; notify.targets names them");
        return Err(Problem::new(
            ErrorKind::NotFound,
            "dashboard.target_not_found",
            detail,
        ));
    }
    let (subject, now) = (&context.caller.person.subject, app.clock.now());
    let id = app
        .notifications
        .test(&target, &context.run, subject, now)
        .await
        .map_err(stored)?;
    record(&app, &context, "notification_tested", &context.run, None, &target).await?;
    match id {
        Some(id) => Ok((StatusCode::ACCEPTED, Json(TestView { ok: true, id }))),
        None => Err(Problem::new(
            ErrorKind::Conflict,
            "dashboard.target_not_served",
            "no process delivers to this target yet; the quarantine role does",
        )),
    }
}

/// A dead letter of a run that the caller may use; any other does not exist for the caller.
async fn find(app: &App, context: &Context, id: &str) -> Answer<Notification> {
    let found = app.notifications.store.get(id).await.map_err(stored)?;
    let is_dead =
        |letter: &Notification| letter.died_at.is_some() && context.caller.may_use(&letter.event.key.run);
    found.filter(is_dead).ok_or_else(|| no_letter(id))
}

fn no_letter(id: &str) -> Problem {
    let shown: String = id.chars().take(200).collect();
    let detail = format!("there is no dead letter {shown:?}; it may have been retried or discarded");
    Problem::new(ErrorKind::NotFound, "dashboard.dead_letter_not_found", detail)
}

async fn record(
    app: &App,
    context: &Context,
    kind: &str,
    run: &RunId,
    letter: Option<&Notification>,
    target: &str,
) -> Answer<()> {
    let by = &context.caller.person;
    let row = LogRow {
        run: run.clone(),
        at: app.clock.now(),
        kind: kind.to_owned(),
        agent: letter.map(|letter| AgentId::clone(&letter.event.key.agent)),
        actor: by.subject.clone(),
        outcome: "done".to_owned(),
        payload: json!({
            "target": target, "via": by.via, "notification_id": letter.map(|letter| &letter.id),
            "case_id": letter.map(|letter| &letter.event.case),
        }),
    };
    app.action_log.append(&[row]).await.map_err(stored)
}

impl TargetView {
    fn of(target: &TargetState, kind: &'static str, now: Timestamp) -> Self {
        let failure = |(at, text): &(Timestamp, String)| FailureView {
            at: at.as_epoch_seconds(),
            text: text.clone(),
        };
        TargetView {
            name: target.name.clone(),
            kind,
            state: if target.failing_since.is_some() {
                "failing"
            } else {
                "ok"
            },
            waiting: target.waiting,
            dead: target.dead,
            delivered: target.delivered,
            lag_seconds: target
                .oldest_waiting_at
                .map_or(0.0, |at| now.since(at).as_secs_f64()),
            last_delivered_at: target.last_delivered_at.map(Timestamp::as_epoch_seconds),
            failing_since: target.failing_since.map(Timestamp::as_epoch_seconds),
            last_error: target.last_error.as_ref().map(failure),
        }
    }

    fn unknown(name: &str, kind: &'static str) -> Self {
        TargetView {
            name: name.to_owned(),
            kind,
            state: "waiting",
            waiting: 0,
            dead: 0,
            delivered: 0,
            lag_seconds: 0.0,
            last_delivered_at: None,
            failing_since: None,
            last_error: None,
        }
    }
}

impl DeadLetterView {
    fn of(letter: &Notification) -> Self {
        DeadLetterView {
            id: letter.id.clone(),
            target: letter.target.clone(),
            kind: letter.event.kind.clone(),
            run_id: letter.event.key.run.to_string(),
            agent_id: letter.event.key.agent.to_string(),
            case_id: letter.event.case.to_string(),
            text: letter.event.text.clone(),
            at: letter.event.at.as_epoch_seconds(),
            died_at: letter.died_at.map_or(0.0, Timestamp::as_epoch_seconds),
            attempts: letter.attempts,
            error: letter.last_error.clone().unwrap_or_default(),
        }
    }
}
