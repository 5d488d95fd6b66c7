//! The folder in which the agent hands over what is in force: to the host's enforcer, and to its own next process.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The folder's name in the state folder.
pub const FOLDER: &str = "boundary";
/// The offer: a small signed archive that the enforcer judges for itself.
pub const OFFER: &str = "offer";
/// What the agent takes away from it: the enforcer applies it unsigned.
pub const NARROWING: &str = "narrowing.json";

/// The folder.
#[derive(Clone, Debug)]
pub struct Handover {
    folder: PathBuf,
}

impl Handover {
    /// That of the state folder `state`; made with the first file.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self { folder: state.join(FOLDER) }
    }

    /// Where it stands.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether `name` holds exactly `content`.
    #[must_use]
    pub fn holds(&self, name: &str, content: &[u8]) -> bool {
        let path = self.folder.join(name);
        let same_length =
            fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.len() == content.len() as u64);
        same_length && fs::read(&path).is_ok_and(|found| found == content)
    }

    /// Hands over `offer`, and what the agent leaves of it. What is left stands first: beside an older offer it is never
    /// wider than either was, while a newer offer beside what was left of an older one can be.
    ///
    /// # Durability
    /// As [`Self::put`], each before the next begins.
    ///
    /// # Errors
    /// One cannot be written. If it is the first, the second is not tried.
    pub fn hand(&self, narrowing: &[u8], offer: &[u8]) -> io::Result<()> {
        self.put(NARROWING, narrowing)?;
        self.put(OFFER, offer)?;
        Ok(())
    }

    /// Has `name` hold `content`; a reader sees the old or the new one, whole. Nothing is written where it holds that
    /// already. Says whether something was.
    ///
    /// # Durability
    /// All of it, when it returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) -> io::Result<bool> {
        if self.holds(name, content) {
            return Ok(false);
        }
        // Read by root without any right over other users' files: nothing in it is secret.
        DirBuilder::new().recursive(true).mode(0o755).create(&self.folder)?;
        let next = self.folder.join(format!(".{name}.new"));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&next, self.folder.join(name))?;
        File::open(&self.folder)?.sync_all()?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_only_if_it_differs() {
        let state = tempfile::tempdir().unwrap();
        let handover = Handover::of(state.path());
        assert!(handover.put(OFFER, b"first").unwrap());
        assert!(!handover.put(OFFER, b"first").unwrap());
        assert!(handover.put(OFFER, b"other").unwrap());
        assert!(handover.holds(OFFER, b"other") && !handover.holds(NARROWING, b""));
        let names: Vec<_> = fs::read_dir(handover.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [OFFER]);
    }

    #[test]
    fn what_is_left_of_an_offer_stands_before_it() {
        let state = tempfile::tempdir().unwrap();
        let handover = Handover::of(state.path());
        handover.hand(b"old narrowing", b"old offer").unwrap();
        let holds =
            |narrowing: &[u8], offer: &[u8]| handover.holds(NARROWING, narrowing) && handover.holds(OFFER, offer);
        // A folder in its way: that file cannot be written.
        let barred = |name: &str| {
            let way = handover.folder().join(format!(".{name}.new"));
            fs::create_dir(&way).unwrap();
            assert!(handover.hand(b"new narrowing", b"new offer").is_err());
            fs::remove_dir(way).unwrap();
        };
        barred(NARROWING);
        assert!(holds(b"old narrowing", b"old offer"), "without its narrowing no offer is handed over");
        barred(OFFER);
        assert!(holds(b"new narrowing", b"old offer"), "the narrowing comes first");
        handover.hand(b"new narrowing", b"new offer").unwrap();
        assert!(holds(b"new narrowing", b"new offer"));
    }

    #[test]
    fn what_lies_in_its_place_is_replaced_and_not_followed() {
        let state = tempfile::tempdir().unwrap();
        let handover = Handover::of(state.path());
        handover.put(NARROWING, b"ours").unwrap();
        let elsewhere = state.path().join("elsewhere");
        fs::write(&elsewhere, "ours").unwrap();
        fs::remove_file(handover.folder().join(NARROWING)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, handover.folder().join(NARROWING)).unwrap();
        assert!(handover.put(NARROWING, b"ours").unwrap());
        assert!(fs::symlink_metadata(handover.folder().join(NARROWING)).unwrap().is_file());
    }
}
