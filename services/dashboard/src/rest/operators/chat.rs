//! `/chat/slack`: buttons that were pressed in Slack. The request is believed for its signature, the person for the
//! configuration's word on who a Slack user is; then the decision takes the way of every other.

use crate::access::refusals::Refused;
use crate::access::table::{self, Rule};
use crate::app::App;
use crate::problems::{Answer, no_case};
use crate::rest::read::body::Raw;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use immune_domain::case::{Case, Decision, Person, State as CaseState};
use immune_domain::{ErrorKind, RunId};
use immune_notify::config::SlackUser;
use immune_notify::{Click, NoClick, stamp};
use immune_runtime::access::Caller;
use immune_runtime::http::problem::Problem;
use std::sync::Arc;
use std::time::Duration;

/// Clicks that are worked on at the same time.
pub(crate) const CLICKS_MAX: usize = 32;
/// How long Slack waits for an answer is 3 s; what takes longer goes on behind it.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);
/// How often a decision is tried again because something that does not bear on it changed the case meanwhile.
const TRIES: usize = 3;
/// Why, in the record; Slack's dialog asks for no words.
const REASON: &str = "decided in Slack";

/// Takes a button that was pressed in Slack.
#[utoipa::path(post, path = "/chat/slack", tag = "operators",
    request_body(content = String, content_type = "application/x-www-form-urlencoded",
        description = "Slack's interaction payload, signed (`X-Slack-Signature`, `X-Slack-Request-Timestamp`)"),
    responses((status = 200, description = "Taken; what came of it is told in Slack"),
              (status = 401, description = "Slack has not signed this, or not lately")))]
pub async fn slack(State(app): State<Arc<App>>, headers: HeaderMap, Raw(body): Raw) -> Answer<StatusCode> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (timestamp, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    let now = app.clock.now();
    let click = match app.notifications.clicks.read(timestamp, signature, &body, now) {
        Ok(click) => click,
        Err(NoClick::Nothing) => return Ok(StatusCode::OK),
        Err(NoClick::Unreadable(why)) => {
            return Err(Problem::new(ErrorKind::Invalid, "chat.unreadable", why));
        }
        Err(NoClick::Forged(why)) => {
            refuse(&app, "/chat/slack", None, "signature").await;
            return Err(Problem::new(
                ErrorKind::Unauthenticated,
                "chat.signature",
                why.to_string(),
            ));
        }
    };
    let Ok(permit) = app.clicks.clone().try_acquire_owned() else {
        return Err(Problem::new(
            ErrorKind::Unavailable,
            "request.busy",
            "too many clicks at once; try again",
        ));
    };
    let work = tokio::spawn({
        let app = app.clone();
        async move {
            let _permit = permit;
            take(&app, click).await;
        }
    });
    // Slack shows an error when it waits longer, although nothing is wrong.
    let _ = tokio::time::timeout(ANSWER_WITHIN, work).await;
    Ok(StatusCode::OK)
}

async fn take(app: &App, click: Click) {
    let where_from = format!(
        "/chat/slack {} ({}) on {}",
        click.slack_user, click.slack_name, click.case
    );
    let Some(user) = &click.user else {
        refuse(app, &where_from, None, "unmapped").await;
        let said = "You cannot decide here: your Slack user is not mapped to a login. An administrator can add it \
                    (notify.targets, slack.users).";
        return click.tell(said).await;
    };
    let caller = caller(user, &click);
    let subject = &caller.person.subject;
    if !may_decide(&caller) {
        refuse(app, &where_from, Some(&caller), "role").await;
        return click
            .tell(&format!(
                "You are {subject} here, with role {}; deciding needs another.",
                caller.role
            ))
            .await;
    }
    match decide(app, &click, &caller).await {
        Ok(case) => {
            let said = match (&case.state, click.decision) {
                (CaseState::AwaitingApproval { .. }, Decision::Approve) => {
                    format!("Your approval as {subject} is recorded; a second person has to approve, too.")
                }
                (_, decision) => format!("The case is {} by you as {subject}.", decision.done()),
            };
            if !click.is_kept() {
                click
                    .show(&app.notifications.clicks, &case, &said, app.clock.now())
                    .await;
            }
            click.tell(&said).await;
        }
        Err(problem) => {
            if problem.status == 403 || problem.status == 404 {
                refuse(app, &where_from, Some(&caller), "case").await;
            }
            click
                .tell(&format!("Nothing was decided: {}", problem.detail))
                .await;
            // The message is behind; whoever reads it next should see how things are.
            if problem.status == 409
                && let Ok(case) = app.roles.case(&click.case).await
            {
                let said = format!(
                    "As of now, after a decision that came too late: {}",
                    problem.detail
                );
                click
                    .show(&app.notifications.clicks, &case, &said, app.clock.now())
                    .await;
            }
        }
    }
}

/// Whom the configuration says the presser is.
fn caller(user: &SlackUser, click: &Click) -> Caller {
    Caller {
        person: Person {
            subject: user.subject.clone(),
            via: format!("slack:{}", click.slack_user),
        },
        role: user.role,
        runs: user.runs.iter().map(|run| RunId::new(run.as_str())).collect(),
    }
}

/// What REST asks for the same decision.
fn may_decide(caller: &Caller) -> bool {
    match table::find(&Method::POST, "/api/cases/{case_id}/approve") {
        Rule::Needs(needs) => needs.allows(caller.role),
        Rule::NoSuchMethod | Rule::None => false,
    }
}

/// Decides upon what the message showed and nothing else: a case that has changed in what bears on the decision is
/// refused by its old version; one where only a lever was asked again or the like is decided as it is.
async fn decide(app: &App, click: &Click, caller: &Caller) -> Answer<Case> {
    let mut tries = 0;
    loop {
        tries += 1;
        let case = app.roles.case(&click.case).await?;
        if !caller.may_use(&case.key.run) {
            return Err(no_case(click.case.as_str()));
        }
        let is_as_shown = stamp(&case) == click.stamp;
        // Version 0 would mean any.
        let version = if is_as_shown {
            case.version
        } else {
            click.version.max(1)
        };
        let decided = app
            .roles
            .decide(&click.case, click.decision, REASON.to_owned(), version, caller)
            .await;
        match decided {
            Err(problem) if problem.status == 409 && is_as_shown && tries < TRIES => {}
            decided => return decided,
        }
    }
}

async fn refuse(app: &App, path: &str, caller: Option<&Caller>, because: &'static str) {
    app.metrics.refuse("chat");
    let refused = Refused {
        method: &Method::POST,
        path,
        caller,
        because,
    };
    app.refusals
        .record(refused, app.clock.now(), &*app.action_log)
        .await;
}
