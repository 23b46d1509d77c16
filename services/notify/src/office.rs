//! What all couriers share.

use crate::Dependencies;
use crate::config::Config;
use crate::metrics::{Metrics, TargetLabels};
use crate::news::is_waiting;
use immune_domain::case::Case;
use immune_domain::healing::{Plan, Round, plan};
use immune_domain::policy::LivePolicies;
use immune_runtime::clock::SharedClock;
use immune_store::cases::CaseFilter;
use immune_store::error::Result;
use immune_store::{CaseStore, HealingStore, NotificationStore};
use std::sync::Arc;
use uuid::Uuid;

/// Open cases that are told again and again, at most.
const OPEN_MAX: usize = 5_000;
/// Cases read at a time.
const PAGE: u32 = 500;

/// What all couriers share.
pub(crate) struct Office {
    pub config: Config,
    /// Name under which this process holds targets.
    pub worker: String,
    pub notifications: Arc<dyn NotificationStore>,
    pub cases: Arc<dyn CaseStore>,
    healings: Arc<dyn HealingStore>,
    policies: LivePolicies,
    pub clock: SharedClock,
    pub metrics: Metrics,
}

impl Office {
    pub fn new(config: Config, dependencies: Dependencies) -> Self {
        let worker = match config.replica.as_str() {
            "" => format!("notify-{}", Uuid::new_v4().simple()),
            name => name.to_owned(),
        };
        Office {
            config,
            worker,
            notifications: dependencies.notifications,
            cases: dependencies.cases,
            healings: dependencies.healings,
            policies: dependencies.policies,
            clock: dependencies.clock,
            metrics: dependencies.metrics,
        }
    }

    /// What would be done for a case that waits for a person; an addition, left out when the store does not say.
    pub async fn plan(&self, case: &Case) -> Option<Plan> {
        if !is_waiting(&case.state) {
            return None;
        }
        let diagnosis = case.diagnosis();
        let memories = self.healings.memories(&case.key, diagnosis).await.ok()?;
        let (agent_type, namespace) = (case.agent_type.as_deref(), case.namespace.as_deref());
        let policy = self
            .policies
            .resolve(&case.key.run, &case.key.agent, agent_type, namespace);
        Some(plan(policy.ladder(diagnosis), &memories, Round::of(case)))
    }

    /// Open cases of all runs, newest first, up to a limit.
    pub async fn open_cases(&self) -> Result<Vec<Case>> {
        let mut open: Vec<Case> = Vec::new();
        let mut filter = CaseFilter {
            open: Some(true),
            limit: PAGE,
            ..CaseFilter::default()
        };
        while open.len() < OPEN_MAX {
            let page = self.cases.list(&filter).await?;
            let is_last = page.len() < PAGE as usize;
            filter.before = page.last().map(|case| (case.opened_at, case.id.clone()));
            open.extend(page);
            if is_last {
                break;
            }
        }
        Ok(open)
    }

    /// Counts what waits.
    pub async fn count(&self) {
        let Ok(targets) = self.notifications.targets().await else {
            return;
        };
        let now = self.clock.now();
        for target in targets {
            if !self
                .config
                .targets
                .iter()
                .any(|configured| configured.name == target.name)
            {
                continue;
            }
            let labels = TargetLabels { target: target.name };
            let lag = target
                .oldest_waiting_at
                .map_or(0.0, |at| now.since(at).as_secs_f64());
            self.metrics
                .waiting
                .get_or_create(&labels)
                .set(target.waiting as i64);
            self.metrics.dead.get_or_create(&labels).set(target.dead as i64);
            self.metrics.lag.get_or_create(&labels).set(lag);
        }
    }
}
