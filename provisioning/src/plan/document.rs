//! The plan on disk: `site/.plan`, valid for exactly the site and repository it was made from.
//!
//! ```text
//! .plan/plan.json           what is to be published, and what it was made from
//! .plan/objects/<sha256>    bytes the repository does not hold yet
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use casemate_protocol::canonical::{self, JsonError};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::signed;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::compose::Composition;
use super::object::Objects;
use crate::file::{self, FileError};
use crate::repository::writer::NewTarget;
use crate::repository::{Content, Place, Renewal, State};
use crate::site::{Layout, Site};

/// Longest plan read, bytes.
const MAX_PLAN: u64 = 256 * 1024 * 1024;

/// The content of `.plan/plan.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    /// 1.
    pub(crate) format: u32,
    /// SHA-256 of the timestamp it was compared with.
    pub(crate) base: Digest,
    /// Version of the root in force.
    pub(crate) root: u64,
    /// SHA-256 of every file of the site it was made from.
    pub(crate) inputs: BTreeMap<String, Digest>,
    /// Whether unchanged roles are issued again.
    pub(crate) renewal: Renewal,
    /// What is to be published.
    pub(crate) content: Content,
    /// What signers are shown, line by line.
    pub(crate) summary: Vec<String>,
}

/// Why there is no plan to sign.
#[derive(Debug, Error)]
pub(crate) enum PlanError {
    /// None was made.
    #[error("there is no plan in {}", .0.display())]
    Missing(PathBuf),
    /// The file is not one this tool wrote.
    #[error("{} is no plan", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: JsonError,
    },
    /// The file is JSON of another shape.
    #[error("{} is no plan", path.display())]
    Shape {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Something changed since.
    #[error("the plan is stale: {0}")]
    Stale(String),
    /// A file cannot be read or written.
    #[error("the plan cannot be kept")]
    File(#[from] FileError),
    /// No canonical form.
    #[error("the plan cannot be encoded")]
    Encode(#[from] JsonError),
}

impl Explain for PlanError {
    fn code(&self) -> Code {
        match self {
            Self::Missing(_) => Code::PlanMissing,
            Self::Malformed { .. } | Self::Shape { .. } | Self::Stale(_) => Code::PlanStale,
            Self::File(error) => error.code(),
            Self::Encode(_) => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::File(error) => error.remedy(),
            other => other.code().remedy().into(),
        }
    }
}

impl Plan {
    /// Keeps `composition` as the plan to be signed; an earlier plan is gone.
    ///
    /// # Errors
    /// Reading or writing fails, or a file changed while it was read.
    pub(crate) fn keep(
        layout: &Layout,
        state: &State,
        composition: &Composition,
        inputs: BTreeMap<String, Digest>,
        renewal: Renewal,
        summary: Vec<String>,
    ) -> Result<Self, PlanError> {
        Self::discard(layout)?;
        let folder = layout.plan().join("objects");
        file::create_folder(&folder)?;
        store(&folder, &state.place, &composition.content, &composition.objects)?;
        let plan = Self {
            format: 1,
            base: state.digest(),
            root: state.root.signed.version.get(),
            inputs,
            renewal,
            content: composition.content.clone(),
            summary,
        };
        // Last: a plan that is there is whole.
        file::replace(&layout.plan().join("plan.json"), &plan.to_bytes()?)?;
        Ok(plan)
    }

    /// Reads the plan and checks that the site and the repository are still those it was made from.
    ///
    /// # Errors
    /// There is none, or it is stale.
    pub(crate) fn read(layout: &Layout, state: &State) -> Result<Self, PlanError> {
        let path = layout.plan().join("plan.json");
        let raw = file::read_if_any(&path, MAX_PLAN)?.ok_or_else(|| PlanError::Missing(layout.plan()))?;
        let value = canonical::parse(&raw).map_err(|source| PlanError::Malformed { path: path.clone(), source })?;
        let plan: Self = serde_json::from_value(value).map_err(|source| PlanError::Shape { path, source })?;
        if plan.base != state.digest() || plan.root != state.root.signed.version.get() {
            return Err(PlanError::Stale("something else was signed since".into()));
        }
        let inputs = Site::inputs(layout)?;
        let differs = |name: &&String| plan.inputs.get(*name) != inputs.get(*name);
        if let Some(name) = plan.inputs.keys().chain(inputs.keys()).find(differs) {
            let change = match (plan.inputs.contains_key(name), inputs.contains_key(name)) {
                (true, true) => "changed",
                (true, false) => "was removed",
                _ => "was added",
            };
            return Err(PlanError::Stale(format!("{name} {change} since")));
        }
        Ok(plan)
    }

    /// Takes the plan away.
    ///
    /// # Errors
    /// The folder cannot be removed.
    pub(crate) fn discard(layout: &Layout) -> Result<(), PlanError> {
        let folder = layout.plan();
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::write(&folder)(error).into()),
            _ => Ok(()),
        }
    }

    /// SHA-256 of the plan: what signers agree to.
    ///
    /// # Errors
    /// Never for a plan of this tool.
    pub(crate) fn digest(&self) -> Result<Digest, PlanError> {
        Ok(Digest::of(&self.to_bytes()?))
    }

    fn to_bytes(&self) -> Result<Vec<u8>, PlanError> {
        let mut bytes = signed::message(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Every target the repository does not hold yet, with its file.
    ///
    /// # Errors
    /// An object of the plan is gone.
    pub(crate) fn new_targets(&self, layout: &Layout, place: &Place) -> Result<Vec<NewTarget>, PlanError> {
        let mut targets = Vec::new();
        for (path, digest) in listed(&self.content) {
            if place.target(path, &digest).is_file() {
                continue;
            }
            let source = layout.plan().join("objects").join(digest.to_string());
            if !source.is_file() {
                return Err(PlanError::Stale(format!("the bytes of {path} are gone from it")));
            }
            targets.push(NewTarget { path: path.to_owned(), digest, source });
        }
        Ok(targets)
    }
}

fn listed(content: &Content) -> impl Iterator<Item = (&str, Digest)> {
    content.all().filter_map(|(path, target)| Some((path.as_str(), target.hashes.get("sha256")?.parse().ok()?)))
}

fn store(folder: &std::path::Path, place: &Place, content: &Content, objects: &Objects) -> Result<(), PlanError> {
    for (path, digest) in listed(content) {
        let file = folder.join(digest.to_string());
        if file.is_file() || place.target(path, &digest).is_file() {
            continue;
        }
        let source =
            objects.get(&digest).ok_or_else(|| PlanError::Stale(format!("the bytes of {path} are unknown")))?;
        let written = source.copy_to(&file).map_err(FileError::write(&file))?;
        if written != digest {
            return Err(PlanError::Stale(format!("the file behind {path} changed while it was read")));
        }
    }
    Ok(())
}
