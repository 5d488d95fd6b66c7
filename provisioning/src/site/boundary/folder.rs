//! The folder `boundary/` as a whole.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::boundary::Boundary;
use casemate_protocol::device::id::{Jurisdiction, Name};

use super::envelope::{self, EnvelopeFile};
use super::policy;
use crate::site::finding::{Finding, Findings, SiteError, nearest};
use crate::site::folder::{Layout, names};
use crate::site::inventory::{self, Row};

/// The folder's name.
pub(crate) const FOLDER: &str = "boundary";

/// Every boundary of the site, read and checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Boundaries {
    /// `envelope.toml`, if there is one.
    pub(crate) envelope: Option<EnvelopeFile>,
    /// The boundaries by name.
    pub(crate) named: BTreeMap<Name, Boundary>,
    /// Those that cannot be read.
    broken: BTreeSet<Name>,
}

impl Boundaries {
    /// Reads the folder; what is wrong in it goes to `findings`.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn read(
        layout: &Layout,
        jurisdiction: Jurisdiction,
        findings: &mut Findings,
    ) -> Result<Self, SiteError> {
        let (mut boundaries, mut files) = (Self::default(), names(&layout.file(FOLDER), FOLDER, findings)?);
        if let Some(index) = files.iter().position(|name| name.as_str() == envelope::NAME) {
            files.remove(index);
            let text = layout.text(envelope::FILE);
            let read = text.and_then(|text| EnvelopeFile::parse(envelope::FILE, &text, jurisdiction));
            boundaries.envelope = findings.keep(read)?;
        }
        for name in files {
            let envelope = boundaries.envelope.as_ref().map(|file| &file.envelope);
            let text = layout.text(&policy::file(&name));
            match findings.keep(text.and_then(|text| policy::parse(&name, &text, jurisdiction, envelope)))? {
                Some(boundary) => boundaries.named.insert(name, boundary).map_or((), drop),
                None => boundaries.broken.extend([name]),
            }
        }
        Ok(boundaries)
    }

    /// Lines of the inventory that name a boundary there is not.
    pub(crate) fn cross_check(&self, inventory: &[Row], findings: &mut Findings) {
        let known: Vec<_> = self.named.keys().chain(&self.broken).map(Name::as_str).collect();
        for (row, name) in inventory.iter().filter_map(|row| Some((row, row.boundary.as_ref()?))) {
            if !known.contains(&name.as_str()) {
                let what = format!("there is no boundary {name}");
                findings.push(Finding::new(inventory::FILE, row.line, what, nearest(name.as_str(), &known)));
            }
        }
    }
}
