//! What goes into a client and what it asks for.

use std::collections::BTreeMap;

use crate::tuf::floors::Floors;
use crate::tuf::role::{RoleName, Version};
use crate::tuf::targets::TargetFile;

/// Whether the Casemate profile binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The profile: `x-casemate` required, persons counted, owners confined to their trees.
    Casemate,
    /// Plain TUF, for repositories that are not ours.
    Foreign,
}

/// What the shell kept from earlier runs.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// The newest trusted root, raw. A file that exists and cannot be read is an error of the shell's, never "none".
    pub root: Vec<u8>,
    /// The floors.
    pub floors: Floors,
    /// Raw metadata by role, if any: saves asking again. It is verified like everything else, and a torn copy is
    /// only asked for again.
    pub cached: BTreeMap<RoleName, Vec<u8>>,
}

/// Whether "there is no such file" is an acceptable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optional {
    /// It is: the root after the newest one.
    Yes,
    /// It is not.
    No,
}

/// What the client needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// One metadata file.
    Metadata {
        /// Whose.
        role: RoleName,
        /// Which version; a timestamp's is not known beforehand.
        version: Option<Version>,
        /// Its name in a repository, quoted for a URL: `3.root.json`, `timestamp.json`, `7.group.clinics.json`.
        path: String,
        /// Longest acceptable answer, bytes.
        max_length: u64,
        /// Whether it may be absent.
        optional: Optional,
    },
    /// Nothing: the top-level roles are current, and no lookup waits for a delegated role.
    Nothing,
}

/// The answer to a lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A trusted role lists the target.
    Found {
        /// Which.
        role: RoleName,
        /// What the target must be.
        file: TargetFile,
    },
    /// Every role that might list it was read, and none does.
    Absent,
    /// A delegated role must be read first: serve [`super::Client::want`], then look up again.
    Wants,
    /// A role that owns the path does not verify; see [`super::Client::broken`]. A lower priority never fills in for
    /// it.
    Broken {
        /// Which.
        role: RoleName,
    },
}
