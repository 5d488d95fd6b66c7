//! What the enforcer remembers, in a folder that only root can read: the anchor, the floors in two copies, what was
//! accepted last, and how long it may still be observed.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use casemate_protocol::boundary::Policy;
use casemate_protocol::boundary::offer::{Accepted, Anchor};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::floors::Floors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::EnforceError;
use super::observed::Observed;
use crate::consumer::trusted;

/// Where it stands unless the command line says otherwise.
pub const DEFAULT_PATH: &str = "/var/lib/casemate-boundary";
/// Longest file read, bytes: an anchor holds a root, what was accepted a policy and floors.
const MAX_LENGTH: u64 = 4 * 1024 * 1024;
const ANCHOR: &str = "anchor.json";
const FLOORS: [&str; 2] = ["floors-a.json", "floors-b.json"];
const LAST: &str = "accepted.json";
const OBSERVED: &str = "observed.json";

/// What was accepted last, and what came into force by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Last {
    /// The offer.
    pub accepted: Accepted,
    /// The policy in force, narrowed.
    pub in_force: Policy,
}

/// One copy of the floors; the copy of the later turn counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFloors {
    turn: u64,
    floors: Floors,
}

/// Content with its own digest: what was torn or rots is told from what was written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed<T> {
    sha256: Digest,
    content: T,
}

/// The folder, held open.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    folder: OwnedFd,
}

