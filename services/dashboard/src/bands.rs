//! Where an agent's averages are normal: around its mean, as wide as policy says.

use crate::app::App;
use crate::problems::{Answer, stored};
use crate::view::agent::Band;
use immune_domain::baseline::Profile;
use immune_domain::policy::LivePolicies;
use immune_domain::vitals::Metric;
use immune_domain::{AgentId, AgentKey, RunId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a band is shown before it is asked for again: baselines move slowly.
const FRESH: Duration = Duration::from_secs(10);
/// Bands that are kept at most.
const KEPT_MAX: usize = 20_000;

/// Lowest and highest normal latency, milliseconds; `None` before anything was learned.
pub(crate) type LatencyBand = Option<[f64; 2]>;

/// The bands of latency that somebody looked at a moment ago.
pub(crate) struct Bands {
    policies: LivePolicies,
    kept: Mutex<HashMap<AgentKey, (Instant, LatencyBand)>>,
}

impl Bands {
    pub fn new(policies: LivePolicies) -> Self {
        Bands {
            policies,
            kept: Mutex::default(),
        }
    }

    /// Deviation above which an average of this agent is an anomaly, standard deviations.
    pub fn threshold(&self, key: &AgentKey, agent_type: Option<&str>, namespace: Option<&str>) -> f64 {
        self.policies
            .resolve(&key.run, &key.agent, agent_type, namespace)
            .threshold_stddev
    }

    /// The bands of some agents; those that nobody knows are left out.
    pub async fn of(
        &self,
        app: &App,
        run: &RunId,
        agents: &[AgentId],
    ) -> Answer<HashMap<AgentId, LatencyBand>> {
        let now = Instant::now();
        let mut known = HashMap::new();
        let mut missing = Vec::new();
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for agent in agents {
                let key = AgentKey {
                    run: run.clone(),
                    agent: agent.clone(),
                };
                match kept.get(&key) {
                    Some((at, band)) if now.duration_since(*at) < FRESH => {
                        known.insert(key.agent, *band);
                    }
                    Some(_) | None => missing.push(key.agent),
                }
            }
        }
        if missing.is_empty() {
            return Ok(known);
        }
        let (profiles, summaries) = tokio::join!(
            app.roles.profiles(run, &missing),
            app.vitals.summaries(run, &missing)
        );
        let profiles: HashMap<AgentKey, Profile> = profiles?
            .into_iter()
            .map(|profile| (profile.key.clone(), profile))
            .collect();
        let found = summaries.map_err(stored)?.into_iter().map(|summary| {
            let context = &summary.latest.context;
            let threshold = self.threshold(&summary.key, context.agent_type.as_deref(), context.namespace());
            let band = profiles
                .get(&summary.key)
                .and_then(|profile| latency(profile, threshold));
            (summary.key, band)
        });
        let found: Vec<(AgentKey, LatencyBand)> = found.collect();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + found.len() > KEPT_MAX {
            kept.retain(|_, (at, _)| now.duration_since(*at) < FRESH);
        }
        for (key, band) in found {
            known.insert(key.agent.clone(), band);
            if kept.len() < KEPT_MAX {
                kept.insert(key, (now, band));
            }
        }
        Ok(known)
    }
}

fn latency(profile: &Profile, threshold: f64) -> LatencyBand {
    let bands = all(profile, threshold);
    let latency = bands
        .into_iter()
        .find(|band| band.metric == Metric::Latency.as_str())?;
    Some([latency.low, latency.high])
}

/// Where averages are normal, per metric that was measured.
pub(crate) fn all(profile: &Profile, threshold: f64) -> Vec<Band> {
    let measured = Metric::ALL
        .into_iter()
        .filter(|metric| profile.moments(*metric).count > 0);
    let of = |metric: Metric| {
        let moments = profile.moments(metric);
        let width = threshold * moments.stddev;
        Band {
            metric: metric.as_str(),
            samples: moments.count,
            mean: moments.mean,
            stddev: moments.stddev,
            low: (moments.mean - width).max(0.0),
            high: moments.mean + width,
        }
    };
    measured.map(of).collect()
}
