//! What is known around a case beside the case itself. Each part is an addition: the case is shown without what cannot
//! be had.

use crate::app::App;
use crate::view::outlook::{Affected, Others, ProbationView};
use crate::view::vitals::seconds;
use immune_domain::AgentId;
use immune_domain::case::{Case, State};
use immune_domain::vitals::Completeness;
use immune_store::vitals::AgentSummary;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Agents that are ill now and looked at for what they have in common with one.
const ILL_MAX: usize = 500;
/// Executions that are counted towards a proof.
const EXECUTIONS_MAX: u32 = 256;

/// Who is affected by an open case; `None` for one that has ended, and when it cannot be said.
pub(crate) async fn affected(app: &App, case: &Case) -> Option<Affected> {
    if case.state.is_closed() {
        return None;
    }
    let open = app.roles.open_cases(&case.key.run).await.ok()?;
    let own = &case.key.agent;
    let ill: BTreeSet<&AgentId> = open.cases.keys().filter(|agent| *agent != own).collect();
    let asked: Vec<AgentId> = ill.into_iter().take(ILL_MAX).chain([own]).cloned().collect();
    let summaries = app.vitals.summaries(&case.key.run, &asked).await.ok()?;
    let of_own = summaries.iter().find(|summary| summary.key.agent == *own);
    let context = of_own.map(|summary| &summary.latest.context);
    let agent_type = context
        .and_then(|context| context.agent_type.clone())
        .or_else(|| case.agent_type.clone());
    let servers: Vec<String> = context
        .map(|context| context.mcp_servers.clone())
        .unwrap_or_default();
    let (mut same_type, mut same_mcp_server) = (Others::default(), Others::default());
    for AgentSummary { key, latest, .. } in summaries.iter().filter(|summary| summary.key.agent != *own) {
        let other = &latest.context;
        if agent_type.is_some() && other.agent_type == agent_type {
            same_type.add(key.agent.as_str());
        }
        if other.mcp_servers.iter().any(|server| servers.contains(server)) {
            same_mcp_server.add(key.agent.as_str());
        }
    }
    let namespace = context.and_then(|context| context.namespace().map(str::to_owned));
    let workload: BTreeMap<String, String> = context
        .map(|context| context.workload.iter().cloned().collect())
        .unwrap_or_default();
    Some(Affected {
        agent_id: own.to_string(),
        agent_type,
        namespace: namespace.or_else(|| case.namespace.clone()),
        workload,
        mcp_servers: servers,
        same_type,
        same_mcp_server,
    })
}

/// How far the proof of a healing is; `None` when none is under way, and when it cannot be said.
pub(crate) async fn probation(app: &App, case: &Case) -> Option<ProbationView> {
    let since = match &case.state {
        State::Probation { since, .. } => *since,
        State::AwaitingApproval { .. }
        | State::Rejected { .. }
        | State::HealQueued { .. }
        | State::Healing { .. }
        | State::Healed { .. }
        | State::Released { .. } => return None,
    };
    let key = &case.key;
    let policy = app.policies.resolve(
        &key.run,
        &key.agent,
        case.agent_type.as_deref(),
        case.namespace.as_deref(),
    );
    let recent = app.vitals.recent(key, since, EXECUTIONS_MAX).await.ok()?;
    let counted = recent.iter().filter(|vitals| {
        let has_ended = match vitals.completeness {
            Completeness::Complete | Completeness::Incomplete => true,
            Completeness::Running => false,
        };
        has_ended && vitals.began_at() >= since
    });
    let after = |wait: u32| seconds(since.plus(Duration::from_secs(u64::from(wait))));
    Some(ProbationView {
        seen: u32::try_from(counted.count()).unwrap_or(u32::MAX),
        needed: policy.probation.executions,
        since: seconds(since),
        enough_at: after(policy.probation.seconds),
        silent_until: after(policy.probation.silence_seconds_max),
    })
}
