//! Writes the output file. The file appears under its name only when it is complete.

use super::scorer::Failure;
use anyhow::anyhow;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Writes to `PATH.partial`, and renames that file to `path` once `write` has succeeded. If `path` is a symbolic link,
/// the target of the link is replaced, and the link stays. If `path` is a pipe or a device, writes to it directly.
pub fn write_atomically<T>(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failure = |error: io::Error| {
        Failure::Output(anyhow!(error).context(format!("cannot write {}", path.display())))
    };
    let existing = fs::metadata(path).ok();
    if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
        let mut file = OpenOptions::new().write(true).open(path).map_err(failure)?;
        return write(&mut file);
    }
    let target =
        if existing.is_some() { fs::canonicalize(path).map_err(failure)? } else { path.into() };
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = lock(&partial).map_err(failure)?;
    let written = write(&mut file).and_then(|done| {
        let permissions =
            existing.map_or(Ok(()), |existing| file.set_permissions(existing.permissions()));
        let renamed =
            permissions.and_then(|()| file.sync_all()).and_then(|()| fs::rename(&partial, &target));
        renamed.map_err(failure).map(|()| done)
    });
    if written.is_err() {
        // `written` already has the error to report. An error from the cleanup is ignored.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Creates or empties a file, and locks it. A file that a killed process left behind can be reused, because the
/// lock of that process ended with it.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let detail = format!("another process is writing {}", path.display());
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, detail));
            }
            // Some file systems do not support locks. The file is then used without a lock.
            Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Unsupported => {
                return Err(error);
            }
            _ => {}
        }
        // Between `open` and `try_lock`, a different process may have completed `file` and renamed it to its final
        // name. `path` is then a different file or does not exist, and `file` must not be truncated.
        let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        if fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| id(own) == id(now))) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}
