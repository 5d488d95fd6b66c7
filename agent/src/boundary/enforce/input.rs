//! What the agent hands over, taken once: whatever becomes of the file afterwards, the copy is what is judged.
//!
//! The agent may be in the hands of an attacker, and its folder with it. So nothing there is trusted to be what it was
//! a moment ago, and no name is followed anywhere else.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use casemate_protocol::code::{Code, Explain};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;
use thiserror::Error;

use super::error::EnforceError;

/// The agent's folder for the enforcer, in its state folder.
pub(super) const FOLDER: &str = "boundary";

/// Why a file that was handed over is not read.
#[derive(Debug, Error)]
pub enum InputError {
    /// A link on the way, or no permission.
    #[error("cannot open {name}")]
    Open {
        /// The file's name.
        name: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A pipe, a device, a folder, a file of somebody else or one with a second name.
    #[error("{name} is no plain file of the agent's alone")]
    Kind {
        /// The file's name.
        name: &'static str,
    },
    /// Longer than anything of its kind.
    #[error("{name} has more than {limit} bytes")]
    Length {
        /// The file's name.
        name: &'static str,
        /// Most that is read.
        limit: u64,
    },
}

impl Explain for InputError {
    fn code(&self) -> Code {
        match self {
            Self::Open { .. } | Self::Kind { .. } => Code::InputUnreadable,
            Self::Length { .. } => Code::TooLarge,
        }
    }
}

/// The agent's state folder, held open.
#[derive(Debug)]
pub struct Handover {
    folder: OwnedFd,
    owner: u32,
}

impl Handover {
    /// Opens the state folder at `path`, which root's configuration names; none if there is none yet.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Option<Self>, EnforceError> {
        let fail = |source| EnforceError::File { action: "open", path: path.into(), source };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match nix::fcntl::open(path, flags, Mode::empty()) {
            Err(nix::Error::ENOENT) => Ok(None),
            Err(error) => Err(fail(error.into())),
            Ok(folder) => {
                let owner = nix::sys::stat::fstat(&folder).map_err(|error| fail(error.into()))?.st_uid;
                Ok(Some(Self { folder, owner }))
            }
        }
    }

    /// The agent's user: whoever owns its state. Only root can give a folder away.
    #[must_use]
    pub fn owner(&self) -> u32 {
        self.owner
    }

    /// A copy of the file `name`, at most `limit` bytes; none if nothing is handed over under that name.
    ///
    /// # Errors
    /// A link on the way, no plain file of the agent's with one name, or too long.
    pub fn take(&self, name: &'static str, limit: u64) -> Result<Option<Vec<u8>>, InputError> {
        let refuse = |source: std::io::Error| InputError::Open { name, source };
        // Not blocking: a pipe in its place must hold nobody up.
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_BENEATH,
            );
        let file = match openat2(&self.folder, format!("{FOLDER}/{name}").as_str(), how) {
            Err(nix::Error::ENOENT) => return Ok(None),
            Err(error) => return Err(refuse(error.into())),
            Ok(file) => File::from(file),
        };
        let metadata = file.metadata().map_err(refuse)?;
        // A second name may be one that somebody else opened for writing, or a file the agent could not read itself.
        if !metadata.is_file() || metadata.uid() != self.owner || metadata.nlink() != 1 {
            return Err(InputError::Kind { name });
        }
        let mut copy = Vec::new();
        file.take(limit + 1).read_to_end(&mut copy).map_err(refuse)?;
        if copy.len() as u64 > limit {
            return Err(InputError::Length { name, limit });
        }
        Ok(Some(copy))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A state folder with an offer of seven bytes.
    fn state() -> (tempfile::TempDir, Handover) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("boundary")).unwrap();
        fs::write(folder.path().join("boundary/offer"), "offered").unwrap();
        let handover = Handover::open(folder.path()).unwrap().unwrap();
        (folder, handover)
    }

    #[test]
    fn a_plain_file_is_copied_up_to_the_limit() {
        let (_folder, handover) = state();
        assert_eq!(handover.take("offer", 7).unwrap().unwrap(), b"offered");
        assert!(matches!(handover.take("offer", 6), Err(InputError::Length { limit: 6, .. })));
        assert!(handover.take("narrowing.json", 7).unwrap().is_none());
        assert!(Handover::open(Path::new("/nowhere/at/all")).unwrap().is_none());
    }

    #[test]
    fn no_name_leads_elsewhere() {
        let (folder, handover) = state();
        let (own, offer) = (folder.path().join("boundary"), folder.path().join("boundary/offer"));
        fs::rename(&offer, own.join("real")).unwrap();
        symlink("real", &offer).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Open { .. })), "a link");
        fs::remove_file(&offer).unwrap();
        symlink("/proc/self/fd/0", &offer).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Open { .. })), "a magic link");
        fs::remove_file(&offer).unwrap();
        fs::rename(own.join("real"), &offer).unwrap();
        fs::rename(&own, folder.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &own).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Open { .. })), "a linked folder");
    }

    #[test]
    fn pipes_folders_and_files_with_a_second_name_are_not_read() {
        let (folder, handover) = state();
        let offer = folder.path().join("boundary/offer");
        fs::hard_link(&offer, folder.path().join("second")).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Kind { .. })), "two names");
        fs::remove_file(&offer).unwrap();
        nix::unistd::mkfifo(&offer, Mode::S_IRWXU).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Kind { .. })), "a pipe, and nobody waits");
        fs::remove_file(&offer).unwrap();
        fs::create_dir(&offer).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Kind { .. })), "a folder");
    }

    #[test]
    fn a_file_of_another_user_is_not_read() {
        if !nix::unistd::geteuid().is_root() {
            // Only root can give files away.
            return;
        }
        let (folder, handover) = state();
        std::os::unix::fs::chown(folder.path().join("boundary/offer"), Some(65_534), None).unwrap();
        assert!(matches!(handover.take("offer", 7), Err(InputError::Kind { .. })));
    }
}
