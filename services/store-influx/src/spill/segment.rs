//! One file of the spill.

use super::frame;
use crate::op::Op;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const NAME: &[u8; 8] = b"IMMSPL01";
/// Bytes before the first frame.
pub(super) const HEADER: u64 = 8;
const SUFFIX: &str = ".spill";

/// A file and how many of its bytes count.
pub(super) struct Segment {
    pub(super) sequence: u64,
    pub(super) bytes: u64,
}

fn path(folder: &Path, sequence: u64) -> PathBuf {
    folder.join(format!("{sequence:020}{SUFFIX}"))
}

/// The segments in a folder, in no order.
pub(super) fn list(folder: &Path) -> io::Result<VecDeque<Segment>> {
    let mut segments = VecDeque::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let sequence = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
        if let Some(sequence) = sequence {
            segments.push_back(Segment {
                sequence,
                bytes: entry.metadata()?.len(),
            });
        }
    }
    Ok(segments)
}

/// A new file, which survives a crash together with its folder's entry.
pub(super) fn create(folder: &Path, sequence: u64) -> io::Result<(Segment, File)> {
    let mut file = File::options()
        .create_new(true)
        .append(true)
        .open(path(folder, sequence))?;
    file.write_all(NAME)?;
    file.sync_data()?;
    File::open(folder)?.sync_all()?;
    let bytes = HEADER;
    Ok((Segment { sequence, bytes }, file))
}

impl Segment {
    /// Appends frames; when that fails, the file is cut back to what it had.
    pub(super) fn append(&mut self, file: &mut File, frames: &[u8]) -> io::Result<()> {
        match file.write_all(frames) {
            Ok(()) => {
                self.bytes += frames.len() as u64;
                Ok(())
            }
            Err(e) => {
                // If this fails too, the checksum of the torn frame does.
                let _ = file.set_len(self.bytes);
                Err(e)
            }
        }
    }

    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        match fs::remove_file(path(folder, self.sequence)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn reader(&self, folder: &Path, from: u64) -> io::Result<Reader> {
        let mut file = File::open(path(folder, self.sequence))?;
        let mut name = [0; NAME.len()];
        let offset = match file.read_exact(&mut name) {
            Ok(()) if name == *NAME => file.seek(SeekFrom::Start(from))?,
            // Torn at its birth, or not ours: nothing in it can be read.
            Ok(()) | Err(_) => self.bytes,
        };
        Ok(Reader {
            file: BufReader::new(file),
            offset,
            end: self.bytes,
        })
    }
}

/// What comes next in a segment.
pub(super) enum Next {
    Frame(Vec<Op>),
    /// No whole frame is left; so many bytes are.
    End {
        damaged: u64,
    },
}

/// Reads a segment from some place on.
pub(super) struct Reader {
    file: BufReader<File>,
    offset: u64,
    end: u64,
}

impl Reader {
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn next(&mut self) -> io::Result<Next> {
        if self.offset < self.end
            && let Some((ops, bytes)) = frame::unpack(&mut self.file)?
        {
            self.offset += bytes;
            return Ok(Next::Frame(ops));
        }
        let damaged = self.end.saturating_sub(self.offset);
        self.offset = self.offset.max(self.end);
        Ok(Next::End { damaged })
    }
}
