//! The fleet of a run in numbers.

use crate::app::App;
use crate::fleet;
use crate::healings::{self, Tally};
use crate::problems::{Answer, stored};
use crate::roles::CaseQuery;
use immune_domain::RunId;
use immune_domain::case::Case;
use immune_store::PAGE_MAX;
use immune_store::client_records::RecordKind;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// The fleet of a run in numbers; what client-deployed systems posted is counted in, and told apart in `posted`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stats {
    /// Agents ever seen or registered.
    pub total_agents: u64,
    /// Executions on record.
    pub total_executions: u64,
    /// Seconds since this server started.
    pub runtime: f64,
    /// Agents whose baseline may judge.
    pub baselines_learned: u64,
    /// Infections ever.
    pub total_infections: u64,
    /// Agents that are infected now, quarantined ones included.
    pub current_infected: u64,
    /// Healings that succeeded.
    pub total_healed: u64,
    /// Healings that failed.
    pub failed_healings: u64,
    /// Quarantines ever.
    pub total_quarantines: u64,
    /// Agents that are to be contained now.
    pub current_quarantined: u64,
    /// Share of healings that succeeded, 0 to 1.
    pub success_rate: f64,
    /// Outcomes that immune memory is made of.
    pub immune_records: u64,
    /// Diagnoses that some action has helped against.
    pub learned_patterns: u64,
    /// Cases that wait for a person.
    pub pending_approvals: u64,
    /// Of the numbers above, what client-deployed systems posted.
    pub posted: Posted,
}

/// What client-deployed systems posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Posted {
    /// Infections.
    pub infections: u64,
    /// Quarantines entered, of the latest 10,000 records.
    pub quarantines: u64,
    /// Healings.
    pub healings: u64,
    /// Agents with a baseline.
    pub baselines: u64,
}

/// Collects the numbers of a run.
pub(crate) async fn collect(app: &App, run: &RunId) -> Answer<Stats> {
    let open = CaseQuery {
        open: Some(true),
        limit: PAGE_MAX,
        ..CaseQuery::default()
    };
    let (agents, executions, ready, totals, open, tally, memories) = tokio::join!(
        fleet::count(app, run),
        app.vitals.total_executions(run),
        baselines(app, run),
        app.roles.case_totals(run),
        app.roles.cases(run, open),
        healings::tally(app, run),
        app.roles.memories(run, None, "", PAGE_MAX),
    );
    let (totals, open, tally, memories) = (totals?, open?, tally?, memories?);
    let patterns = healings::patterns(app, run, &memories).await?;
    let posted = posted(app, run).await?;
    let now = now(app, run, &open).await?;
    let Tally {
        total: _,
        succeeded,
        failed,
    } = tally;
    let remembered: u64 = memories
        .iter()
        .map(|memory| u64::from(memory.successes) + u64::from(memory.failures))
        .sum();
    Ok(Stats {
        total_agents: agents?,
        total_executions: executions.map_err(stored)?,
        runtime: app.runtime_seconds(),
        baselines_learned: ready?,
        total_infections: totals.opened + posted.infections,
        current_infected: now.infected,
        total_healed: succeeded,
        failed_healings: failed,
        total_quarantines: totals.quarantined + posted.quarantines,
        current_quarantined: now.quarantined.len() as u64,
        success_rate: tally.rate(),
        immune_records: remembered + posted.healings,
        learned_patterns: patterns.len() as u64,
        pending_approvals: crate::approvals::with_decision(app, run, crate::approvals::PENDING)
            .await?
            .len() as u64,
        posted,
    })
}

/// Agents that are ill or contained now.
pub(crate) struct Now {
    pub infected: u64,
    /// Sorted.
    pub quarantined: Vec<String>,
}

/// Who is ill or contained now, by open cases and by clients' records.
pub(crate) async fn now(app: &App, run: &RunId, open: &[Case]) -> Answer<Now> {
    let mut held = fleet::held_by_clients(app, run).await?;
    for case in open {
        // A native case is the truth where there is one.
        held.remove(&case.key.agent);
    }
    let infected = open.len() + held.len();
    let contained = open
        .iter()
        .filter(|case| case.quarantine.phase.is_in_force())
        .map(|case| case.key.agent.to_string());
    let mut quarantined: Vec<String> = contained.chain(held.iter().map(ToString::to_string)).collect();
    quarantined.sort();
    Ok(Now {
        infected: infected as u64,
        quarantined,
    })
}

/// Agents that have a baseline, learned here or posted; who has both is counted once.
pub(crate) async fn baselines(app: &App, run: &RunId) -> Answer<u64> {
    let (ready, posted) = tokio::join!(
        app.roles.profiles_ready(run),
        app.client_records.count_agents(run, RecordKind::Baseline)
    );
    let (ready, posted) = (ready?, posted.map_err(stored)?);
    if ready == 0 || posted == 0 {
        return Ok(ready + posted);
    }
    let with_posted = app
        .client_records
        .latest_per_agent(run, RecordKind::Baseline, PAGE_MAX)
        .await;
    let mut both = 0;
    for record in with_posted.map_err(stored)? {
        both += u64::from(
            app.roles
                .profile(&record.key)
                .await?
                .is_some_and(|profile| profile.state.is_ready()),
        );
    }
    Ok((ready + posted).saturating_sub(both))
}

pub(crate) async fn posted(app: &App, run: &RunId) -> Answer<Posted> {
    let (infections, quarantines, healings, baselines) = tokio::join!(
        app.client_records.count(run, RecordKind::Infection),
        app.client_records
            .list(run, None, RecordKind::Quarantine, PAGE_MAX),
        app.client_records.count(run, RecordKind::Healing),
        app.client_records.count_agents(run, RecordKind::Baseline),
    );
    let quarantines = quarantines.map_err(stored)?;
    let entered = quarantines
        .iter()
        .filter(|r| r.body.get("action").and_then(Value::as_str) == Some("enter"));
    Ok(Posted {
        infections: infections.map_err(stored)?,
        quarantines: entered.count() as u64,
        healings: healings.map_err(stored)?,
        baselines: baselines.map_err(stored)?,
    })
}
