//! What the current generations ask of units.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::manifest::{Consumer, OnChange};
use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::canonical;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use thiserror::Error;

use super::allow_list::{Link, Rule, Verb};
use crate::local_api::answer::{OwnerState, OwnerTree, TreeReport};

/// What one owner's current generation asks of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Whose generation.
    pub owner: Owner,
    /// Its number.
    pub generation: u64,
    /// It is on trial: the outcome is waited for.
    pub awaited: bool,
    /// For whom.
    pub consumer: Name,
    /// The unit, as the manifest names it.
    pub unit: String,
    /// What it needs.
    pub on_change: OnChange,
    /// Where the agent says that it stands.
    path: PathBuf,
    /// What decides whether the unit has to be touched, beside the rule: the manifest's section and its files.
    section: Consumer,
    files: BTreeMap<FilePath, (Digest, bool)>,
}

/// Why the image does not allow a task.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no rule for it, or the rule's file is refused.
    #[error("the image allows nothing for consumer {consumer}")]
    NoRule {
        /// The consumer.
        consumer: Name,
    },
    /// The rule is not for this owner.
    #[error("{owner} may not ask anything of consumer {consumer}")]
    Owner {
        /// Who asked.
        owner: Owner,
        /// The consumer.
        consumer: Name,
    },
    /// The rule is for another unit.
    #[error("the manifest names {asked} for consumer {consumer}, the image {allowed}")]
    Unit {
        /// The consumer.
        consumer: Name,
        /// As in the manifest.
        asked: String,
        /// As in the rule.
        allowed: String,
    },
    /// The rule does not allow what the manifest wants done.
    #[error("the image does not allow {verb} of {unit}", verb = verb.as_str())]
    Verb {
        /// The unit.
        unit: String,
        /// As in the manifest.
        verb: Verb,
    },
    /// The agent names a folder that is no tree of current generations.
    #[error("the agent says that {owner} stands in {path}, which is no folder under `current`")]
    Path {
        /// Whose.
        owner: Owner,
        /// As said.
        path: PathBuf,
    },
}

impl Refusal {
    /// The word reported as the reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoRule { .. } => "not-allowed",
            Self::Owner { .. } => "owner-not-allowed",
            Self::Unit { .. } => "unit-not-allowed",
            Self::Verb { .. } => "verb-not-allowed",
            Self::Path { .. } => "path-refused",
        }
    }
}

impl Explain for Refusal {
    fn code(&self) -> Code {
        Code::ConsumerFailed
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoRule { consumer } => format!(
                "If bundles may touch it, have the image bring {consumer}.toml (`casemate-agent consumer --check` \
                 reads it); if not, take the unit out of [consumer.{consumer}]."
            ),
            Self::Owner { owner, .. } => format!("If {owner} may, the image's file has to name it under owners."),
            Self::Unit { allowed, .. } => format!("Write unit = {allowed:?} in the bundle, or correct the image."),
            Self::Verb { verb, .. } => {
                format!("Ask for something else with on_change, or have the image add {:?} to verbs.", verb.as_str())
            }
            Self::Path { .. } => "Report it: the agent and this helper are of different versions.".into(),
        }
    }
}

/// Everything the current generations ask, in a fixed order.
#[must_use]
pub fn tasks(tree: &TreeReport) -> Vec<Task> {
    tree.owners.iter().flat_map(of_owner).collect()
}

fn of_owner(owner: &OwnerTree) -> impl Iterator<Item = Task> {
    owner.consumers.iter().filter_map(|(name, consumer)| {
        let reads = |reader: &Option<Name>| reader.as_ref() == Some(name);
        Some(Task {
            owner: owner.id.clone(),
            generation: owner.generation.number,
            awaited: owner.state == OwnerState::Probation,
            consumer: name.clone(),
            unit: consumer.unit.clone()?,
            on_change: consumer.on_change,
            path: owner.path.clone(),
            section: consumer.clone(),
            files: owner.files.iter().map(|file| (file.path.clone(), (file.object, reads(&file.consumer)))).collect(),
        })
    })
}

/// Whether it is where an owner's current generation can stand.
fn is_current(path: &Path, owner: &Owner) -> bool {
    use std::path::Component::{Normal, RootDir};

    let plain = path.components().all(|component| matches!(component, RootDir | Normal(_)));
    plain && path.is_absolute() && path.ends_with(Path::new("current").join(owner.tree()))
}

impl Task {
    /// Whether the image allows it, and as what.
    ///
    /// # Errors
    /// It does not.
    pub fn permit<'a>(&'a self, rule: Option<&'a Rule>) -> Result<Permitted<'a>, Refusal> {
        let consumer = self.consumer.clone();
        let rule = rule.ok_or_else(|| Refusal::NoRule { consumer: consumer.clone() })?;
        let may = match &rule.owners {
            Some(owners) => owners.contains(&self.owner),
            None => matches!(self.owner, Owner::Group(_)),
        };
        if !may {
            return Err(Refusal::Owner { owner: self.owner.clone(), consumer });
        }
        if rule.unit != self.unit {
            return Err(Refusal::Unit { consumer, asked: self.unit.clone(), allowed: rule.unit.clone() });
        }
        let verb = match self.on_change {
            OnChange::Restart => Some(Verb::Restart),
            OnChange::Reload => Some(Verb::Reload),
            OnChange::None => None,
        };
        if let Some(verb) = verb.filter(|verb| !rule.verbs.contains(verb)) {
            return Err(Refusal::Verb { unit: self.unit.clone(), verb });
        }
        if !is_current(&self.path, &self.owner) {
            return Err(Refusal::Path { owner: self.owner.clone(), path: self.path.clone() });
        }
        Ok(Permitted { rule, verb, path: &self.path })
    }

    /// Whether another look at the tree asks the very same; that somebody waits for it now makes no difference.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Self { awaited: other.awaited, ..self.clone() } == *other
    }

    /// Whether the generation has the file a link is for.
    #[must_use]
    pub fn has(&self, file: &FilePath) -> bool {
        self.files.contains_key(file)
    }

    /// What the unit runs with once it took this up: its section of the manifest, its links and its files (those that
    /// name it as their consumer, and those that a link is for). Equal fingerprints need no touching.
    #[must_use]
    pub fn fingerprint(&self, rule: &Rule) -> Digest {
        let linked: BTreeSet<_> = rule.links.iter().map(|link| &link.from).collect();
        let its_own = |file: &(&FilePath, &(Digest, bool))| file.1.1 || linked.contains(file.0);
        let files: BTreeMap<_, _> =
            self.files.iter().filter(its_own).map(|(path, (object, _))| (path.as_str(), object)).collect();
        let whole = serde_json::json!({ "section": self.section, "links": rule.links, "files": files });
        Digest::of(&canonical::encode(&whole))
    }
}

/// A task the image allows.
#[derive(Clone, Debug)]
pub struct Permitted<'a> {
    /// By which rule.
    pub rule: &'a Rule,
    /// What is done to the unit; nothing, if it looks by itself.
    pub verb: Option<Verb>,
    path: &'a Path,
}

impl Permitted<'_> {
    /// Where a link has to point.
    #[must_use]
    pub fn target(&self, link: &Link) -> PathBuf {
        self.path.join(link.from.as_str())
    }

    /// The folder `current`, below which all links lead.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(self.path)
    }
}

#[cfg(test)]
mod tests;
