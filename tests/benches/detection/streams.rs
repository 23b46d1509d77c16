//! Recorded streams with their labels, and alarms.

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// One execution, as far as a score needs it.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    stream: String,
    /// Seconds.
    pub t: f64,
    /// 1 in a fault.
    pub label: u8,
    /// Which.
    pub label_kind: String,
    /// Wall time, milliseconds.
    pub latency_ms: Option<f64>,
}

/// One line of a detector's output.
#[derive(Debug, Clone, Deserialize)]
pub struct Alarm {
    stream: String,
    /// Seconds.
    pub t: f64,
    /// 0 to 10.
    pub severity: f64,
    /// Its name for it.
    pub diagnosis: String,
}

/// Streams in the order of the files.
pub fn read_streams(files: &[PathBuf]) -> Vec<(String, Vec<Row>)> {
    let mut streams: Vec<(String, Vec<Row>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in files.iter().flat_map(|file| read::<Row>(file)) {
        let place = *places.entry(row.stream.clone()).or_insert_with(|| {
            streams.push((row.stream.clone(), Vec::new()));
            streams.len() - 1
        });
        streams[place].1.push(row);
    }
    streams
}

/// Alarms by stream, in the order of time.
pub fn read_alarms(file: &Path) -> HashMap<String, Vec<Alarm>> {
    let mut alarms: HashMap<String, Vec<Alarm>> = HashMap::new();
    for alarm in read::<Alarm>(file) {
        alarms.entry(alarm.stream.clone()).or_default().push(alarm);
    }
    for of_stream in alarms.values_mut() {
        of_stream.sort_by(|a, b| a.t.total_cmp(&b.t));
    }
    alarms
}

fn read<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let is_packed = path.extension().is_some_and(|extension| extension == "gz");
    let plain: Box<dyn Read> = match is_packed {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    };
    let parse = |(number, line): (usize, std::io::Result<String>)| {
        let place = || format!("{} line {}", path.display(), number + 1);
        let line = line.unwrap_or_else(|error| panic!("{}: {error}", place()));
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}", place()))
    };
    BufReader::new(plain).lines().enumerate().map(parse).collect()
}
