//! People's decisions that name an agent instead of a case. A native case goes to quarantine; a record that a
//! client-deployed system posted is answered with a record, which that system reads; of several deciders one wins.

use crate::app::App;
use crate::approvals::{APPROVED, Approval, HEAL_NOW, PENDING, REJECTED};
use crate::problems::{Answer, stored};
use crate::rest::read::context::Context;
use crate::roles::CaseQuery;
use immune_domain::case::{Case, Decision, State};
use immune_domain::{AgentId, ErrorKind};
use immune_runtime::http::problem::Problem;
use immune_store::action_log::LogRow;
use immune_store::client_records::{ClientRecord, RecordKind};
use serde_json::{Value, json};

/// What a person may decide on an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Approve,
    Reject,
    HealNow,
}

impl Verb {
    const fn decision(self) -> Decision {
        match self {
            Verb::Approve => Decision::Approve,
            Verb::Reject => Decision::Reject,
            Verb::HealNow => Decision::HealNow,
        }
    }

    /// The decision of the record that answers a posted one.
    const fn record(self) -> &'static str {
        match self {
            Verb::Approve => APPROVED,
            Verb::Reject => REJECTED,
            Verb::HealNow => HEAL_NOW,
        }
    }

    /// Posted decisions that this one may follow.
    const fn may_follow(self) -> &'static [&'static str] {
        match self {
            Verb::Approve | Verb::Reject => &[PENDING],
            Verb::HealNow => &[REJECTED, PENDING],
        }
    }

    const fn log_kind(self) -> &'static str {
        match self {
            Verb::Approve => "user_approved",
            Verb::Reject => "user_rejected",
            Verb::HealNow => "explicit_heal_requested",
        }
    }

    /// Whether a native case waits for it.
    const fn applies_to(self, state: &State) -> bool {
        match state {
            State::AwaitingApproval { .. } => true,
            State::Rejected { .. } => matches!(self, Verb::HealNow),
            State::HealQueued { .. }
            | State::Healing { .. }
            | State::Probation { .. }
            | State::Healed { .. }
            | State::Released { .. } => false,
        }
    }
}

/// Decides on an agent.
pub(crate) async fn on_agent(
    app: &App,
    context: &Context,
    agent: AgentId,
    verb: Verb,
    reason: &str,
) -> Answer<()> {
    let query = CaseQuery {
        agent: Some(agent.clone()),
        limit: 1,
        ..CaseQuery::default()
    };
    let case = app.roles.cases(&context.run, query).await?.into_iter().next();
    let key = context.agent(agent);
    if let Some(case) = case.as_ref().filter(|case| verb.applies_to(&case.state)) {
        return on_case(app, context, case, verb, reason).await;
    }
    let posted = app
        .client_records
        .latest(&key, RecordKind::Approval)
        .await
        .map_err(stored)?;
    match (posted, case) {
        (Some(posted), _) if says_any(&posted, verb.may_follow()) => {
            on_record(app, context, posted, verb, reason).await
        }
        // Quarantine knows who decided, and says so.
        (_, Some(case)) => on_case(app, context, &case, verb, reason).await,
        (Some(posted), None) => Err(already_decided(&posted)),
        (None, None) => Err(Problem::new(
            ErrorKind::NotFound,
            "dashboard.nothing_to_decide",
            format!("nothing waits for a decision on agent {:?}", key.agent.as_str()),
        )),
    }
}

/// Decides on everything that waits; returns how many decisions were accepted and how many refused, because others
/// were faster.
pub(crate) async fn on_all(
    app: &App,
    context: &Context,
    waiting: Vec<Approval>,
    verb: Verb,
    reason: &str,
) -> Answer<(u64, u64)> {
    let (mut done, mut refused) = (0, 0);
    for approval in waiting {
        match on_agent(app, context, approval.agent, verb, reason).await {
            Ok(()) => done += 1,
            Err(problem) if problem.status == 409 || problem.status == 404 => refused += 1,
            Err(problem) => return Err(problem),
        }
    }
    Ok((done, refused))
}

async fn on_case(app: &App, context: &Context, case: &Case, verb: Verb, reason: &str) -> Answer<()> {
    let by = &context.caller.person;
    app.roles
        .decide(&case.id, verb.decision(), reason.to_owned(), 0, by)
        .await
        .map(|_| ())
}

async fn on_record(
    app: &App,
    context: &Context,
    posted: ClientRecord,
    verb: Verb,
    reason: &str,
) -> Answer<()> {
    let by = &context.caller.person;
    let mut body = posted.body.clone();
    body["decision"] = json!(verb.record());
    body["decided_by"] = json!(by.subject);
    body["decision_reason"] = json!(reason);
    let (key, at) = (posted.key.clone(), app.clock.now());
    let record = ClientRecord {
        key: key.clone(),
        kind: RecordKind::Approval,
        at,
        body,
    };
    let won = app
        .client_records
        .append_if_latest(&record, "decision", verb.may_follow())
        .await
        .map_err(stored)?;
    let field = |name: &str| posted.body.get(name).cloned().unwrap_or(Value::Null);
    let row = LogRow {
        run: key.run.clone(),
        at,
        kind: verb.log_kind().to_owned(),
        agent: Some(key.agent.clone()),
        actor: by.subject.clone(),
        outcome: if won { "done" } else { "refused" }.to_owned(),
        payload: json!({
            "severity": field("severity"), "diagnosis_type": field("diagnosis_type"), "reason": reason,
            "via": by.via, "decision": verb.record(), "posted": true,
        }),
    };
    app.action_log.append(&[row]).await.map_err(stored)?;
    if won {
        return Ok(());
    }
    let now = app
        .client_records
        .latest(&key, RecordKind::Approval)
        .await
        .map_err(stored)?;
    Err(already_decided(&now.unwrap_or(posted)))
}

fn says_any(record: &ClientRecord, decisions: &[&str]) -> bool {
    record
        .body
        .get("decision")
        .and_then(Value::as_str)
        .is_some_and(|said| decisions.contains(&said))
}

fn already_decided(record: &ClientRecord) -> Problem {
    let approval = Approval::of_record(record);
    let by = approval
        .decided_by
        .unwrap_or_else(|| "the system that posted it".to_owned());
    Problem::new(
        ErrorKind::Conflict,
        "dashboard.already_decided",
        format!(
            "the approval of {:?} was already {} by {by}",
            approval.agent.as_str(),
            approval.decision
        ),
    )
}
