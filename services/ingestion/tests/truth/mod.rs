//! The captures' ground truth, and how vitals are held against it.
//!
//! A test feeds the requests of a [`Scenario`] through whatever it tests (the assembler, the receiver), and hands
//! the vitals that stand at the end to [`Verdicts::judge`]. Where a framework does not send something,
//! [`Exception`] says so by name; an exception that is not needed fails the test like a mismatch without one.

#![allow(dead_code, reason = "each test uses its part of the truth")]

mod compare;
mod index;

pub use compare::{Field, compare};
pub use index::{File, Scenario, Signal, captures, scenarios};

use immune_domain::vitals::Vitals;
use std::collections::BTreeMap;

/// Something that a framework does not send. `capture` and `scenario` are names with `*`, or several parted by `|`.
pub struct Exception {
    /// Captures.
    pub capture: &'static str,
    /// Scenarios.
    pub scenario: &'static str,
    /// What cannot be right.
    pub field: Field,
    /// Why, with the section of otlp-agents.md.
    pub reason: &'static str,
}

impl Exception {
    fn covers(&self, scenario: &Scenario, field: Field) -> bool {
        self.field == field
            && fits(self.capture, &scenario.capture)
            && fits(self.scenario, &scenario.scenario)
    }
}

/// What came out over all scenarios.
#[derive(Default)]
pub struct Verdicts {
    scenarios: usize,
    executions: usize,
    right: BTreeMap<Field, usize>,
    declared: BTreeMap<Field, usize>,
    undeclared: Vec<String>,
    /// Scenarios that each exception covers, and those that needed it.
    covered: BTreeMap<usize, (usize, usize)>,
    unneeded: Vec<String>,
}

impl Verdicts {
    /// Holds the vitals of a scenario against its truth.
    pub fn judge(&mut self, scenario: &Scenario, vitals: &[Vitals], exceptions: &[Exception]) {
        self.scenarios += 1;
        self.executions += scenario.executions.len();
        for (field, mismatches) in compare(scenario, vitals) {
            let excused = exceptions
                .iter()
                .position(|exception| exception.covers(scenario, field));
            if let Some(index) = excused {
                let (covered, needed) = self.covered.entry(index).or_default();
                *covered += 1;
                *needed += usize::from(!mismatches.is_empty());
                if mismatches.is_empty() {
                    let name = format!("{}/{} {field:?}", scenario.capture, scenario.scenario);
                    self.unneeded
                        .push(format!("{name}: {}", exceptions[index].reason));
                }
            }
            match (mismatches.is_empty(), excused) {
                (true, _) => *self.right.entry(field).or_default() += 1,
                (false, Some(_)) => *self.declared.entry(field).or_default() += 1,
                (false, None) => {
                    let name = format!("{}/{} {field:?}", scenario.capture, scenario.scenario);
                    self.undeclared.push(format!("{name}: {}", mismatches.join("; ")));
                }
            }
        }
    }

    /// Prints the summary and fails on what is not declared and on what is declared in vain.
    pub fn finish(self, exceptions: &[Exception]) {
        println!("{} scenarios, {} executions", self.scenarios, self.executions);
        println!(
            "{:<14} {:>8} {:>8} {:>10}",
            "field", "right", "declared", "undeclared"
        );
        for field in Field::ALL {
            let wrong = self
                .undeclared
                .iter()
                .filter(|line| line.contains(&format!(" {field:?}: ")))
                .count();
            let count = |of: &BTreeMap<Field, usize>| of.get(&field).copied().unwrap_or(0);
            println!(
                "{:<14} {:>8} {:>8} {:>10}",
                format!("{field:?}"),
                count(&self.right),
                count(&self.declared),
                wrong
            );
        }
        println!("\nexceptions (needed by, of covered scenarios; 0/0: none of these captures)");
        for (index, exception) in exceptions.iter().enumerate() {
            let (covered, needed) = self.covered.get(&index).copied().unwrap_or_default();
            let Exception {
                capture,
                scenario,
                field,
                reason,
            } = exception;
            println!("{needed:>3}/{covered:<3} {capture}/{scenario} {field:?}: {reason}");
        }
        assert!(
            self.undeclared.is_empty(),
            "not declared:\n{}",
            self.undeclared.join("\n")
        );
        assert!(
            self.unneeded.is_empty(),
            "declared, but right:\n{}",
            self.unneeded.join("\n")
        );
    }
}

/// Whether a name is of one of the forms, parted by `|`, in which `*` stands for anything.
fn fits(forms: &str, name: &str) -> bool {
    fn one(form: &str, name: &str) -> bool {
        match form.split_once('*') {
            None => form == name,
            Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
                (0..=left.len()).any(|at| left.is_char_boundary(at) && one(rest, &left[at..]))
            }),
        }
    }
    forms.split('|').any(|form| one(form.trim(), name))
}
