//! `immune replay` of recorded agents by the real binary: how well each detector does, and that it does so every time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

#[path = "../benches/detection/mod.rs"]
mod detection;

use detection::figures::{Figures, false_1k_by_family, families, only, real};
use detection::score::{Record, score};
use detection::streams::{read_alarms, read_streams};
use detection::{FAMILIES, files, replay, whole_set};
use immune_tests::process::binary;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The recordings that are part of the project.
fn part() -> Vec<PathBuf> {
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("streams"))
}

fn records_of(files: &[PathBuf], detector: &str) -> Vec<Record> {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("alarms.jsonl");
    replay(files, &out, detector, &[]).unwrap();
    score(&read_streams(files), &read_alarms(&out))
}

fn at_least(what: &str, figure: Option<f64>, bound: f64) {
    let figure = figure.unwrap_or_else(|| panic!("{what} cannot be said"));
    println!("{what}: {figure:.3}, at least {bound}");
    assert!(figure >= bound, "{what} is {figure:.3}: must be at least {bound}");
}

fn at_most(what: &str, figure: Option<f64>, bound: f64) {
    let figure = figure.unwrap_or_else(|| panic!("{what} cannot be said"));
    println!("{what}: {figure:.3}, at most {bound}");
    assert!(figure <= bound, "{what} is {figure:.3}: must be at most {bound}");
}

/// Scenario: 54 recorded streams under the guarded detector.
/// Guarantees: no figure is worse than its bound, which lies less than one fault, or one execution in alarm, beside what
/// was measured when it was set. The whole set decides what the detector is worth; this part shows that it has changed.
#[test]
fn the_guarded_detector_is_as_good_as_it_was() {
    let records = records_of(&part(), "guarded");
    let (all, hard) = (Figures::of(&records), Figures::of_hard(&records));
    assert_eq!((all.windows, all.healthy), (40, 6_062));
    at_least(
        "recall@20 of real hard faults",
        Figures::of_hard(&real(&records)).recall_n,
        0.72,
    );
    at_least(
        "recall@20 of synthetic faults",
        Figures::of(&only(&records, "synth")).recall_n,
        0.99,
    );
    at_least(
        "recall@20 of soft changes",
        Figures::of_soft(&records).recall_n,
        0.46,
    );
    at_most("chance", hard.chance, 0.024);
    at_most(
        "false/1k with equal weight per family",
        false_1k_by_family(&records),
        0.72,
    );
    at_most("starts/1k", all.starts_1k, 0.67);
    at_most("after/1k", all.after_1k, 0.1);
    at_least("precision", all.precision, 0.88);
    at_most("delay in the median", hard.delay, 4.0);
    at_most("delay at the 90th percentile", hard.delay_p90, 13.0);
    at_least("right diagnoses of hard faults", hard.diagnosis, 0.94);
    at_least("severe faults that reach 7", hard.severe_ge7, 0.38);
    let severe = all
        .false_1k
        .zip(all.false_ge7)
        .map(|(per_1k, share)| per_1k * share);
    at_most("false alarms of severity 7 per 1,000", severe, 0.34);
}

/// Scenario: the same streams under the specified rule.
/// Guarantees: what it finds and whom it accuses stays as it is: the rule is a contract.
#[test]
fn the_specified_rule_is_as_it_was() {
    let records = records_of(&part(), "specified");
    let (all, hard) = (Figures::of(&records), Figures::of_hard(&records));
    at_least("recall@20 of hard faults", hard.recall_n, 0.95);
    at_least("false/1k", all.false_1k, 158.0);
    at_most("false/1k", all.false_1k, 158.1);
    at_most("after/1k", all.after_1k, 86.5);
    at_least("right diagnoses of hard faults", hard.diagnosis, 0.59);
}

/// Scenario: the same recordings as records, and as OTLP spans that ingestion reads.
/// Guarantees: the same executions are in alarm, with the same severities and diagnoses: nothing is lost or added on the way.
#[test]
fn spans_and_records_are_judged_alike() {
    let directory = tempfile::tempdir().unwrap();
    let lines = |through: &str| {
        let out = directory.path().join(through);
        replay(&part(), &out, "guarded", &["--through", through]).unwrap();
        std::fs::read_to_string(out).unwrap()
    };
    let records = lines("records");
    assert!(records.lines().count() > 100);
    assert_eq!(records, lines("otlp"));
}

