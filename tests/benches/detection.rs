//! How well each detector finds sick agents, and how often it accuses healthy ones: `make bench-detection`. The whole set
//! of recordings is sent as OTLP through ingestion, baseline and sentinel, by the binary, in virtual time; where it is not there, the part in `tests/streams`.

#[path = "detection/mod.rs"]
mod detection;

use detection::oracle;
use detection::score::score;
use detection::streams::{read_alarms, read_streams};
use detection::table::table;
use detection::{files, replay, whole_set};
use std::path::Path;
use std::time::Instant;

fn main() {
    let part = Path::new(env!("CARGO_MANIFEST_DIR")).join("streams");
    let (what, folder) = match whole_set() {
        Some(folder) => ("the whole set", folder.join("streams")),
        None => (
            "the part in tests/streams (IMMUNE_DETECTION_DATA names the whole set)",
            part,
        ),
    };
    let files = files(&folder);
    let streams = read_streams(&files);
    let executions: usize = streams.iter().map(|(_, rows)| rows.len()).sum();
    println!("{what}: {} streams, {executions} executions\n", streams.len());
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    for detector in ["specified", "guarded"] {
        let out = directory.path().join(detector);
        let begun = Instant::now();
        if let Err(said) = replay(&files, &out, detector, &["--through", "otlp"]) {
            panic!("immune replay failed: {said}");
        }
        let seconds = begun.elapsed().as_secs_f64();
        let records = score(&streams, &read_alarms(&out));
        println!(
            "{}",
            table(&format!("{detector} (replayed in {seconds:.1} s)"), &records)
        );
    }
    println!("{}", oracle::told(&streams));
}
