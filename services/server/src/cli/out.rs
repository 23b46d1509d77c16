//! Standard output. A reader that has seen enough (`immune get log | head`) is no failure.

use std::io::{self, ErrorKind, Write};

/// Writes text and a line end.
///
/// # Errors
/// When standard output cannot be written, other than because nobody reads it any more.
pub fn line(text: &str) -> io::Result<()> {
    raw(format!("{text}\n").as_bytes())
}

/// Writes bytes as they are.
///
/// # Errors
/// As [`line`].
pub fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
