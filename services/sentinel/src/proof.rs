//! The proof of a healing: the executions since then, read from the store, judged by the rule.

use crate::directory::Directory;
use immune_domain::detection::probation::{Finding, Proof, verify};
use immune_domain::detection::{Rule, Sample};
use immune_domain::policy::Policy;
use immune_domain::vitals::{Completeness, Vitals};
use immune_domain::{AgentKey, Timestamp};
use immune_store::{StorageError, VitalsStore};
use std::sync::Arc;

/// The most executions that a proof looks at.
const EXECUTIONS_MAX: u32 = 256;

/// Judges the executions of an agent that began at or after `since`. They are read from the store, where each is
/// before it is judged here, so that a sentinel that was restarted knows as much as one that was not.
///
/// # Errors
/// When the store cannot answer.
pub async fn judge_since(
    directory: &Directory,
    store: &dyn VitalsStore,
    key: &AgentKey,
    since: Timestamp,
    wanted: u32,
) -> Result<Finding, StorageError> {
    let limit = wanted.saturating_mul(4).clamp(16, EXECUTIONS_MAX);
    let vitals = store.recent(key, since, limit).await?;
    let (profile, policy) = directory.look(key, |agent, profile| {
        (profile.cloned(), agent.map(|agent| agent.policy.clone()))
    });
    let policy: Arc<Policy> = policy.unwrap_or_else(|| {
        let context = vitals.last().map(|latest| &latest.context);
        let agent_type = context.and_then(|context| context.agent_type.as_deref());
        directory.policy(key, agent_type, context.and_then(|context| context.namespace()))
    });
    let is_judged = |vitals: &&Vitals| match vitals.source {
        immune_domain::vitals::Source::Otlp => true,
        immune_domain::vitals::Source::Posted => policy.judge_posted_vitals,
    };
    let proofs: Vec<Proof> = vitals
        .iter()
        .filter(|vitals| vitals.began_at() >= since)
        .filter(is_judged)
        .map(|vitals| Proof {
            sample: Sample::of(vitals, profile.as_deref()),
            is_running: match vitals.completeness {
                Completeness::Running => true,
                Completeness::Complete | Completeness::Incomplete => false,
            },
            platform_infected: vitals.context.platform_infected.is_some(),
        })
        .collect();
    Ok(verify(&proofs, wanted, profile.as_deref(), &Rule::of(&policy)))
}
