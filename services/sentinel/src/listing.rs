//! What is known of agents: their records from the store, their present judgement from memory.

use crate::agent::Agent;
use crate::directory::Directory;
use crate::silence::Telemetry;
use immune_domain::baseline::{Profile, State};
use immune_domain::policy::Silence;
use immune_domain::vitals::Vitals;
use immune_domain::{AgentId, AgentKey, RunId, Timestamp};
use immune_proto::convert::time;
use immune_proto::v1;
use immune_store::vitals::AgentSummary;
use immune_store::{StorageError, VitalsStore};
use std::sync::Arc;
use std::time::Duration;

/// Agents on a page, at most, and by default.
pub const PAGE_MAX: u32 = 1_000;
/// Agents in brief on a page at most.
const BRIEF_MAX: u32 = 5_000;
/// Suspects on their page at most.
const SUSPECTS_MAX: usize = 10_000;

const HOUR: Duration = Duration::from_secs(3_600);

/// A page of a run's agents, ordered by id: all of them, whoever judges them, so that a page is whole while a
/// partition moves and a caller who asks every replica takes each agent from the one that judges it.
///
/// # Errors
/// When the store cannot answer.
pub async fn list(
    directory: &Directory,
    store: &dyn VitalsStore,
    run: &RunId,
    after: Option<&str>,
    limit: u32,
    now: Timestamp,
) -> Result<v1::ListAgentsResponse, StorageError> {
    let limit = if limit == 0 { PAGE_MAX } else { limit.min(PAGE_MAX) };
    let summaries = store.agents(run, after, limit).await?;
    Ok(v1::ListAgentsResponse {
        agents: summaries
            .iter()
            .map(|summary| state(directory, summary, false, now))
            .collect(),
        total: store.agents_seen(run, Timestamp::EPOCH).await?,
        seen_last_hour: store.agents_seen(run, now.minus(HOUR)).await?,
    })
}

/// A page of a run's agents in brief, which is read once for a whole fleet: not counted.
///
/// # Errors
/// When the store cannot answer.
pub async fn brief(
    directory: &Directory,
    store: &dyn VitalsStore,
    run: &RunId,
    after: Option<&str>,
    limit: u32,
    now: Timestamp,
) -> Result<v1::ListAgentsResponse, StorageError> {
    let limit = if limit == 0 {
        PAGE_MAX
    } else {
        limit.min(BRIEF_MAX)
    };
    let summaries = store.agents(run, after, limit).await?;
    Ok(page(
        summaries
            .iter()
            .map(|summary| state(directory, summary, true, now))
            .collect(),
    ))
}

/// These agents, ordered by id; those without a record are left out.
///
/// # Errors
/// When the store cannot answer.
pub async fn these(
    directory: &Directory,
    store: &dyn VitalsStore,
    run: &RunId,
    agents: &[AgentId],
    is_brief: bool,
    now: Timestamp,
) -> Result<Vec<v1::AgentState>, StorageError> {
    let summaries = store.summaries(run, agents).await?;
    Ok(summaries
        .iter()
        .map(|summary| state(directory, summary, is_brief, now))
        .collect())
}

/// The agents of a run that are judged here and depart from their baseline now, or are silent, from memory.
pub fn suspects(directory: &Directory, run: &RunId, now: Timestamp) -> v1::ListAgentsResponse {
    let mut keys = directory.suspects(run, SUSPECTS_MAX);
    keys.extend(directory.silent(run, SUSPECTS_MAX));
    let known = |key: &AgentKey| {
        directory.look(key, |agent, profile| {
            let agent = agent?;
            Some(v1::AgentState {
                key: Some(key.into()),
                severity: agent.judgement.severity().unwrap_or(0.0),
                suspect: agent.judgement.is_anomalous(),
                baseline_state: v1::ProfileState::from(profile_state(profile)).into(),
                baseline_samples: profile.map_or(0, |profile| profile.sample_count),
                baseline_samples_min: u64::from(agent.policy.baseline_samples_min),
                live: true,
                telemetry: wire(agent.telemetry()).into(),
                silent_seconds: silent_seconds(agent.telemetry(), agent.last_seen, now),
                ..v1::AgentState::default()
            })
        })
    };
    page(keys.iter().filter_map(known).collect())
}

/// A page that nobody has counted.
pub fn page(agents: Vec<v1::AgentState>) -> v1::ListAgentsResponse {
    v1::ListAgentsResponse {
        agents,
        total: 0,
        seen_last_hour: 0,
    }
}

/// One agent, `None` when there is no record of it.
///
/// # Errors
/// When the store cannot answer.
pub async fn get(
    directory: &Directory,
    store: &dyn VitalsStore,
    key: &AgentKey,
    now: Timestamp,
) -> Result<Option<v1::AgentState>, StorageError> {
    let before = just_before(key.agent.as_str());
    let summaries = store.agents(&key.run, before.as_deref(), 1).await?;
    let summary = summaries.into_iter().find(|summary| summary.key == *key);
    Ok(summary.map(|summary| state(directory, &summary, false, now)))
}

