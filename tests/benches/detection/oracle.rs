//! How soon a creeping fault can be found at all: by somebody who knows beforehand what no detector does.
//!
//! Latency of a creeping fault grows from nothing by the same step with every execution. The best test for that, where
//! onset, mean and spread are known, weighs the n-th execution by n (a matched filter; Turin 1960, IRE Transactions on
//! Information Theory 6:3).

use super::figures::quantile;
use super::kinds::is_creeping;
use super::streams::Row;

/// As sure as the guarded detector has to be.
const SURE: f64 = immune_domain::detection::guarded::ALARM as f64;
/// Spreads beyond which a single execution counts no more: recorded agents have lone outliers.
const DRAWN_IN: f64 = 3.0;

/// One sentence about all creeping faults of these streams.
pub fn told(streams: &[(String, Vec<Row>)]) -> String {
    let delays: Vec<f64> = streams.iter().filter_map(|(_, rows)| delay(rows)).collect();
    let at = |q| quantile(delays.clone(), q).map_or_else(|| "-".to_owned(), |delay| format!("{delay:.0}"));
    format!(
        "creeping faults: {}; whoever knew onset, slope, mean and spread beforehand would need {} executions in the median \
         and {} at the 90th percentile to be as sure",
        delays.len(),
        at(0.5),
        at(0.9)
    )
}

/// Executions until it is sure.
fn delay(rows: &[Row]) -> Option<f64> {
    let onset = rows
        .iter()
        .position(|row| row.label > 0 && is_creeping(&row.label_kind))?;
    let logs = |rows: &[Row]| {
        rows.iter()
            .filter_map(|row| Some(row.latency_ms?.ln()))
            .collect::<Vec<f64>>()
    };
    let (before, after) = (logs(&rows[..onset]), logs(&rows[onset..]));
    let mean = before.iter().sum::<f64>() / before.len() as f64;
    let variance = before.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / before.len() as f64;
    let (mut sum, mut squares) = (0.0, 0.0);
    for (step, log) in (1_u32..).zip(after) {
        let weight = f64::from(step);
        sum += weight * ((log - mean) / variance.sqrt()).clamp(-DRAWN_IN, DRAWN_IN);
        squares += weight * weight;
        if sum / squares.sqrt() > SURE {
            return Some(weight);
        }
    }
    None
}
