//! Room on a full disk: what was received for later goes first.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// A file of at most so many bytes is nothing that takes up room: transports remember things in such.
const SMALL: u64 = 64 * 1024;

/// Deletes what transports have received so far, whatever folder below `spool` it is in; says how many files that were.
/// Whoever was receiving finds nothing there, and begins anew.
///
/// # Errors
/// A folder cannot be read, or a file not be emptied.
pub(super) fn empty(spool: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(spool) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut emptied = 0;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            emptied += empty(&path)?;
        } else if kind.is_file() && entry.metadata().is_ok_and(|metadata| metadata.blocks() * 512 > SMALL) {
            // Somebody may have it open: its room is to be free all the same.
            let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
            OpenOptions::new().write(true).custom_flags(flags).open(&path)?.set_len(0)?;
            fs::remove_file(&path)?;
            emptied += 1;
        }
    }
    Ok(emptied)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_takes_up_room_goes_even_while_it_is_written_and_what_is_remembered_stays() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        assert_eq!(empty(&spool).unwrap(), 0, "there may be none");
        fs::create_dir_all(spool.join("mqtt/broker")).unwrap();
        fs::create_dir_all(spool.join("push")).unwrap();
        let content = vec![7; 1 << 20];
        fs::write(spool.join("mqtt/broker/had"), b"what was had").unwrap();
        fs::write(spool.join("mqtt/broker/bundle"), &content).unwrap();
        fs::write(folder.path().join("elsewhere"), &content).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), spool.join("push/link")).unwrap();
        let mut upload = fs::File::create(spool.join("push/upload")).unwrap();
        upload.write_all(&content).unwrap();
        assert_eq!(empty(&spool).unwrap(), 2);
        assert_eq!(upload.metadata().unwrap().len(), 0, "an open file without a name would keep its room");
        assert!(!spool.join("push/upload").exists() && !spool.join("mqtt/broker/bundle").exists());
        assert!(spool.join("mqtt/broker/had").exists());
        assert_eq!(fs::read(folder.path().join("elsewhere")).unwrap(), content, "no link is followed");
    }
}
