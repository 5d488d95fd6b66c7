//! What a site folder gives on its last signed state: what the planner keeps, and what every other signer compares the
//! request with.

use std::collections::BTreeMap;

use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::role::{RoleKeys, RoleName};
use casemate_protocol::tuf::time::UtcTime;

use super::publication::same_jurisdiction;
use crate::exit::Failure;
use crate::output::count;
use crate::plan::Composition;
use crate::plan::boundary::{self, Step};
use crate::plan::change::{self, Changes};
use crate::repository::editor::Draft;
use crate::repository::{Editor, Place, Renewal, RepositoryError, State};
use crate::site::boundary::{EnvelopeFile, binding};
use crate::site::{Layout, Site};

/// A site folder, rendered and compared with what it signed last. Nothing is written.
#[derive(Debug)]
pub(crate) struct Proposal {
    /// The folder.
    pub(crate) site: Site,
    /// What it signed last.
    pub(crate) state: State,
    /// What it wants published.
    pub(crate) composition: Composition,
    /// The difference, in words.
    pub(crate) changes: Changes,
    /// Signing time.
    pub(crate) now: UtcTime,
}

impl Proposal {
    /// Reads and renders the site at `layout`.
    ///
    /// # Errors
    /// Everything wrong in the folder, or its repository cannot be read.
    pub(crate) fn of(layout: Layout, now: UtcTime) -> Result<Self, Failure> {
        let site = Site::read(layout)?;
        let state = State::read(Place::new(site.layout.repository()))?;
        same_jurisdiction(&site.settings, &state)?;
        binding::check(&site.boundaries, state.profile()?.envelope)?;
        let composition = Composition::of(&site)?;
        let changes = change::compare(&state, &composition)?;
        Ok(Self { site, state, composition, changes, now })
    }

    /// What persons are to sign.
    ///
    /// # Errors
    /// A role has run out of versions.
    pub(crate) fn drafts(&self, renewal: Renewal) -> Result<Vec<Draft>, RepositoryError> {
        self.editor().drafts(&self.composition.content, renewal)
    }

    /// Who may sign which of `drafts`.
    pub(crate) fn signers(&self, drafts: &[Draft]) -> BTreeMap<RoleName, RoleKeys> {
        self.editor().all_signers(drafts)
    }

    /// `targets 4`, role by role.
    pub(crate) fn roles(drafts: &[Draft]) -> Vec<String> {
        drafts.iter().map(|draft| format!("{} {}", draft.role, draft.signed.version)).collect()
    }

    /// What signers are shown.
    pub(crate) fn summary(&self, drafts: &[Draft]) -> Vec<String> {
        let (changes, mut lines) = (&self.changes, Vec::new());
        for group in &changes.groups {
            if let Some(source) = self.site.groups.get(group) {
                lines.push(format!("{group}: {}", source.summary));
            }
        }
        lines.extend(changes.files.iter().map(|change| format!("  {}", change.line())));
        lines.extend(changes.settings.iter().map(|(group, what)| format!("  changed  {group}: {what}")));
        lines.extend(changes.removed_groups.iter().map(|group| format!("  group {group} goes, with all its files")));
        if let Some(file) = self.new_envelope() {
            lines.push(format!("  envelope, as root binds it: {}", boundary::told(&file.envelope)));
        }
        lines.extend(changes.boundaries.iter().flat_map(Step::lines).map(|line| format!("  {line}")));
        match changes.affected.len() {
            0 => lines.push("No appliance gets anything else than now.".into()),
            number => lines.push(format!("Affected: {}", count(number, "appliance"))),
        }
        lines.extend(changes.affected_lines().iter().map(|line| format!("  {line}")));
        lines.push(format!("To be signed: {}", Self::roles(drafts).join(", ")));
        lines
    }

    /// The envelope, where it is signed for the first time.
    fn new_envelope(&self) -> Option<&EnvelopeFile> {
        let is_new = !self.composition.boundaries.is_empty() && !self.state.delegated.contains_key(&boundary_role());
        self.site.boundaries.envelope.as_ref().filter(|_| is_new)
    }

    fn editor(&self) -> Editor<'_> {
        Editor { state: &self.state, settings: &self.site.settings, now: self.now }
    }
}