/// Scenario: the streams replayed twice, and once in the other order; then only where alarms begin.
/// Guarantees: the same input gives the same bytes; streams do not touch each other; fewer lines where only beginnings
/// are asked for, each of them among all lines.
#[test]
fn a_replay_is_repeatable() {
    let directory = tempfile::tempdir().unwrap();
    let lines = |name: &str, files: &[PathBuf], more: &[&str]| {
        let out = directory.path().join(name);
        let said = replay(files, &out, "guarded", more).unwrap();
        assert!(said.contains("54 streams, 9470 executions"), "{said}");
        let text = std::fs::read_to_string(out).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let mut each = lines("first", &part(), &[]);
    assert_eq!(each, lines("again", &part(), &[]));
    let mut reversed = part();
    reversed.reverse();
    let mut other = lines("reversed", &reversed, &[]);
    each.sort();
    other.sort();
    assert_eq!(each, other);
    let begun = lines("begun", &part(), &["--alarms", "first"]);
    assert!(
        !begun.is_empty() && begun.len() * 2 < each.len(),
        "{} of {}",
        begun.len(),
        each.len()
    );
    assert!(begun.iter().all(|line| each.contains(line)));
}

/// Scenario: the whole set of recordings, by both detectors, scored here and by the program that is kept with the set.
/// Guarantees: every figure of every group is the same.
#[test]
fn the_score_equals_the_reference() {
    let Some(folder) = whole_set() else {
        return skip("no recordings beside the checkout; set IMMUNE_DETECTION_DATA");
    };
    let files = files(&folder.join("streams"));
    let directory = tempfile::tempdir().unwrap();
    for detector in ["specified", "guarded"] {
        let out = directory.path().join(detector);
        replay(&files, &out, detector, &[]).unwrap();
        let reference = Command::new("python3")
            .arg(folder.join("evaluate.py"))
            .args(&files)
            .args([out.as_os_str(), "--json".as_ref()])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output();
        let Ok(reference) = reference else {
            return skip("no python3");
        };
        assert!(reference.status.success(), "{reference:?}");
        let reference: Value = serde_json::from_slice(&reference.stdout).unwrap();
        let records = score(&read_streams(&files), &read_alarms(&out));
        assert_eq!(families(&records).len(), FAMILIES.len());
        compare(detector, "all", &Figures::of(&records), &reference["all"]);
        compare(
            detector,
            "hard faults",
            &Figures::of_hard(&records),
            &reference["hard faults"],
        );
        compare(
            detector,
            "soft changes",
            &Figures::of_soft(&records),
            &reference["soft changes"],
        );
        for family in FAMILIES {
            compare(
                detector,
                family,
                &Figures::of(&only(&records, family)),
                &reference[family],
            );
        }
        equal(
            detector,
            "macro",
            false_1k_by_family(&records),
            &reference["all"]["false_1k_macro"],
        );
    }
}

fn compare(detector: &str, group: &str, f: &Figures, reference: &Value) {
    let counts = [("windows", f.windows), ("healthy", f.healthy)];
    let counts = counts.map(|(name, count)| (name, Some(count as f64)));
    let figures = [
        ("recall_n", f.recall_n),
        ("fresh_n", f.fresh_n),
        ("starts_1k", f.starts_1k),
        ("chance", f.chance),
        ("recall", f.recall),
        ("delay", f.delay),
        ("delay_p90", f.delay_p90),
        ("delay_s", f.delay_s),
        ("false_1k", f.false_1k),
        ("after_1k", f.after_1k),
        ("events_day", f.events_day),
        ("precision", f.precision),
        ("severe_ge7", f.severe_ge7),
        ("false_ge7", f.false_ge7),
        ("diagnosis", f.diagnosis),
    ];
    for (name, figure) in counts.into_iter().chain(figures) {
        equal(&format!("{detector}, {group}"), name, figure, &reference[name]);
    }
}

fn equal(of: &str, name: &str, figure: Option<f64>, reference: &Value) {
    let is_equal = match (figure, reference.as_f64()) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1.0),
        (None, None) => reference.is_null(),
        (Some(_), None) | (None, Some(_)) => false,
    };
    assert!(
        is_equal,
        "{name} of {of}: {figure:?}, the reference says {reference}"
    );
}

/// Says loudly that a test was skipped; in CI that is a failure.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped: {why}");
    eprintln!("\n==== SKIPPED: {why} ====\n");
}

fn refused(arguments: &[&str], directory: &Path) -> (Output, String) {
    let output = Command::new(binary())
        .arg("replay")
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

/// Scenario: a row that is none after one that is; a file that is not there; a policy with a mistake; a policy that is
/// well, as a part of a server's configuration.
/// Guarantees: the exit status and the words say what and where, nothing is left that could be taken for a result, and the
/// policy is followed.
#[test]
fn mistakes_are_told_and_leave_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(
        path.join("rows.jsonl"),
        "{\"stream\":\"s\",\"t\":1}\n{\"stream\":\"s\",\"t\":0.5}\n",
    )
    .unwrap();
    let (output, said) = refused(&["--streams", "rows.jsonl", "--detections", "out.jsonl"], path);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("rows.jsonl line 2") && said.contains("t = 0.5 lies before 1"),
        "{said}"
    );
    let left: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    assert_eq!(left, ["rows.jsonl"]);

    let (output, said) = refused(&["--streams", "absent.jsonl", "--detections", "out.jsonl"], path);
    assert!(
        output.status.code() == Some(1) && said.contains("absent.jsonl cannot be opened"),
        "{said}"
    );

    std::fs::write(path.join("policy.yaml"), "defaults: { threshold_stddev: -1 }").unwrap();
    let wrong = [
        "--streams",
        "rows.jsonl",
        "--detections",
        "out.jsonl",
        "--policy",
        "policy.yaml",
    ];
    let (output, said) = refused(&wrong, path);
    assert!(
        output.status.code() == Some(2) && said.contains("threshold_stddev = -1"),
        "{said}"
    );

    std::fs::write(
        path.join("whole.yaml"),
        "policy: { defaults: { threshold_stddev: 100 } }",
    )
    .unwrap();
    let out = path.join("out.jsonl");
    let policy = path.join("whole.yaml");
    let said = replay(
        &part(),
        &out,
        "specified",
        &["--policy", policy.to_str().unwrap()],
    )
    .unwrap();
    let usual = replay(&part(), &out, "specified", &[]).unwrap();
    let begun = |said: &str| -> u64 {
        let before = said.split(" alarms begun").next().unwrap();
        before.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(begun(&said) < begun(&usual), "{said} {usual}");
}
