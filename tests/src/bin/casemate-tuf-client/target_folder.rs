//! Downloaded targets.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use casemate_protocol::tuf::file_name::quote;
use casemate_protocol::tuf::hashes;
use casemate_protocol::tuf::targets::TargetFile;

use crate::Failure;

/// Whether `content` is the target.
pub(crate) fn is_target(file: &TargetFile, content: &[u8]) -> bool {
    content.len() as u64 == file.length && hashes::check(&file.hashes, content).is_ok()
}

/// Whether the folder holds the target already.
pub(crate) fn has(folder: &Path, target: &str, file: &TargetFile) -> bool {
    fs::read(folder.join(quote(target, b""))).is_ok_and(|content| is_target(file, &content))
}

/// Writes a verified target, visibly later than every other one: the suite orders targets by modification time, and
/// two of our runs fit into one tick of a file system's clock.
pub(crate) fn put(folder: &Path, target: &str, content: &[u8]) -> Result<(), Failure> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        newest = newest.max(Some(entry?.metadata()?.modified()?));
    }
    let path = folder.join(quote(target, b""));
    fs::write(&path, content)?;
    let file = File::options().write(true).open(&path)?;
    let later = newest.map(|newest| newest + Duration::from_millis(10));
    if let Some(later) =
        later.filter(|later| file.metadata().and_then(|data| data.modified()).is_ok_and(|at| at < *later))
    {
        file.set_modified(later)?;
    }
    Ok(())
}
