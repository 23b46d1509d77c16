//! The file of alarms: whole or not there, so that what is left of a replay that failed is not taken for a result.

use anyhow::Context;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Where alarms are written.
pub struct Output {
    writer: BufWriter<Box<dyn Write + Send>>,
    /// The file under its name until it is whole, and its own name; `None` where it is written as it comes.
    renaming: Option<(PathBuf, PathBuf)>,
}

impl Output {
    /// Begins a file, or takes standard output for `-`. What exists and is no ordinary file (a pipe, a device) is
    /// written as it comes.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Output::of(Box::new(std::io::stdout()), None));
        }
        let is_special = path.metadata().is_ok_and(|found| !found.is_file());
        if is_special {
            let file = File::options().write(true).open(path);
            let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
            return Ok(Output::of(Box::new(file), None));
        }
        let mut unfinished = OsString::from(path);
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let file = File::create(&unfinished);
        let file = file.with_context(|| format!("{} cannot be made", unfinished.display()))?;
        Ok(Output::of(Box::new(file), Some((unfinished, path.to_owned()))))
    }

    fn of(writer: Box<dyn Write + Send>, renaming: Option<(PathBuf, PathBuf)>) -> Self {
        Output {
            writer: BufWriter::new(writer),
            renaming,
        }
    }

    /// Nothing more comes: the file gets its name.
    ///
    /// # Errors
    /// When it cannot be written to its end.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.flush().context("the alarms cannot be written")?;
        if let Some((unfinished, path)) = self.renaming.take() {
            std::fs::rename(&unfinished, &path)
                .with_context(|| format!("{} cannot be made", path.display()))?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some((unfinished, _)) = self.renaming.take() {
            // It failed already; that the rest of it stays is the smaller harm.
            let _ = std::fs::remove_file(unfinished);
        }
    }
}
