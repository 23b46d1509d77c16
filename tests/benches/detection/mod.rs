//! The score of a detector, from what it wrote about recorded streams alone.
//!
//! [`streams`]: the recordings and the alarms. [`kinds`]: what the faults are called. [`score`]: per stream, what was
//! found and who was accused. [`figures`]: that in numbers. [`table`]: for people. [`oracle`]: how soon a creeping fault
//! could be found at all.

#![allow(dead_code, reason = "the test and the table look at different parts")]

pub mod figures;
pub mod kinds;
pub mod oracle;
pub mod score;
pub mod streams;
pub mod table;

use immune_tests::process::binary;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The recordings.
pub const FAMILIES: [&str; 4] = ["agentdojo", "tau2run", "prod", "synth"];

/// The files of a folder of recordings.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    FAMILIES
        .map(|family| folder.join(format!("{family}.jsonl.gz")))
        .to_vec()
}

/// The whole set of recordings and the program that scored it first. They lie beside the checkout, or where
/// `IMMUNE_DETECTION_DATA` points; they are not part of the project.
pub fn whole_set() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/detection");
    let folder = std::env::var_os("IMMUNE_DETECTION_DATA").map_or(beside, PathBuf::from);
    folder.join("streams/synth.jsonl.gz").is_file().then_some(folder)
}

/// `immune replay` of these files by this detector; more arguments may follow. Standard error on failure.
pub fn replay(files: &[PathBuf], out: &Path, detector: &str, more: &[&str]) -> Result<String, String> {
    let mut command = Command::new(binary());
    command.arg("replay").arg("--streams").args(files);
    command
        .arg("--detections")
        .arg(out)
        .args(["--detector", detector]);
    let output = command.args(more).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.success() {
        true => Ok(said),
        false => Err(said),
    }
}
