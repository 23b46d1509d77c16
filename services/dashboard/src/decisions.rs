//! People's decisions that name an agent instead of a case. A native case goes to quarantine; a record that a
//! client-deployed system posted is answered with a record, which that system reads; of several deciders one wins.

use crate::app::App;
use crate::approvals::{APPROVED, Approval, HEAL_NOW, PENDING, REJECTED};
use crate::audit;
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

/// What became of a decision that was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It holds.
    Done,
    /// It is the first of two, and changes nothing until somebody else says the same.
    FirstOfTwo,
}

/// How many decisions came to what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// That hold.
    pub done: u64,
    /// That wait for a second person.
    pub first_of_two: u64,
    /// That were refused: others were faster, or policy does not let this person decide.
    pub refused: u64,
}

/// Decides on an agent.
pub(crate) async fn on_agent(
    app: &App,
    context: &Context,
    agent: AgentId,
    verb: Verb,
    reason: &str,
) -> Answer<Taken> {
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
            on_record(app, context, posted, verb, reason).await?;
            Ok(Taken::Done)
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

/// Decides on everything that waits. One refusal does not keep the others from being decided.
pub(crate) async fn on_all(
    app: &App,
    context: &Context,
    waiting: Vec<Approval>,
    verb: Verb,
    reason: &str,
) -> Answer<Tally> {
    let mut tally = Tally::default();
    for approval in waiting {
        match on_agent(app, context, approval.agent, verb, reason).await {
            Ok(Taken::Done) => tally.done += 1,
            Ok(Taken::FirstOfTwo) => tally.first_of_two += 1,
            Err(problem) if [403, 404, 409].contains(&problem.status) => tally.refused += 1,
            Err(problem) => return Err(problem),
        }
    }
    Ok(tally)
}

async fn on_case(app: &App, context: &Context, case: &Case, verb: Verb, reason: &str) -> Answer<Taken> {
    let caller = &context.caller;
    let case = app
        .roles
        .decide(&case.id, verb.decision(), reason.to_owned(), 0, caller)
        .await?;
    // Who completes a pair leaves no first word behind.
    let is_first = case
        .first_approval
        .is_some_and(|first| first.by.subject == caller.person.subject);
    Ok(if is_first { Taken::FirstOfTwo } else { Taken::Done })
}

async fn on_record(
    app: &App,
    context: &Context,
    posted: ClientRecord,
    verb: Verb,
    reason: &str,
) -> Answer<()> {
    let by = &context.caller.person;
    let policy = app
        .policies
        .resolve(&posted.key.run, &posted.key.agent, None, None);
    if !policy.lets_decide(&by.subject) {
        let agent = posted.key.agent.as_str();
        let detail = format!(
            "policy does not name {} among those who may decide on {agent:?}",
            by.subject
        );
        let path = format!("{} of {agent:?}", verb.log_kind());
        let word = "quarantine.not_an_approver";
        return Err(audit::forbidden(app, context, &path, "policy", word, detail).await);
    }
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
