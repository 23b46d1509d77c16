//! The figures as a table.

use super::figures::{Figures, false_1k_by_family, families, only, real};
use super::score::Record;

/// The figures of a detector.
pub fn table(title: &str, records: &[Record]) -> String {
    let mut lines = vec![
        title.to_owned(),
        format!(
            "{:<18} {:>6} {:>7}  {:>15} {:>6} {:>6} {:>8} {:>6} {:>9} {:>8} {:>6} {:>9}  {:>14}",
            "",
            "faults",
            "healthy",
            "recall@20 (luck)",
            "delay",
            "/90th",
            "false/1k",
            "starts",
            "after/1k",
            "precise",
            "named",
            "severe>=7",
            "false>=7 of 1k"
        ),
    ];
    let mut line = |name: &str, figures: &Figures| lines.push(row(name, figures));
    line("all", &Figures::of(records));
    line("hard faults", &Figures::of_hard(records));
    line("  of real agents", &Figures::of_hard(&real(records)));
    line("  synthetic", &Figures::of_hard(&only(records, "synth")));
    line("  not creeping", &Figures::of_creeping(records, false));
    line("  creeping", &Figures::of_creeping(records, true));
    line("soft changes", &Figures::of_soft(records));
    for family in families(records) {
        line(&family, &Figures::of(&only(records, &family)));
    }
    let equal = number(false_1k_by_family(records), 2);
    lines.push(format!("false/1k with equal weight per family: {equal}\n"));
    lines.join("\n")
}

fn row(name: &str, f: &Figures) -> String {
    let severe_1k = f.false_ge7.zip(f.false_1k).map(|(share, per_1k)| share * per_1k);
    format!(
        "{name:<18} {:>6} {:>7}  {:>9} ({}) {:>6} {:>6} {:>8} {:>6} {:>9} {:>8} {:>6} {:>9}  {:>14}",
        f.windows,
        f.healthy,
        number(f.recall_n, 2),
        number(f.chance, 2),
        number(f.delay, 0),
        number(f.delay_p90, 0),
        number(f.false_1k, 2),
        number(f.starts_1k, 2),
        number(f.after_1k, 1),
        number(f.precision, 2),
        number(f.diagnosis, 2),
        number(f.severe_ge7, 2),
        number(severe_1k, 2),
    )
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
