//! What changes between two policies: for people, for the journal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// Allowed from now on.
    Added,
    /// Allowed until now.
    Removed,
}

/// One entry that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which way.
    pub edit: Edit,
    /// The entry, as [`super::Policy::entries`] writes it.
    pub item: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.edit {
            Edit::Added => '+',
            Edit::Removed => '-',
        };
        write!(f, "{sign} {}", self.item)
    }
}