impl Kept {
    /// Opens the folder at `path`; none if there is none.
    ///
    /// # Errors
    /// Others than root may change it, or something above it.
    pub fn open(path: &Path) -> Result<Option<Self>, EnforceError> {
        match trusted::folder(path) {
            Ok(folder) => Ok(Some(Self { path: path.into(), folder })),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the folder at `path`, made if there is none.
    ///
    /// # Errors
    /// As [`Self::open`], or it cannot be made.
    pub fn make(path: &Path) -> Result<Self, EnforceError> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(EnforceError::File { action: "create", path: path.into(), source: error })
            }
            _ => Self::open(path)?.ok_or_else(|| EnforceError::NotPinned(path.into())),
        }
    }

    /// Whose boundary is enforced; none before it was pinned.
    ///
    /// # Errors
    /// The file is damaged or others could have written it.
    pub fn anchor(&self) -> Result<Option<Anchor>, EnforceError> {
        self.read(ANCHOR)?.map(|raw| Anchor::parse(&raw).map_err(EnforceError::Anchor)).transpose()
    }

    /// Pins `anchor`, with no floors yet.
    ///
    /// # Durability
    /// On disk when it returns; before that, nothing is pinned.
    ///
    /// # Errors
    /// Another anchor is pinned, or a file cannot be written.
    pub fn pin(&self, anchor: &Anchor) -> Result<(), EnforceError> {
        match self.anchor()? {
            Some(pinned) if pinned == *anchor => return Ok(()),
            Some(_) => return Err(EnforceError::Pinned(self.path.clone())),
            None => {}
        }
        self.write_floors(&KeptFloors { turn: 0, floors: Floors::default() })?;
        self.write(ANCHOR, &anchor.to_bytes())
    }

    /// The floors of the offer accepted last. One damaged copy costs nothing.
    ///
    /// # Errors
    /// Both copies are damaged or gone: nothing newer can be told from anything older.
    pub fn floors(&self) -> Result<Floors, EnforceError> {
        self.kept_floors().map(|kept| kept.floors)
    }

    /// What was accepted last; none if nothing was yet.
    ///
    /// # Errors
    /// It is damaged.
    pub fn last(&self) -> Result<Option<Last>, EnforceError> {
        self.read(LAST)?.map(|raw| self.unseal(LAST, &raw)).transpose()
    }

    /// Keeps `last`: floors first, so that nothing older than what was ever in force is accepted.
    ///
    /// # Durability
    /// On disk when it returns. Cut off half-way, the offer is judged once more against its own floors.
    ///
    /// # Errors
    /// A file cannot be written, or the floors are damaged.
    pub fn remember(&self, last: &Last) -> Result<(), EnforceError> {
        let kept = self.kept_floors()?;
        let known = self.last().ok().flatten();
        let is_known = known.as_ref().is_some_and(|known| known.accepted == last.accepted);
        // The floors may be those of a newer offer that could not be kept whole: a known one never lowers them.
        if !is_known && kept.floors != last.accepted.floors {
            self.write_floors(&KeptFloors { turn: kept.turn + 1, floors: last.accepted.floors.clone() })?;
        } else if !self.both_copies_hold(&kept) {
            self.write_floors(&kept)?;
        }
        if known.as_ref() == Some(last) { Ok(()) } else { self.write(LAST, &seal(last)) }
    }

    /// What is known of the boundary that was observed last.
    ///
    /// # Errors
    /// It is damaged.
    pub fn observed(&self) -> Result<Option<Observed>, EnforceError> {
        self.read(OBSERVED)?.map(|raw| self.unseal(OBSERVED, &raw)).transpose()
    }

    /// Keeps `observed`.
    ///
    /// # Durability
    /// On disk when it returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_observed(&self, observed: &Observed) -> Result<(), EnforceError> {
        if self.observed().ok().flatten().as_ref() == Some(observed) {
            return Ok(());
        }
        self.write(OBSERVED, &seal(observed))
    }

    fn kept_floors(&self) -> Result<KeptFloors, EnforceError> {
        let copies = FLOORS.map(|name| self.copy(name));
        let damage =
            || EnforceError::Damaged { path: self.path.join(FLOORS[0]), why: "both copies of the floors".into() };
        copies.into_iter().flatten().max_by_key(|kept| kept.turn).ok_or_else(damage)
    }

    fn both_copies_hold(&self, kept: &KeptFloors) -> bool {
        FLOORS.iter().all(|name| self.copy(name).as_ref() == Some(kept))
    }

    fn copy(&self, name: &str) -> Option<KeptFloors> {
        let raw = self.read(name).ok().flatten()?;
        self.unseal(name, &raw).ok()
    }

    fn write_floors(&self, kept: &KeptFloors) -> Result<(), EnforceError> {
        FLOORS.iter().try_for_each(|name| self.write(name, &seal(kept)))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, EnforceError> {
        let fail = |source| EnforceError::File { action: "read", path: self.path.join(name), source };
        let file = match trusted::file(&self.folder, &self.path, OsStr::new(name)) {
            Ok(file) => file,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut raw = Vec::new();
        file.take(MAX_LENGTH).read_to_end(&mut raw).map_err(fail)?;
        Ok(Some(raw))
    }

    fn unseal<T: Serialize + DeserializeOwned>(&self, name: &str, raw: &[u8]) -> Result<T, EnforceError> {
        let damage = |why: String| EnforceError::Damaged { path: self.path.join(name), why };
        let sealed: Sealed<T> = serde_json::from_slice(raw).map_err(|error| damage(error.to_string()))?;
        if digest(&sealed.content) == Some(sealed.sha256) {
            return Ok(sealed.content);
        }
        Err(damage("its content is not what its digest says".into()))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), EnforceError> {
        place(&self.path.join(name), content, 0o600)
    }
}

/// Puts a file of `content` at `path`, whole or not at all.
///
/// # Durability
/// On disk when it returns, file and folder.
pub(super) fn place(path: &Path, content: &[u8], mode: u32) -> Result<(), EnforceError> {
    let fresh = path.with_extension("new");
    let fail = |source| EnforceError::File { action: "write", path: path.into(), source };
    let write = || {
        if let Err(error) = std::fs::remove_file(&fresh)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    write().map_err(fail)
}

fn digest(content: &impl Serialize) -> Option<Digest> {
    casemate_protocol::signed::message(content).ok().map(|text| Digest::of(&text))
}

fn seal<T: Serialize>(content: &T) -> Vec<u8> {
    // Plain data has a canonical form; what had none would not be read again.
    let sha256 = digest(content).unwrap_or_else(|| Digest::of(b""));
    serde_json::to_vec(&Sealed { sha256, content }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use casemate_protocol::tuf::floors::RootFloor;
    use casemate_protocol::tuf::time::UtcTime;

    use super::*;

    fn version(number: u32) -> casemate_protocol::tuf::role::Version {
        serde_json::from_str(&number.to_string()).unwrap()
    }

    fn last(root: u32) -> Last {
        let floors = Floors {
            root: Some(RootFloor { version: version(root), content: Digest::of(b"a root") }),
            ..Floors::default()
        };
        let accepted = Accepted {
            offer: Digest::of(b"an offer"),
            root_version: version(root),
            demo: false,
            timestamp: version(1),
            signed_at: UtcTime::EPOCH,
            floors,
            name: None,
            version: None,
            document: None,
            policy: Policy::default(),
        };
        Last { accepted, in_force: Policy::default() }
    }

    fn anchor(root: &[u8]) -> Anchor {
        Anchor::new("lux-001".parse().unwrap(), "LU".parse().unwrap(), Digest::of(b"a device"), root)
    }

    fn pinned() -> (tempfile::TempDir, Kept) {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::make(&folder.path().join("kept")).unwrap();
        kept.pin(&anchor(b"root")).unwrap();
        (folder, kept)
    }

    fn tear(kept: &Kept, name: &str) {
        let path = kept.path.join(name);
        let content = std::fs::read(&path).unwrap();
        std::fs::write(&path, &content[..content.len() / 2]).unwrap();
    }

    #[test]
    fn a_pin_stays_until_somebody_takes_it_away() {
        let (folder, kept) = pinned();
        assert_eq!(kept.anchor().unwrap(), Some(anchor(b"root")));
        kept.pin(&anchor(b"root")).unwrap();
        assert!(matches!(kept.pin(&anchor(b"another root")), Err(EnforceError::Pinned(_))));
        assert_eq!((kept.floors().unwrap(), kept.last().unwrap()), (Floors::default(), None));
        assert!(Kept::open(&folder.path().join("elsewhere")).unwrap().is_none());
    }

    #[test]
    fn what_was_accepted_and_its_floors_are_read_again() {
        let (_folder, kept) = pinned();
        for root in [1, 2] {
            kept.remember(&last(root)).unwrap();
            assert_eq!(kept.last().unwrap(), Some(last(root)));
            assert_eq!(kept.floors().unwrap(), last(root).accepted.floors);
        }
    }

    #[test]
    fn one_torn_copy_of_the_floors_costs_nothing_and_is_made_whole() {
        for name in FLOORS {
            let (_folder, kept) = pinned();
            kept.remember(&last(1)).unwrap();
            tear(&kept, name);
            assert_eq!(kept.floors().unwrap(), last(1).accepted.floors);
            kept.remember(&last(1)).unwrap();
            assert!(kept.copy(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_cut_between_the_two_copies_keeps_the_higher_floors() {
        let (_folder, kept) = pinned();
        kept.remember(&last(1)).unwrap();
        let before = std::fs::read(kept.path.join(FLOORS[1])).unwrap();
        kept.remember(&last(2)).unwrap();
        std::fs::write(kept.path.join(FLOORS[1]), before).unwrap();
        assert_eq!(kept.floors().unwrap(), last(2).accepted.floors);
    }

    #[test]
    fn an_offer_known_already_never_lowers_the_floors_and_is_not_written_again() {
        let (_folder, kept) = pinned();
        kept.remember(&last(1)).unwrap();
        let newer = KeptFloors { turn: 7, floors: last(2).accepted.floors };
        kept.write(FLOORS[0], &seal(&newer)).unwrap();
        let before = std::fs::metadata(kept.path.join(LAST)).unwrap();
        kept.remember(&last(1)).unwrap();
        assert!(kept.both_copies_hold(&newer));
        let after = std::fs::metadata(kept.path.join(LAST)).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&after), std::os::unix::fs::MetadataExt::ino(&before));
    }

    #[test]
    fn two_torn_copies_are_damage_never_no_floors() {
        let (_folder, kept) = pinned();
        kept.remember(&last(1)).unwrap();
        FLOORS.iter().for_each(|name| tear(&kept, name));
        assert!(matches!(kept.floors(), Err(EnforceError::Damaged { .. })));
        assert!(kept.remember(&last(2)).is_err());
        FLOORS.iter().for_each(|name| std::fs::remove_file(kept.path.join(name)).unwrap());
        assert!(matches!(kept.floors(), Err(EnforceError::Damaged { .. })));
    }

    #[test]
    fn a_torn_anchor_and_rotten_memory_are_damage() {
        let (_folder, kept) = pinned();
        kept.remember(&last(1)).unwrap();
        tear(&kept, ANCHOR);
        assert!(matches!(kept.anchor(), Err(EnforceError::Anchor(_))));
        let path = kept.path.join(LAST);
        let rotten = std::fs::read_to_string(&path).unwrap().replace("\"demo\":false", "\"demo\":true");
        std::fs::write(&path, rotten).unwrap();
        assert!(matches!(kept.last(), Err(EnforceError::Damaged { .. })));
    }
}
