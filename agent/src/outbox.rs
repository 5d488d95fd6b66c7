//! The only place where bytes leave the appliance.
//!
//! What leaves is listed, shown and logged, and is nothing but receipts and health reports: signed statements of closed
//! schemas. Kept small enough to be audited by itself (R08).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use thiserror::Error;

/// Why a receipt did not leave.
#[derive(Debug, Error)]
#[error("cannot {action} {path}")]
pub struct OutboxError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Explain for OutboxError {
    fn code(&self) -> Code {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
            _ => Code::StateUnavailable,
        }
    }

    fn remedy(&self) -> String {
        "Check that the folder exists, is writable and has space; the receipt stays here until it is taken.".into()
    }
}

/// Something that may leave: an envelope the device signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// A receipt; never changes.
    Receipt {
        /// Its number.
        sequence: u64,
        /// As signed.
        envelope: Vec<u8>,
    },
    /// The health report of this moment; takes the place of the one before.
    Health {
        /// As signed.
        envelope: Vec<u8>,
    },
}

impl Release {
    /// The receipt's number, if it is one.
    #[must_use]
    pub fn receipt(&self) -> Option<u64> {
        match self {
            Self::Receipt { sequence, .. } => Some(*sequence),
            Self::Health { .. } => None,
        }
    }

    fn envelope(&self) -> &[u8] {
        match self {
            Self::Receipt { envelope, .. } | Self::Health { envelope } => envelope,
        }
    }

    fn file_name(&self, outbox: &str) -> String {
        match self {
            Self::Receipt { sequence, .. } => format!("{outbox}-receipt-{sequence:06}.json"),
            Self::Health { .. } => format!("{outbox}-health.json"),
        }
    }
}

/// The folder name an appliance's receipts travel under: the same each time, and saying nothing about who or where
/// the appliance is.
#[must_use]
pub fn folder_name(device: &Digest) -> String {
    let mut name = Digest::of(&[b"casemate-outbox-1".as_slice(), device.as_bytes()].concat()).to_string();
    name.truncate(16);
    name
}

/// Writes `releases` into `folder` and returns what was written. File names say the opaque `outbox` name and the
/// number, so that several appliances' receipts may lie in one folder. One that lies there already is not written
/// again.
///
/// # Durability
/// Files and folder are flushed when it returns: a stick may be pulled out then.
///
/// # Errors
/// The folder cannot be written.
pub fn release(folder: &Path, outbox: &str, releases: &[Release]) -> Result<Vec<PathBuf>, OutboxError> {
    let fail = |action, path: &Path| {
        let path = path.to_owned();
        move |source| OutboxError { action, path, source }
    };
    fs::create_dir_all(folder).map_err(fail("create", folder))?;
    let mut written = Vec::new();
    for release in releases {
        let path = folder.join(release.file_name(outbox));
        if fs::read(&path).is_ok_and(|there| there == release.envelope()) {
            continue;
        }
        let part = path.with_extension("part");
        let mut file = fs::File::create(&part).map_err(fail("create", &part))?;
        file.write_all(release.envelope()).and_then(|()| file.sync_all()).map_err(fail("write", &part))?;
        fs::rename(&part, &path).map_err(fail("write", &path))?;
        let digest = Digest::of(release.envelope());
        tracing::info!(receipt = release.receipt(), bytes = release.envelope().len(), %digest, "leaves the appliance");
        written.push(path);
    }
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fail("flush", folder))?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_listed_leaves_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out/a");
        let releases = [1, 2].map(|sequence| Release::Receipt { sequence, envelope: vec![b'x'; 10] });
        let names = ["a-receipt-000001.json", "a-receipt-000002.json"].map(|name| out.join(name));
        assert_eq!(release(&out, "a", &releases).unwrap(), names);
        assert_eq!(release(&out, "a", &releases).unwrap(), [] as [PathBuf; 0]);
        for envelope in [b"ok".to_vec(), b"stale".to_vec()] {
            assert_eq!(release(&out, "a", &[Release::Health { envelope }]).unwrap(), [out.join("a-health.json")]);
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    }

    #[test]
    fn the_folder_name_is_stable_and_says_nothing() {
        let (a, b) = (folder_name(&Digest::of(b"a")), folder_name(&Digest::of(b"b")));
        assert_eq!(a, folder_name(&Digest::of(b"a")));
        assert!(a != b && a.len() == 16 && !Digest::of(b"a").to_string().contains(&a));
    }
}
