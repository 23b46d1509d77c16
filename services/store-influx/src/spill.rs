//! Records that wait on disk while InfluxDB is away: segment files that only grow, read in the order of writing, and
//! removed once all they hold is in InfluxDB.
//!
//! A segment begins with eight bytes of name; then frames: length and CRC-32 of the payload, four bytes each, low
//! byte first, and the payload, lines of JSON compressed with gzip. What a crash has torn off the end of a segment was
//! never acknowledged, and reading stops there. Reading a segment again after a crash is harmless, so its place is
//! not kept on disk.

mod frame;
mod segment;

use crate::op::Op;
use segment::Segment;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// A segment that has this many bytes is followed by a new one.
const SEGMENT_BYTES_MAX: u64 = 8 * 1_024 * 1_024;
const LOCK: &str = "lock";

/// Why a batch was not spilled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpillError {
    /// The folder has as much as it may have.
    #[error("the spill is full: {bytes} of {max} bytes")]
    Full {
        /// In the folder.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The disk failed, or is full.
    #[error("the spill cannot be written: {0}")]
    Disk(#[from] io::Error),
    /// A record cannot be encoded.
    #[error("a record cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

/// How far reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    sequence: u64,
    offset: u64,
}

/// Some operations of the spill, and where the next ones are.
pub(crate) struct Page {
    pub(crate) ops: Vec<Op>,
    pub(crate) next: Cursor,
    /// Bytes that could not be read and are passed over.
    pub(crate) damaged: u64,
}

/// The folder. One process has it at a time.
pub(crate) struct Spill {
    folder: PathBuf,
    bytes_max: u64,
    segments: VecDeque<Segment>,
    next_sequence: u64,
    /// The segment that is written, always the last one.
    active: Option<File>,
    cursor: Cursor,
    lock: File,
}

impl Spill {
    /// Opens the folder, with whatever an earlier process left in it.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(LOCK))?;
        lock.try_lock()
            .map_err(|e| io::Error::other(format!("another process uses {}: {e}", folder.display())))?;
        let mut segments = segment::list(folder)?;
        segments.make_contiguous().sort_by_key(|segment| segment.sequence);
        let next_sequence = segments.back().map_or(0, |last| last.sequence + 1);
        let mut spill = Spill {
            folder: folder.to_owned(),
            bytes_max,
            segments,
            next_sequence,
            active: None,
            cursor: Cursor {
                sequence: 0,
                offset: 0,
            },
            lock,
        };
        spill.cursor = spill.beginning();
        spill.release(spill.cursor)?;
        Ok(spill)
    }

    fn beginning(&self) -> Cursor {
        Cursor {
            sequence: self
                .segments
                .front()
                .map_or(self.next_sequence, |first| first.sequence),
            offset: segment::HEADER,
        }
    }

    /// Lets another process have the folder; nothing may be done with it afterwards.
    pub(crate) fn unlock(&self) {
        if let Err(e) = self.lock.unlock() {
            tracing::warn!(error = %e, "the spill folder stays locked until the process ends");
        }
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Bytes that are still to be read.
    pub(crate) fn bytes_left(&self) -> u64 {
        let offset = match self.segments.front() {
            Some(first) if first.sequence == self.cursor.sequence => self.cursor.offset.min(first.bytes),
            Some(_) | None => 0,
        };
        self.bytes() - offset
    }

    /// Whether everything has been read and released.
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Appends batches and waits until the disk has them. How many there was room for, in their order; an error when
    /// there was none for the first.
    pub(crate) fn append(&mut self, batches: &[&[Op]]) -> Result<usize, SpillError> {
        let (mut taken, mut stopped) = (0, None);
        for batch in batches {
            match self.append_one(batch) {
                Ok(()) => taken += 1,
                Err(e) => {
                    stopped = Some(e);
                    break;
                }
            }
        }
        if taken > 0 {
            self.sync()?;
        }
        match stopped {
            Some(e) if taken == 0 => Err(e),
            Some(_) | None => Ok(taken),
        }
    }

    fn append_one(&mut self, batch: &[Op]) -> Result<(), SpillError> {
        let frames = frame::pack(batch)?;
        let (bytes, max) = (self.bytes(), self.bytes_max);
        if bytes + segment::HEADER + frames.len() as u64 > max {
            return Err(SpillError::Full { bytes, max });
        }
        if self
            .segments
            .back()
            .is_some_and(|last| last.bytes >= SEGMENT_BYTES_MAX)
            && self.active.is_some()
        {
            self.sync()?;
            self.active = None;
        }
        if self.active.is_none() {
            let (segment, file) = segment::create(&self.folder, self.next_sequence)?;
            self.next_sequence += 1;
            if self.segments.is_empty() {
                self.cursor = Cursor {
                    sequence: segment.sequence,
                    offset: segment::HEADER,
                };
            }
            self.segments.push_back(segment);
            self.active = Some(file);
        }
        let (Some(last), Some(file)) = (self.segments.back_mut(), &mut self.active) else {
            return Err(SpillError::Disk(io::Error::other("no segment is open")));
        };
        if let Err(e) = last.append(file, &frames) {
            // Whatever follows goes to a segment of its own: reading stops at a torn frame.
            self.active = None;
            return Err(SpillError::Disk(e));
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match &self.active {
            Some(file) => file.sync_data(),
            None => Ok(()),
        }
    }

    /// The oldest operations that are not released, at most about `ops_max`; `None` when there are none.
    pub(crate) fn read(&self, ops_max: usize) -> io::Result<Option<Page>> {
        let mut page = Page {
            ops: Vec::new(),
            next: self.cursor,
            damaged: 0,
        };
        let unread = self
            .segments
            .iter()
            .skip_while(|segment| segment.sequence < self.cursor.sequence);
        for segment in unread {
            let from = match segment.sequence == self.cursor.sequence {
                true => self.cursor.offset,
                false => segment::HEADER,
            };
            let mut reader = segment.reader(&self.folder, from)?;
            while page.ops.len() < ops_max {
                match reader.next()? {
                    segment::Next::Frame(ops) => page.ops.extend(ops),
                    segment::Next::End { damaged } => {
                        page.damaged += damaged;
                        break;
                    }
                }
            }
            page.next = Cursor {
                sequence: segment.sequence,
                offset: reader.offset(),
            };
            if page.ops.len() >= ops_max {
                break;
            }
        }
        Ok((!page.ops.is_empty() || page.next != self.cursor).then_some(page))
    }

    /// Gives up everything before a place: it is in InfluxDB.
    pub(crate) fn release(&mut self, upto: Cursor) -> io::Result<()> {
        self.cursor = upto;
        while let Some(first) = self.segments.front() {
            let is_read = first.sequence < upto.sequence
                || (first.sequence == upto.sequence && upto.offset >= first.bytes);
            if !is_read {
                break;
            }
            if self.segments.len() == 1 {
                self.active = None;
            }
            first.remove(&self.folder)?;
            self.segments.pop_front();
        }
        if self
            .segments
            .front()
            .is_some_and(|first| first.sequence != upto.sequence)
            || self.segments.is_empty()
        {
            self.cursor = self.beginning();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
