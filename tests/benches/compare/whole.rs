//! What people wait for: from a bad execution to the quarantine, and from a decision to its commit.

use super::table::{Row, Table};
use immune_tests::measure;
use immune_tests::wiring::Wiring;

/// The best that Prometheus with Alertmanager did on another machine of this kind (scrape and evaluation every second,
/// no group wait), from change to notification; milliseconds.
const PROMETHEUS_BEST: f64 = 1_070.0;

pub async fn alarms(rows: &mut Table) {
    eprintln!("from a bad span to the quarantine");
    let took = measure::detection(Wiring::OneProcess).await;
    rows.push(
        Row::new(
            "bad span received to quarantine requested, 2,000 executions/s, one process, p99",
            "ms",
            took.at(0.99),
        )
        .beside("p50", took.at(0.5))
        .at_most("a quarter of Prometheus' best", PROMETHEUS_BEST / 4.0),
    );
}

pub async fn approvals(rows: &mut Table) {
    eprintln!("approvals");
    for of in measure::approvals().await {
        // Of 32 clients the rate is asked, which is what their median says.
        let (paths, times): (&[(&'static str, f64)], f64) = match of.clients {
            1 => (
                &[
                    ("approval, 1 client, p50", 0.5),
                    ("approval, 1 client, p99", 0.99),
                ],
                3.0,
            ),
            32 => (&[("approval, 32 clients, p50", 0.5)], 2.0),
            _ => continue,
        };
        for (path, share) in paths {
            rows.push(
                Row::new(path, "ms", of.ours.at(*share))
                    .beside("pgbench", of.bare.at(*share))
                    .at_most_times(times, "pgbench"),
            );
        }
    }
}
