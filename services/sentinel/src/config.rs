//! Options of the sentinel role.

use serde::{Deserialize, Serialize};

/// How the sentinel judges and reports. Thresholds and the window's length are policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Time between two looks at every agent that has a window, milliseconds, default 1,000: the average of a window
    /// also changes when executions leave it.
    pub tick_interval_ms: u64,
    /// Agents in memory, default 1,000,000. Beyond it the one that was seen about longest ago leaves; its profile
    /// and its records stay.
    pub agents_max: usize,
    /// Growth of severity from which on an open case is told again, default 0.5.
    pub severity_growth_min: f64,
    /// Reports that may wait to be sent, default 10,000. Beyond it an agent's report is drafted again a second later.
    pub reports_waiting_max: usize,
    /// Reports that are being sent at the same time, default 16.
    pub reports_in_flight_max: usize,
    /// Time until a report that was not answered is sent again, milliseconds, default 10,000.
    pub report_timeout_ms: u64,
    /// How long the records of a gained partition wait for a baseline to tell its profiles and quarantine its open
    /// cases, milliseconds, default 10,000. Beyond it they are judged by what is known, so that the platforms' own
    /// word gets through; none of an agent without a known profile teaches then.
    pub settling_ms_max: u64,
    /// Verdicts kept for a baseline that connects late or again, default 16,384.
    pub verdicts_kept: usize,
    /// Many agents that depart at once.
    pub fleet: crate::fleet::Config,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            tick_interval_ms: 1_000,
            agents_max: 1_000_000,
            severity_growth_min: 0.5,
            reports_waiting_max: 10_000,
            reports_in_flight_max: 16,
            report_timeout_ms: 10_000,
            settling_ms_max: 10_000,
            verdicts_kept: 16_384,
            fleet: crate::fleet::Config::default(),
        }
    }
}

impl Config {
    /// Adds what is wrong to `mistakes`, each with its path.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        if !(0.01..=10.0).contains(&self.severity_growth_min) {
            let value = self.severity_growth_min;
            mistakes.push(format!(
                "{path}.severity_growth_min = {value}: must be between 0.01 and 10"
            ));
        }
        let mut within = |name: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                mistakes.push(format!(
                    "{path}.{name} = {value}: must be between {low} and {high}"
                ));
            }
        };
        within("tick_interval_ms", self.tick_interval_ms, 10, 60_000);
        within("agents_max", self.agents_max as u64, 64, 100_000_000);
        within(
            "reports_waiting_max",
            self.reports_waiting_max as u64,
            1,
            1_000_000,
        );
        within(
            "reports_in_flight_max",
            self.reports_in_flight_max as u64,
            1,
            1_024,
        );
        within("report_timeout_ms", self.report_timeout_ms, 100, 300_000);
        within("settling_ms_max", self.settling_ms_max, 10, 300_000);
        within("verdicts_kept", self.verdicts_kept as u64, 1, 1_000_000);
        self.fleet.check(&format!("{path}.fleet"), mistakes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: the defaults are valid, and every mistake is named with its path and value.
    #[test]
    fn mistakes_are_named() {
        let mut mistakes = Vec::new();
        Config::default().check("sentinel", &mut mistakes);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        let config = Config {
            severity_growth_min: f64::NAN,
            verdicts_kept: 0,
            ..Config::default()
        };
        config.check("sentinel", &mut mistakes);
        assert_eq!(mistakes.len(), 2);
        assert_eq!(
            mistakes[1],
            "sentinel.verdicts_kept = 0: must be between 1 and 1000000"
        );
    }
}
