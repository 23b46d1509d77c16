//! The table of a run.

use std::time::Duration;

/// One fault and what came of it.
pub struct Row {
    /// What went wrong.
    pub fault: String,
    /// How long until it was mended.
    pub lasted: Duration,
    /// From mending until every agent that had fallen ill was healed and free.
    pub recovered: Duration,
    /// Agents that fell ill.
    pub infected: usize,
    /// Requests of telemetry that were refused and sent again.
    pub refused: u64,
    /// Executions accepted meanwhile.
    pub accepted: u64,
}

/// Prints the rows as a table of Markdown.
pub fn print(rows: &[Row]) {
    println!(
        "\n| fault | lasted | then recovered in | infected, healed | requests sent again | executions accepted |"
    );
    println!("|---|---|---|---|---|---|");
    for row in rows {
        println!(
            "| {} | {:.1} s | {:.1} s | {} | {} | {} |",
            row.fault,
            row.lasted.as_secs_f64(),
            row.recovered.as_secs_f64(),
            row.infected,
            row.refused,
            row.accepted
        );
    }
}
