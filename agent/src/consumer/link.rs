//! Target links: from where a service looks for its files to where the current generation has them.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::id::{Name, Owner};
use nix::errno::Errno;
use nix::fcntl::{readlinkat, renameat};
use nix::unistd::{UnlinkatFlags, fsync, symlinkat, unlinkat};
use thiserror::Error;

use super::trusted::{self, TrustError};

/// Why a link is not set.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Somebody other than root could change the folder it belongs in.
    #[error("the folder of {to} cannot be trusted")]
    Unsafe {
        /// Where the link belongs.
        to: PathBuf,
        /// Why.
        #[source]
        source: TrustError,
    },
    /// Something that is not ours stands there.
    #[error("{to} is there already and is {found}")]
    Taken {
        /// Where the link belongs.
        to: PathBuf,
        /// What stands there.
        found: String,
    },
    /// It cannot be made.
    #[error("cannot set {to}")]
    Failed {
        /// Where the link belongs.
        to: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A link that was changed, and what it was before.
#[derive(Debug)]
pub struct Change {
    /// Where it stands.
    pub to: PathBuf,
    /// Where it pointed; absent if it was not there.
    pub before: Option<PathBuf>,
}

impl Change {
    /// Puts it back.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn undo(&self) -> Result<(), LinkError> {
        let place = Place::open(&self.to)?;
        match &self.before {
            Some(target) => place.point(target),
            None => place.remove(),
        }
    }
}

/// The owner whose current file a link of ours points at: `…/current/<tree>/<from>`.
#[must_use]
pub fn owner_of(target: &Path, from: &FilePath) -> Option<Owner> {
    let tree = target.to_str()?.strip_suffix(from.as_str())?.strip_suffix('/')?;
    let mut names = tree.rsplit('/');
    let name: Name = names.next()?.parse().ok()?;
    let owner = match names.next()? {
        "groups" => Owner::Group(name),
        "tenants" => Owner::Tenant(name),
        _ => return None,
    };
    (names.next()? == "current" && target.is_absolute()).then_some(owner)
}

/// Points `to` at `target`. What stands there already gives way only if it is a link for which `gives_way` holds.
///
/// # Durability
/// When it returns.
///
/// # Errors
/// Something else is in its place, or the folder is not safe.
pub fn set(to: &Path, target: &Path, gives_way: impl Fn(&Path) -> bool) -> Result<Option<Change>, LinkError> {
    let place = Place::open(to)?;
    match place.read()? {
        Some(found) if found == target => Ok(None),
        Some(found) if !gives_way(&found) => {
            Err(LinkError::Taken { to: to.into(), found: format!("a link to {}", found.display()) })
        }
        before => {
            place.point(target)?;
            Ok(Some(Change { to: to.into(), before }))
        }
    }
}

