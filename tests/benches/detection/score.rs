//! What was found in each stream, and which healthy executions were accused.

use super::streams::{Alarm, Row};
use std::collections::{BTreeMap, HashMap};

/// Executions that every detector may learn from first.
pub const WARM_UP: usize = 15;
/// A fault counts as found soon within this many of its executions.
pub const WITHIN: usize = 20;
/// Quiet executions after which an alarm is a new one; and executions after a fault in which one is no mistake yet.
const GRACE: usize = 10;
/// Alarms closer than this are one event, seconds.
const MERGED_SECONDS: f64 = 300.0;
/// The longest gap that counts as time in which an agent was watched, seconds.
const GAP_SECONDS_MAX: f64 = 600.0;
/// From here on a case waits for a person.
const SEVERE_FROM: f64 = 7.0;

/// One fault.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is called.
    pub kind: String,
    /// Its executions.
    pub executions: usize,
    /// The first of them that was in alarm, from 1, and seconds from the onset to the alarm.
    pub detected: Option<(usize, f64)>,
    /// Whether an alarm began within the first [`WITHIN`].
    pub is_fresh: bool,
    /// The worst severity within them.
    pub severity: Option<f64>,
    /// The commonest diagnosis within them.
    pub diagnosis: Option<String>,
}

impl Found {
    /// Whether it was in alarm within its first [`WITHIN`] executions.
    pub fn is_soon(&self) -> bool {
        self.detected.is_some_and(|(delay, _)| delay <= WITHIN)
    }
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where it is from.
    pub family: String,
    /// Healthy executions after the warm-up and before any fault; those in alarm; those of them with a severity of 7
    /// or more; events, and alarms begun, among them.
    pub healthy: usize,
    pub accused: usize,
    pub accused_severely: usize,
    pub events: usize,
    pub starts: usize,
    /// Executions after a fault, and those in alarm.
    pub after: usize,
    pub accused_after: usize,
    /// Days of the healthy part.
    pub days: f64,
    /// The faults.
    pub faults: Vec<Found>,
}

/// Scores every stream.
pub fn score(streams: &[(String, Vec<Row>)], alarms: &HashMap<String, Vec<Alarm>>) -> Vec<Record> {
    streams
        .iter()
        .map(|(name, rows)| score_one(name, rows, alarms.get(name).map_or(&[][..], Vec::as_slice)))
        .collect()
}

fn score_one(name: &str, rows: &[Row], alarms: &[Alarm]) -> Record {
    // An alarm belongs to the latest execution at or before it.
    let mut hits: BTreeMap<usize, Vec<&Alarm>> = BTreeMap::new();
    for alarm in alarms {
        if let Some(i) = rows.partition_point(|row| row.t <= alarm.t).checked_sub(1) {
            hits.entry(i).or_default().push(alarm);
        }
    }
    let starts = starts(&hits);
    let faults = faults(rows);
    let onset = faults.first().map_or(rows.len(), |(first, _)| *first);
    let healthy = WARM_UP..onset.max(WARM_UP);
    let is_after = |i: &usize| {
        let in_grace = faults
            .iter()
            .any(|(_, last)| (last + 1..=last + GRACE).contains(i));
        *i > onset && rows[*i].label == 0 && !in_grace
    };
    let after: Vec<usize> = (0..rows.len()).filter(is_after).collect();
    let accused = || hits.range(healthy.clone());
    let (mut events, mut last) = (0, None);
    for (_, of_execution) in accused() {
        events += usize::from(last.is_none_or(|last| of_execution[0].t - last > MERGED_SECONDS));
        last = of_execution.last().map(|alarm| alarm.t);
    }
    let gap = |i: usize| (rows[i].t - rows[i - 1].t).min(GAP_SECONDS_MAX);
    Record {
        family: name.split(':').next().unwrap_or_default().to_owned(),
        healthy: healthy.len(),
        accused: accused().count(),
        accused_severely: accused()
            .filter(|(_, hit)| worst(hit) >= Some(SEVERE_FROM))
            .count(),
        events,
        starts: starts.iter().filter(|i| healthy.contains(i)).count(),
        accused_after: after.iter().filter(|i| hits.contains_key(i)).count(),
        after: after.len(),
        days: healthy.clone().filter(|i| *i > 0).map(gap).sum::<f64>() / 86_400.0,
        faults: faults
            .into_iter()
            .filter(|(first, _)| *first >= WARM_UP)
            .map(|(first, last)| found(rows, (first, last), &hits, &starts))
            .collect(),
    }
}

/// Executions with which an alarm begins.
fn starts(hits: &BTreeMap<usize, Vec<&Alarm>>) -> Vec<usize> {
    let mut before = None;
    let begins = |i: &usize| {
        let begins = before.is_none_or(|before| i - before > GRACE);
        before = Some(*i);
        begins
    };
    hits.keys().copied().filter(begins).collect()
}

/// First and last execution of each fault.
fn faults(rows: &[Row]) -> Vec<(usize, usize)> {
    let mut faults: Vec<(usize, usize)> = Vec::new();
    for (i, _) in rows.iter().enumerate().filter(|(_, row)| row.label == 1) {
        match faults.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            Some(_) | None => faults.push((i, i)),
        }
    }
    faults
}

fn found(
    rows: &[Row],
    (first, last): (usize, usize),
    hits: &BTreeMap<usize, Vec<&Alarm>>,
    starts: &[usize],
) -> Found {
    let soon = first..(last + 1).min(first + WITHIN);
    let near: Vec<&Alarm> = hits
        .range(soon.clone())
        .flat_map(|(_, hit)| hit.iter().copied())
        .collect();
    let detected = hits.range(first..=last).next();
    Found {
        kind: rows[first].label_kind.clone(),
        executions: last - first + 1,
        detected: detected.map(|(i, hit)| (i - first + 1, hit[0].t - rows[first].t)),
        is_fresh: starts.iter().any(|i| soon.contains(i)),
        severity: worst(&near),
        diagnosis: commonest(&near),
    }
}

fn worst(alarms: &[&Alarm]) -> Option<f64> {
    alarms.iter().map(|alarm| alarm.severity).reduce(f64::max)
}

/// The commonest diagnosis; of equals, the one that came first.
fn commonest(alarms: &[&Alarm]) -> Option<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for alarm in alarms {
        match counts.iter_mut().find(|(name, _)| *name == alarm.diagnosis) {
            Some((_, count)) => *count += 1,
            None => counts.push((&alarm.diagnosis, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max()?;
    let first = counts.into_iter().find(|(_, count)| *count == most);
    first.map(|(name, _)| name.to_owned())
}