fn state(directory: &Directory, summary: &AgentSummary, is_brief: bool, now: Timestamp) -> v1::AgentState {
    directory.look(&summary.key, |agent, profile| {
        let context = &summary.latest.context;
        let judgement = agent.map(|agent| agent.judgement).unwrap_or_default();
        let policy = || directory.policy(&summary.key, context.agent_type.as_deref(), context.namespace());
        let samples_min = agent.map_or_else(
            || policy().baseline_samples_min,
            |a| a.policy.baseline_samples_min,
        );
        let last_seen = last_seen(agent, summary);
        let telemetry = agent
            .filter(|agent| agent.last_seen != Timestamp::EPOCH)
            .map_or_else(
                || telemetry_on_record(&policy().silence, last_seen, now),
                Agent::telemetry,
            );
        let says_something = judgement.deviations.largest().is_some();
        v1::AgentState {
            key: Some((&summary.key).into()),
            agent_type: context.agent_type.clone(),
            model: context.model.clone(),
            mcp_servers: if is_brief {
                Vec::new()
            } else {
                context.mcp_servers.clone()
            },
            first_seen_at: Some(time::to_wire(summary.first_received_at)),
            last_seen_at: Some(time::to_wire(last_seen)),
            executions: summary.executions,
            latest: Some(latest(&summary.latest, is_brief)),
            deviations: (says_something && !is_brief).then(|| judgement.deviations.into()),
            anomalies: judgement
                .anomalies()
                .iter()
                .filter(|_| !is_brief)
                .map(|anomaly| anomaly.as_str().to_owned())
                .collect(),
            severity: judgement.severity().unwrap_or(0.0),
            suspect: judgement.is_anomalous(),
            baseline_state: v1::ProfileState::from(profile_state(profile)).into(),
            baseline_samples: profile.map_or(0, |profile| profile.sample_count),
            baseline_samples_min: u64::from(samples_min),
            case_id: agent
                .and_then(|a| a.case.as_ref())
                .map(|case| case.id.to_string())
                .unwrap_or_default(),
            evidence: agent
                .and_then(Agent::evidence)
                .map(|evidence| f64::from(evidence.score)),
            infected_by_evidence: agent.is_some_and(Agent::is_infected_by_evidence),
            live: directory.holds(&summary.key),
            telemetry: wire(telemetry).into(),
            silent_seconds: silent_seconds(telemetry, last_seen, now),
            agent_version: profile.map(|profile| profile.of.into()),
        }
    })
}

/// The latest execution, in brief without its surroundings.
fn latest(vitals: &Vitals, is_brief: bool) -> v1::Vitals {
    if !is_brief {
        return vitals.into();
    }
    let Vitals {
        key,
        execution,
        context: _,
        ..
    } = vitals;
    (&Vitals {
        key: key.clone(),
        execution: execution.clone(),
        context: Box::default(),
        ..*vitals
    })
        .into()
}

fn last_seen(agent: Option<&Agent>, summary: &AgentSummary) -> Timestamp {
    agent.map_or(summary.latest.received_at, |agent| {
        agent.last_seen.max(summary.latest.received_at)
    })
}

/// Of an agent that is not in memory: nobody listens for it here, but whoever was heard this long ago is gone.
fn telemetry_on_record(silence: &Silence, last_seen: Timestamp, now: Timestamp) -> Telemetry {
    match now.since(last_seen) > silence.farewell(Duration::ZERO) {
        true => Telemetry::Gone,
        false => Telemetry::Live,
    }
}

fn silent_seconds(telemetry: Telemetry, last_seen: Timestamp, now: Timestamp) -> Option<f64> {
    match telemetry {
        Telemetry::Live => None,
        Telemetry::Silent | Telemetry::Gone => Some(now.since(last_seen).as_secs_f64()),
    }
}

fn wire(telemetry: Telemetry) -> v1::agent_state::Telemetry {
    match telemetry {
        Telemetry::Live => v1::agent_state::Telemetry::Live,
        Telemetry::Silent => v1::agent_state::Telemetry::Silent,
        Telemetry::Gone => v1::agent_state::Telemetry::Gone,
    }
}

fn profile_state(profile: Option<&Arc<Profile>>) -> State {
    profile.map_or(State::Learning, |profile| profile.state)
}

/// A text that sorts directly before `id`, but for texts that nobody uses as an id: a page that begins after it
/// begins with `id`. `None`: from the beginning.
fn just_before(id: &str) -> Option<String> {
    let mut text = id.to_owned();
    let last = text.pop()?;
    // Skips the gap of the surrogates, which are no characters.
    let previous = (0..u32::from(last)).rev().find_map(char::from_u32);
    if let Some(previous) = previous {
        text.push(previous);
        text.push(char::MAX);
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: nothing that serves as an id lies between the text and the id.
    #[test]
    fn sorts_directly_before() {
        for id in ["a", "agent-10", "b!", "\u{e000}x", "é"] {
            let before = just_before(id).unwrap();
            assert!(before.as_str() < id, "{before:?} {id:?}");
        }
        let before = just_before("agent-10").unwrap();
        for other in ["agent-1", "agent-0", "agent-1/z", "agent-1/zz"] {
            assert!(other < before.as_str(), "{other}");
        }
        assert_eq!(just_before(""), None);
    }
}