/// Takes the link at `to` away if it points where `is_ours` says so; anything else is left alone.
///
/// # Durability
/// When it returns.
///
/// # Errors
/// The folder is not safe or cannot be written.
pub fn remove(to: &Path, is_ours: impl Fn(&Path) -> bool) -> Result<Option<Change>, LinkError> {
    let place = match Place::open(to) {
        Err(LinkError::Unsafe { source, .. }) if source.is_absent() => return Ok(None),
        place => place?,
    };
    match place.read() {
        Ok(Some(found)) if is_ours(&found) => {
            place.remove()?;
            Ok(Some(Change { to: to.into(), before: Some(found) }))
        }
        Ok(_) | Err(LinkError::Taken { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name in a folder that was checked.
struct Place<'a> {
    to: &'a Path,
    folder: OwnedFd,
    name: &'a OsStr,
}

impl<'a> Place<'a> {
    fn open(to: &'a Path) -> Result<Self, LinkError> {
        let distrust = |source| LinkError::Unsafe { to: to.into(), source };
        let (Some(folder), Some(name)) = (to.parent(), to.file_name()) else {
            return Err(distrust(TrustError::Relative(to.into())));
        };
        Ok(Self { to, folder: trusted::folder(folder).map_err(distrust)?, name })
    }

    fn failed(&self, error: Errno) -> LinkError {
        LinkError::Failed { to: self.to.into(), source: error.into() }
    }

    fn read(&self) -> Result<Option<PathBuf>, LinkError> {
        match readlinkat(&self.folder, self.name) {
            Ok(target) => Ok(Some(target.into())),
            Err(Errno::ENOENT) => Ok(None),
            Err(Errno::EINVAL) => Err(LinkError::Taken { to: self.to.into(), found: "no link".into() }),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// By one rename: a service that looks finds the old link or the new one.
    fn point(&self, target: &Path) -> Result<(), LinkError> {
        // A leading dot: no service's `*.conf` reads it meanwhile.
        let mut next = OsString::from(".casemate~");
        next.push(self.name);
        match unlinkat(&self.folder, next.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(self.failed(error)),
        }
        let set = symlinkat(target, &self.folder, next.as_os_str())
            .and_then(|()| renameat(&self.folder, next.as_os_str(), &self.folder, self.name));
        set.and_then(|()| fsync(&self.folder)).map_err(|error| self.failed(error))
    }

    fn remove(&self) -> Result<(), LinkError> {
        let removed = unlinkat(&self.folder, self.name, UnlinkatFlags::NoRemoveDir);
        removed.and_then(|()| fsync(&self.folder)).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn from() -> FilePath {
        "nginx/site.conf".parse().unwrap()
    }

    fn target(owner: &str) -> PathBuf {
        format!("/var/lib/casemate/current/{owner}/nginx/site.conf").into()
    }

    #[test]
    fn a_link_says_whose_it_is_and_nothing_else_does() {
        assert_eq!(owner_of(&target("groups/clinics"), &from()), Some("group.clinics".parse().unwrap()));
        assert_eq!(owner_of(&target("tenants/north"), &from()), Some("tenant.north".parse().unwrap()));
        for other in [
            "/etc/nginx/site.conf",
            "/var/lib/casemate/current/groups/clinics/nginx/other.conf",
            "/var/lib/casemate/old/groups/clinics/nginx/site.conf",
            "/var/lib/casemate/current/people/clinics/nginx/site.conf",
            "current/groups/clinics/nginx/site.conf",
            "/var/lib/casemate/current/groups/Clinics/nginx/site.conf",
        ] {
            assert_eq!(owner_of(Path::new(other), &from()), None, "{other}");
        }
    }

    #[test]
    fn an_absent_link_is_set_and_one_of_ours_is_replaced_and_both_can_be_put_back() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("casemate.conf");
        let ours = |found: &Path| owner_of(found, &from()).is_some();
        let first = set(&to, &target("groups/clinics"), ours).unwrap().unwrap();
        assert_eq!(std::fs::read_link(&to).unwrap(), target("groups/clinics"));
        assert!(set(&to, &target("groups/clinics"), ours).unwrap().is_none(), "nothing to do the second time");
        let second = set(&to, &target("groups/labs"), ours).unwrap().unwrap();
        assert_eq!(std::fs::read_link(&to).unwrap(), target("groups/labs"));
        second.undo().unwrap();
        assert_eq!(std::fs::read_link(&to).unwrap(), target("groups/clinics"));
        first.undo().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("casemate.conf");
        let ours = |found: &Path| owner_of(found, &from()).is_some();
        std::fs::write(&to, "the image's own").unwrap();
        assert!(matches!(set(&to, &target("groups/clinics"), ours), Err(LinkError::Taken { .. })));
        assert!(remove(&to, ours).unwrap().is_none());
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "the image's own");
        std::fs::remove_file(&to).unwrap();
        symlink("/etc/passwd", &to).unwrap();
        assert!(matches!(set(&to, &target("groups/clinics"), ours), Err(LinkError::Taken { .. })));
        assert!(remove(&to, ours).unwrap().is_none());
        assert_eq!(std::fs::read_link(&to).unwrap(), Path::new("/etc/passwd"));
    }

    #[test]
    fn a_link_is_never_set_through_a_link_or_into_a_folder_of_others() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (real, planted) = (folder.path().join("real"), folder.path().join("planted"));
        std::fs::create_dir(&real).unwrap();
        symlink(&real, &planted).unwrap();
        let result = set(&planted.join("casemate.conf"), &target("groups/clinics"), |_| true);
        assert!(matches!(result, Err(LinkError::Unsafe { .. })));
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o777)).unwrap();
        let result = set(&real.join("casemate.conf"), &target("groups/clinics"), |_| true);
        assert!(matches!(result, Err(LinkError::Unsafe { .. })));
        assert_eq!(std::fs::read_dir(&real).unwrap().count(), 0);
        assert!(remove(&folder.path().join("absent/casemate.conf"), |_| true).unwrap().is_none());
    }

    #[test]
    fn a_link_of_ours_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("casemate.conf");
        symlink(target("groups/clinics"), &to).unwrap();
        assert!(remove(&to, |found| owner_of(found, &from()).is_none()).unwrap().is_none());
        assert!(remove(&to, |found| owner_of(found, &from()).is_some()).unwrap().is_some());
        assert!(to.symlink_metadata().is_err());
    }
}
