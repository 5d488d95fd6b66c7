//! The only place where bytes leave the appliance.
//!
//! What leaves is listed, shown and logged. By itself the agent sends nothing but receipts and health reports: signed
//! statements of closed schemas. Who asks with a certificate is answered what his kind may read. Kept small enough to be
//! audited by itself (R08).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::certificate_name::CertificateName;
use casemate_protocol::digest::Digest;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use thiserror::Error;
use tracing::field::display;

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
        "Nothing is lost, receipts wait until they are taken: mount the stick so that the agent's user may write to it, or \
         use `casemate-agent receipts export` with a folder that can be written.".into()
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

/// Lets `release` out over the network: its envelope, to be sent to a peer of the boundary as it is.
#[must_use]
pub fn let_out(release: Release) -> Vec<u8> {
    tell(&release);
    match release {
        Release::Receipt { envelope, .. } | Release::Health { envelope } => envelope,
    }
}

/// Lets the answer of `route` out to whoever showed the certificate `to`. `body` is all of it; a file or a stream of
/// events, which come piece by piece, are let out as they begin, by their `length` if they have one.
pub fn answer(route: &str, to: &CertificateName, length: Option<u64>, body: Option<&[u8]>) {
    let (role, peer, digest) = (to.kind, &to.id, body.map(Digest::of).map(display));
    tracing::info!(route, %role, %peer, bytes = length, digest, "an answer leaves the appliance");
}

fn tell(release: &Release) {
    let envelope = release.envelope();
    tracing::info!(receipt = release.receipt(), bytes = envelope.len(), digest = %Digest::of(envelope), "leaves the appliance");
}

/// The folder name an appliance's receipts travel under: the same each time, and saying nothing about who or where
/// the appliance is.
#[must_use]
pub fn folder_name(device: &Digest) -> String {
    let mut name = Digest::of(&[b"casemate-outbox-1".as_slice(), device.as_bytes()].concat()).to_string();
    name.truncate(16);
    name
}

/// Writes `releases` into the folder `below` names, component by component, under `base`, and returns what was
/// written. File names say the opaque `outbox` name and the number, so that several appliances' receipts may lie in
/// one folder. One that lies there already is not written again.
///
/// Nothing below `base` is followed if it is a link: whoever prepared a stick would choose which of the appliance's own
/// files a receipt overwrites.
///
/// # Durability
/// Files and folder are flushed when it returns: a stick may be pulled out then.
///
/// # Errors
/// The folder cannot be written, or is a link.
pub fn release(base: &Path, below: &[&str], outbox: &str, releases: &[Release]) -> Result<Vec<PathBuf>, OutboxError> {
    let path = below.iter().fold(base.to_owned(), |path, name| path.join(name));
    let fail = |action, path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| OutboxError { action, path, source }
    };
    let folder = open_folder(base, below).map_err(fail("create", &path))?;
    let mut written = Vec::new();
    for release in releases {
        let name = release.file_name(outbox);
        let path = path.join(&name);
        if holds(&folder, &name, release.envelope()).unwrap_or(false) {
            continue;
        }
        put(&folder, &name, release.envelope()).map_err(fail("write", &path))?;
        tell(release);
        written.push(path);
    }
    folder.sync_all().map_err(fail("flush", &path))?;
    Ok(written)
}

/// The folder, made where it is not there; only `base` itself may be reached through links.
fn open_folder(base: &Path, below: &[&str]) -> io::Result<File> {
    fs::create_dir_all(base)?;
    let mut folder = File::open(base)?;
    for name in below {
        match mkdirat(&folder, *name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
        folder = open_at(&folder, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
    }
    Ok(folder)
}

fn open_at(folder: &File, name: &str, flags: OFlag) -> io::Result<File> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(openat(folder, name, flags, Mode::from_bits_truncate(0o644))?.into())
}

/// Whether the file `name` is there with exactly this content. At most that much of it is read.
fn holds(folder: &File, name: &str, content: &[u8]) -> io::Result<bool> {
    let file = open_at(folder, name, OFlag::O_RDONLY)?;
    let metadata = file.metadata()?;
    let mut there = Vec::new();
    Ok(metadata.is_file()
        && metadata.len() == content.len() as u64
        && file.take(metadata.len()).read_to_end(&mut there)? == content.len()
        && there == content)
}

fn put(folder: &File, name: &str, content: &[u8]) -> io::Result<()> {
    let part = format!("{name}.part");
    match unlinkat(folder, part.as_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut file = open_at(folder, &part, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(renameat(folder, part.as_str(), folder, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_listed_leaves_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let (base, out) = (folder.path(), folder.path().join("out/a"));
        let releases = [1, 2].map(|sequence| Release::Receipt { sequence, envelope: vec![b'x'; 10] });
        let names = ["a-receipt-000001.json", "a-receipt-000002.json"].map(|name| out.join(name));
        assert_eq!(release(base, &["out", "a"], "a", &releases).unwrap(), names);
        assert_eq!(release(base, &["out", "a"], "a", &releases).unwrap(), [] as [PathBuf; 0]);
        for envelope in [b"ok".to_vec(), b"stale".to_vec()] {
            assert_eq!(
                release(base, &["out", "a"], "a", &[Release::Health { envelope }]).unwrap(),
                [out.join("a-health.json")]
            );
        }
        assert_eq!(fs::read_dir(&out).unwrap().count(), 3);
    }

    #[test]
    fn a_prepared_stick_cannot_point_a_receipt_at_a_file_of_the_appliance() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let (stick, key) = (folder.path().join("stick"), folder.path().join("receipts.p8"));
        let out = stick.join("out/a");
        fs::create_dir_all(&out).unwrap();
        fs::write(&key, b"private").unwrap();
        for name in ["a-receipt-000001.json.part", "a-receipt-000001.part", "a-receipt-000001.json"] {
            symlink(&key, out.join(name)).unwrap();
        }
        nix::unistd::mkfifo(&out.join("a-receipt-000002.json"), Mode::S_IRWXU).unwrap();
        let releases = [1, 2].map(|sequence| Release::Receipt { sequence, envelope: vec![b'x'; 10] });
        release(&stick, &["out", "a"], "a", &releases).unwrap();
        assert_eq!(fs::read(&key).unwrap(), b"private");
        assert!(fs::symlink_metadata(out.join("a-receipt-000001.json")).unwrap().is_file());
        for link in ["out/b", "elsewhere"] {
            symlink(folder.path(), stick.join(link)).unwrap();
        }
        assert!(release(&stick, &["out", "b"], "b", &releases).is_err());
        assert!(release(&stick, &["elsewhere", "c"], "c", &releases).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn the_folder_name_is_stable_and_says_nothing() {
        let (a, b) = (folder_name(&Digest::of(b"a")), folder_name(&Digest::of(b"b")));
        assert_eq!(a, folder_name(&Digest::of(b"a")));
        assert!(a != b && a.len() == 16 && !Digest::of(b"a").to_string().contains(&a));
    }
}
