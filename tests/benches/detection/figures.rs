//! Records in numbers.

use super::kinds::{is_creeping, is_hard, is_right, is_severe, is_soft};
use super::score::{Found, Record, WITHIN};
use std::collections::BTreeMap;

/// The figures of some streams; `None` where there is nothing to divide by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Figures {
    /// Faults.
    pub windows: usize,
    /// Healthy executions.
    pub healthy: usize,
    /// Share of faults in alarm within their first 20 executions, and by an alarm that began there.
    pub recall_n: Option<f64>,
    pub fresh_n: Option<f64>,
    /// The share that alarms at the detector's own rate of false ones would reach by luck.
    pub chance: Option<f64>,
    /// Share of faults ever in alarm.
    pub recall: Option<f64>,
    /// Executions from onset to alarm, of those found soon: median and ninth tenth; and seconds.
    pub delay: Option<f64>,
    pub delay_p90: Option<f64>,
    pub delay_s: Option<f64>,
    /// Per 1,000 healthy executions: those in alarm, and alarms begun.
    pub false_1k: Option<f64>,
    pub starts_1k: Option<f64>,
    /// Per 1,000 executions after a fault: those in alarm.
    pub after_1k: Option<f64>,
    /// Events per agent and day.
    pub events_day: Option<f64>,
    /// Events within faults among all events.
    pub precision: Option<f64>,
    /// Share of severe faults found that reach 7, and of false alarms.
    pub severe_ge7: Option<f64>,
    pub false_ge7: Option<f64>,
    /// Share of right diagnoses.
    pub diagnosis: Option<f64>,
}

impl Figures {
    /// Of all these streams.
    pub fn of(records: &[Record]) -> Self {
        Self::of_faults(records, |_| true)
    }

    /// Of the hard faults in these streams.
    pub fn of_hard(records: &[Record]) -> Self {
        Self::of_faults(records, is_hard)
    }

    /// Of the hard faults that creep, or of those that do not.
    pub fn of_creeping(records: &[Record], creeps: bool) -> Self {
        Self::of_faults(records, |kind| is_hard(kind) && is_creeping(kind) == creeps)
    }

    /// Of the soft changes.
    pub fn of_soft(records: &[Record]) -> Self {
        Self::of_faults(records, is_soft)
    }

    fn of_faults(records: &[Record], is_wanted: impl Fn(&str) -> bool) -> Self {
        let sum = |of: fn(&Record) -> usize| records.iter().map(of).sum::<usize>();
        let faults: Vec<(&Record, &Found)> = records
            .iter()
            .flat_map(|record| record.faults.iter().map(move |fault| (record, fault)))
            .filter(|(_, fault)| is_wanted(&fault.kind))
            .collect();
        let count = |is: &dyn Fn(&Found) -> bool| faults.iter().filter(|(_, fault)| is(fault)).count();
        let (healthy, accused, events) = (sum(|r| r.healthy), sum(|r| r.accused), sum(|r| r.events));
        let detected = count(&|fault| fault.detected.is_some());
        let soon: Vec<(usize, f64)> = faults
            .iter()
            .filter(|(_, fault)| fault.is_soon())
            .filter_map(|(_, fault)| fault.detected)
            .collect();
        let delays = || soon.iter().map(|(delay, _)| *delay as f64).collect();
        let days: f64 = records.iter().map(|record| record.days).sum();
        let sized = count(&|fault| is_severe(&fault.kind) && fault.severity.is_some());
        let named = |fault: &Found| is_right(&fault.kind, fault.diagnosis.as_deref()?);
        Figures {
            windows: faults.len(),
            healthy,
            recall_n: share(soon.len(), faults.len()),
            fresh_n: share(count(&|fault| fault.is_fresh), faults.len()),
            chance: chance(records, &faults),
            recall: share(detected, faults.len()),
            delay: quantile(delays(), 0.5),
            delay_p90: quantile(delays(), 0.9),
            delay_s: quantile(soon.iter().map(|(_, seconds)| *seconds).collect(), 0.5),
            false_1k: share(1_000 * accused, healthy),
            starts_1k: share(1_000 * sum(|r| r.starts), healthy),
            after_1k: share(1_000 * sum(|r| r.accused_after), sum(|r| r.after).max(1)),
            events_day: (days > 0.0).then(|| events as f64 / days),
            precision: share(detected, detected + events),
            severe_ge7: share(
                count(&|fault| {
                    is_severe(&fault.kind) && fault.severity.is_some_and(|severity| severity >= 7.0)
                }),
                sized,
            ),
            false_ge7: share(sum(|r| r.accused_severely), accused),
            diagnosis: share(
                count(&|fault| named(fault) == Some(true)),
                count(&|fault| named(fault).is_some()),
            ),
        }
    }
}

/// False alarms per 1,000, each family with equal weight, so that the largest does not decide.
pub fn false_1k_by_family(records: &[Record]) -> Option<f64> {
    let each: Vec<f64> = families(records)
        .into_iter()
        .filter_map(|family| Figures::of(&only(records, &family)).false_1k)
        .collect();
    (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
}

/// The families there are, by name.
pub fn families(records: &[Record]) -> Vec<String> {
    let mut families: Vec<String> = records.iter().map(|record| record.family.clone()).collect();
    families.sort();
    families.dedup();
    families
}

/// The records of one family.
pub fn only(records: &[Record], family: &str) -> Vec<Record> {
    records
        .iter()
        .filter(|record| record.family == family)
        .cloned()
        .collect()
}

/// The records of recorded agents.
pub fn real(records: &[Record]) -> Vec<Record> {
    records
        .iter()
        .filter(|record| record.family != "synth")
        .cloned()
        .collect()
}

fn chance(records: &[Record], faults: &[(&Record, &Found)]) -> Option<f64> {
    let mut rates: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for record in records {
        let (accused, healthy) = rates.entry(&record.family).or_default();
        *accused += record.accused;
        *healthy += record.healthy;
    }
    let luck = |(record, fault): &(&Record, &Found)| {
        let (accused, healthy) = rates[record.family.as_str()];
        let rate = accused as f64 / healthy.max(1) as f64;
        1.0 - (1.0 - rate).powi(fault.executions.min(WITHIN) as i32)
    };
    (!faults.is_empty()).then(|| faults.iter().map(luck).sum::<f64>() / faults.len() as f64)
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

pub(super) fn quantile(mut values: Vec<f64>, q: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some(values[last.min((q * values.len() as f64) as usize)])
}
