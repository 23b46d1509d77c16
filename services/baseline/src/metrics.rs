//! What the baseline role counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges, named `immune_baseline_...`.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Executions learned.
    pub learned: Counter,
    /// Executions that the sentinel said must not teach.
    pub withheld: Counter,
    /// Executions taken back because they were corrected or withdrawn.
    pub forgotten: Counter,
    /// New versions of agents that began a baseline of their own.
    pub versions: Counter,
    /// Executions whose verdict did not come in time; they taught nothing.
    pub unjudged: Counter,
    /// Executions with no credible metric.
    pub incredible: Counter,
    /// Records that came again and did not teach again.
    pub repeated: Counter,
    /// Corrections and withdrawals of executions whose first lesson is not remembered here, and stays.
    pub unreplaced: Counter,
    /// Partitions that another replica took over before the bus said so.
    pub overtaken: Counter,
    /// Executions of new agents beyond the limit of agents.
    pub refused: Counter,
    /// Profiles written.
    pub stored: Counter,
    /// Writes that failed and are tried again.
    pub store_failures: Counter,
    /// Partitions held here.
    pub partitions: Gauge,
    /// Agents that have a profile and are held here.
    pub agents: Gauge,
    /// Those of them that have been at another level for long, counted once a minute.
    pub suspect: Gauge,
    /// Executions that wait for a verdict, or are remembered.
    pub waiting: Gauge,
}

impl Metrics {
    /// Metrics that the registry knows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Metrics::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("immune_baseline_{name}"), help, counter.clone());
        };
        counter("executions_learned", "Executions learned", &metrics.learned);
        counter(
            "executions_withheld",
            "Executions that must not teach",
            &metrics.withheld,
        );
        counter(
            "executions_forgotten",
            "Executions taken back after a correction",
            &metrics.forgotten,
        );
        counter(
            "versions",
            "New versions of agents that began a baseline of their own",
            &metrics.versions,
        );
        counter(
            "executions_unjudged",
            "Executions whose verdict did not come in time",
            &metrics.unjudged,
        );
        counter(
            "executions_incredible",
            "Executions with no credible metric",
            &metrics.incredible,
        );
        counter(
            "executions_refused",
            "Executions of agents beyond the limit",
            &metrics.refused,
        );
        counter(
            "executions_repeated",
            "Records that came again and did not teach again",
            &metrics.repeated,
        );
        counter(
            "executions_unreplaced",
            "Corrections and withdrawals whose first lesson is not remembered and stays",
            &metrics.unreplaced,
        );
        counter(
            "partitions_overtaken",
            "Partitions that another replica took over before the bus said so",
            &metrics.overtaken,
        );
        counter("profiles_stored", "Profiles written", &metrics.stored);
        counter(
            "store_failures",
            "Writes that failed and are tried again",
            &metrics.store_failures,
        );
        registry.register(
            "immune_baseline_agents",
            "Agents that have a profile and are held here",
            metrics.agents.clone(),
        );
        registry.register(
            "immune_baseline_agents_suspect",
            "Agents held here that have been at another level for long; a person should say which is right",
            metrics.suspect.clone(),
        );
        registry.register(
            "immune_baseline_partitions",
            "Partitions held here",
            metrics.partitions.clone(),
        );
        registry.register(
            "immune_baseline_executions_waiting",
            "Executions that wait for a verdict or are remembered",
            metrics.waiting.clone(),
        );
        metrics
    }
}
