//! The file: made for its owner's eyes only, and served by one process at a time.

use crate::error::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long opening waits for a process that is about to end, and how often it looks.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_LOOKS: u32 = 40;

/// Holds the database for this process; the system lets go when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Makes sure that the file exists and that this process alone serves from it.
pub(crate) async fn claim(path: &Path) -> Result<Lock, OpenError> {
    let fails = |source| OpenError::File {
        path: path.to_owned(),
        source,
    };
    for look in 0..LOCK_LOOKS {
        let owned = path.to_owned();
        let attempt = tokio::task::spawn_blocking(move || try_claim(&owned)).await;
        match attempt.map_err(|join| fails(io::Error::other(join)))? {
            Ok(lock) => return Ok(lock),
            Err(TryLockError::Error(error)) => return Err(fails(error)),
            Err(TryLockError::WouldBlock) if look + 1 < LOCK_LOOKS => {
                tokio::time::sleep(LOCK_WAIT / LOCK_LOOKS).await;
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }
    Err(OpenError::InUse {
        path: path.to_owned(),
    })
}

fn try_claim(path: &Path) -> Result<Lock, TryLockError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(TryLockError::Error)?;
    }
    let file = open_private(&beside(path)).map_err(TryLockError::Error)?;
    file.try_lock()?;
    // SQLite gives its companion files the permissions of the database.
    open_private(path).map_err(TryLockError::Error)?;
    Ok(Lock { _file: file })
}

/// The lock file of a database.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Opens a file for reading and writing; a new one is made with permissions 0600.
fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
