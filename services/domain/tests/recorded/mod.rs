//! The shared recordings of real agents. They lie beside the checkout (`../shared/detection`, or where
//! `IMMUNE_DETECTION_DATA` points). A test without them says so and passes; with `CI` set it fails.

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Rows by their stream.
pub fn by_stream<T>(rows: Vec<T>, stream: impl Fn(&T) -> String) -> BTreeMap<String, Vec<T>> {
    let mut streams: BTreeMap<String, Vec<T>> = BTreeMap::new();
    rows.into_iter()
        .for_each(|row| streams.entry(stream(&row)).or_default().push(row));
    streams
}

/// The rows of a compressed file of JSON lines.
pub fn read<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines
        .map(|line| serde_json::from_str(&line.expect("a readable file")).expect("JSON of the expected form"))
        .collect()
}

/// Where the data is, if it is there.
pub fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/detection");
    let directory = std::env::var_os("IMMUNE_DETECTION_DATA").map_or(beside, PathBuf::from);
    if directory.join("vectors.jsonl.gz").is_file() {
        return Some(directory);
    }
    let message = format!(
        "SKIPPED: no detection vectors in {}; set IMMUNE_DETECTION_DATA",
        directory.display()
    );
    assert!(std::env::var_os("CI").is_none(), "{message}");
    eprintln!("\n==== {message} ====\n");
    None
}
