//! The whole site rendered: every target with its bytes.

use std::collections::BTreeMap;

use casemate_protocol::boundary::{Boundary, Envelope};
use casemate_protocol::bundle::manifest::Manifest;
use casemate_protocol::canonical::JsonError;
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::id::{ApplianceId, Name, Owner};
use casemate_protocol::signed;
use casemate_protocol::tuf::targets::TargetFile;
use serde::Serialize;

use super::group::{self, Rendered};
use super::object::{Objects, target_file, whole};
use crate::authority::transport::{self, Holders};
use crate::exit::Failure;
use crate::repository::{Content, RepositoryError};
use crate::site::Site;
use crate::site::boundary::Boundaries;
use crate::site::finding::Findings;

/// Everything the site wants published, with its bytes.
#[derive(Debug, Default)]
pub(crate) struct Composition {
    /// What the metadata will list.
    pub(crate) content: Content,
    /// The bytes behind it.
    pub(crate) objects: Objects,
    /// The manifests by group.
    pub(crate) groups: BTreeMap<Name, Rendered>,
    /// The assignments of confirmed appliances.
    pub(crate) assignments: BTreeMap<ApplianceId, Assignment>,
    /// The boundaries.
    pub(crate) boundaries: BTreeMap<Name, Boundary>,
    /// Who holds which certificate, for telling.
    pub(crate) holders: Holders,
}

impl Composition {
    /// Renders `site`.
    ///
    /// # Errors
    /// Everything wrong in the site, in one go; or a file cannot be read.
    pub(crate) fn of(site: &Site) -> Result<Self, Failure> {
        let mut composition = Self { holders: transport::holders(site), ..Self::default() };
        let mut findings = Findings::default();
        for (name, source) in &site.groups {
            let rendered = findings.keep(group::render(site, source, &mut composition.objects))?;
            composition.groups.extend(rendered.map(|rendered| (name.clone(), rendered)));
        }
        findings.none()?;
        composition.assign(site)?;
        composition.bound(&site.boundaries)?;
        for (name, rendered) in composition.groups.clone() {
            let owner = Owner::Group(name.clone());
            let mut targets = BTreeMap::new();
            if let Some(base) = &rendered.base {
                composition.list(base, Manifest::target_path(&owner), &mut targets)?;
            }
            for (id, own) in &rendered.own {
                composition.list(own, Manifest::appliance_target_path(&owner, id), &mut targets)?;
            }
            composition.content.groups.insert(name, targets);
        }
        Ok(composition)
    }

    fn assign(&mut self, site: &Site) -> Result<(), Failure> {
        for (row, enrolled) in site.confirmed() {
            let transport = transport::settings(site, &row.id);
            // What appliances would not read is said here, not there.
            transport.iter().try_for_each(|settings| settings.material().map(drop))?;
            let assignment = Assignment {
                format: 1,
                appliance: row.id.clone(),
                device: enrolled.keys.fingerprint(),
                jurisdiction: site.settings.jurisdiction,
                groups: row.groups.clone(),
                tenants: Vec::new(),
                boundary: row.boundary.clone(),
                transport,
            };
            let path = Assignment::target_path(&row.id);
            let bytes = document(&assignment).map_err(RepositoryError::from)?;
            for part in whole(bytes, path, &mut self.objects) {
                self.content.targets.insert(part.target, target_file(part.length, &part.sha256));
            }
            self.assignments.insert(row.id.clone(), assignment);
        }
        Ok(())
    }

    /// The envelope stands beside the boundaries: without one, nobody reads it.
    fn bound(&mut self, boundaries: &Boundaries) -> Result<(), Failure> {
        self.boundaries.clone_from(&boundaries.named);
        let envelope = boundaries.envelope.iter().map(|file| (Envelope::TARGET.to_owned(), Ok(file.raw.clone())));
        let named = boundaries.named.iter().map(|(name, named)| (Boundary::target_path(name), document(named)));
        if boundaries.named.is_empty() {
            return Ok(());
        }
        for (path, bytes) in envelope.chain(named) {
            for part in whole(bytes.map_err(RepositoryError::from)?, path, &mut self.objects) {
                self.content.boundary.insert(part.target, target_file(part.length, &part.sha256));
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        manifest: &Manifest,
        path: String,
        targets: &mut BTreeMap<String, TargetFile>,
    ) -> Result<(), Failure> {
        for part in manifest.files.iter().flat_map(|file| &file.parts) {
            targets.insert(part.target.clone(), target_file(part.length, &part.sha256));
        }
        let bytes = document(manifest).map_err(RepositoryError::from)?;
        for part in whole(bytes, path, &mut self.objects) {
            targets.insert(part.target, target_file(part.length, &part.sha256));
        }
        Ok(())
    }

    /// The manifest `id` gets from `group`.
    pub(crate) fn manifest(&self, group: &Name, id: &ApplianceId) -> Option<&Manifest> {
        let rendered = self.groups.get(group)?;
        rendered.own.get(id).or(rendered.base.as_ref())
    }
}

/// A document as a target: canonical JSON with a line end.
fn document(value: &impl Serialize) -> Result<Vec<u8>, JsonError> {
    let mut bytes = signed::message(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}
