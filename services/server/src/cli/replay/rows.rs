//! Recorded executions: JSON lines, plain or gzip, one row at a time. Whatever a file holds, no more than one line of
//! it is in memory.

use anyhow::{Context, bail};
use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line, bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// The most that one compressed file may hold, bytes: what claims to be more is not a recording.
pub const UNPACKED_BYTES_MAX: u64 = 64 << 30;
/// The longest name of a stream or an agent, bytes.
const NAME_BYTES_MAX: usize = 1_024;
/// The latest time, seconds: milliseconds since 1970, taken for seconds, lie beyond it.
const T_MAX: f64 = 1e11;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// One execution. Other fields of the line are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Row {
    /// Which recording of an agent it belongs to.
    pub stream: String,
    /// When it ended, seconds on the stream's clock.
    pub t: f64,
    /// Which agent, for policy; the stream's name where absent.
    pub agent_id: Option<String>,
    /// Wall time, milliseconds; null, as in what follows, where it was not measured.
    pub latency_ms: Option<f64>,
    /// Tokens.
    pub token_count: Option<f64>,
    /// Tool calls.
    pub tool_calls: Option<f64>,
    /// Retries.
    pub retries: Option<f64>,
    /// Whether it succeeded; null counts as success.
    pub success: Option<bool>,
    /// Kind of work.
    pub task: Option<String>,
}

/// The rows of a file.
pub struct Rows {
    path: PathBuf,
    lines: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    number: u64,
}

impl Rows {
    /// Opens a file; what begins like gzip is unpacked, whatever its name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        Self::open_at_most(path, UNPACKED_BYTES_MAX)
    }

    fn open_at_most(path: &Path, unpacked_bytes_max: u64) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be opened", path.display()))?;
        let mut packed = BufReader::with_capacity(1 << 16, file);
        let start = packed
            .fill_buf()
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let lines: Box<dyn BufRead + Send> = if start.starts_with(&GZIP) {
            let unpacked = Bounded {
                inner: MultiGzDecoder::new(packed),
                left: unpacked_bytes_max,
            };
            Box::new(BufReader::with_capacity(1 << 16, unpacked))
        } else {
            Box::new(packed)
        };
        Ok(Rows {
            path: path.to_owned(),
            lines,
            line: Vec::new(),
            number: 0,
        })
    }

    /// The next row; `None` after the last. Empty lines are passed over.
    ///
    /// # Errors
    /// When the file cannot be read on, or the line is no row: with file and line.
    pub fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            self.line.clear();
            self.number += 1;
            let most = LINE_BYTES_MAX as u64 + 1;
            let read = self.lines.by_ref().take(most).read_until(b'\n', &mut self.line);
            if read.with_context(|| self.place())? == 0 {
                return Ok(None);
            }
            if self.line.len() > LINE_BYTES_MAX {
                bail!("{}: longer than {LINE_BYTES_MAX} bytes", self.place());
            }
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let row: Row = serde_json::from_slice(&self.line).with_context(|| self.place())?;
            row.check().with_context(|| self.place())?;
            return Ok(Some(row));
        }
    }

    /// Where the last row stands: `FILE line N`.
    pub fn place(&self) -> String {
        format!("{} line {}", self.path.display(), self.number)
    }
}

impl Row {
    fn check(&self) -> anyhow::Result<()> {
        let names = [
            ("stream", Some(&self.stream)),
            ("agent_id", self.agent_id.as_ref()),
        ];
        for (field, name) in names {
            if let Some(name) = name.filter(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
                let bytes = name.len();
                bail!("{field} has {bytes} bytes: must have 1 to {NAME_BYTES_MAX}");
            }
        }
        if !(0.0..=T_MAX).contains(&self.t) {
            bail!("t = {}: must be seconds from 0 to {T_MAX:e}", self.t);
        }
        let numbers = [
            ("latency_ms", self.latency_ms, false),
            ("token_count", self.token_count, true),
            ("tool_calls", self.tool_calls, true),
            ("retries", self.retries, true),
        ];
        for (field, number, is_count) in numbers {
            let Some(number) = number else { continue };
            if number < 0.0 || !number.is_finite() {
                bail!("{field} = {number}: must be 0 or more, or null where it was not measured");
            }
            if is_count && number.fract() != 0.0 {
                bail!("{field} = {number}: must be a whole number");
            }
        }
        Ok(())
    }
}

/// A reader that fails when it has given as much as it may.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| std::io::Error::other("unpacked, the file is larger than it may be"))?;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
