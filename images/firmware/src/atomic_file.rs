//! Small files that are always whole: the old content or the new one.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Puts `content` in the place of the file at `path`.
///
/// # Durability
/// On disk when it returns; cut at any moment before, the old content stands.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(".new");
    let beside = folder.join(name);
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}
