//! The site folder as a whole: where everything stands, and that the parts fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::digest::{Digest, Hasher};

use super::boundary::Boundaries;
use super::boundary::folder::FOLDER as BOUNDARY;
use super::enrolled::{self, Enrolled};
use super::finding::{Finding, Findings, SiteError, nearest};
use super::group::{self, Group};
use super::inventory::{self, Row};
use super::settings::{self, Settings};
use super::values::Values;
use crate::authority;
use crate::exit::Failure;
use crate::file::{self, FileError};

/// Longest text file an operator writes, bytes.
const MAX_TEXT: u64 = 4 * 1024 * 1024;
/// What is read at once of a file that may be larger than memory, bytes.
pub(crate) const BLOCK: usize = 1024 * 1024;

/// Where a site's parts stand.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The site at `root`, whether or not there is one.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The site the command is about: `named`, else `.`, else `./site`.
    ///
    /// # Errors
    /// There is no `site.toml`.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, SiteError> {
        let candidates = match named {
            Some(named) => vec![named.to_owned()],
            None => vec![PathBuf::from("."), PathBuf::from("site")],
        };
        let found = candidates.iter().find(|root| root.join(settings::FILE).is_file()).cloned();
        found.map(Self::new).ok_or_else(|| SiteError::Absent(candidates[0].clone()))
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file of the site by its relative path.
    pub(crate) fn file(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The TUF repository.
    pub(crate) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    /// The plan that waits for signatures.
    pub(crate) fn plan(&self) -> PathBuf {
        self.root.join(".plan")
    }

    /// Where private keys are unless said otherwise: beside the site, never in it.
    pub(crate) fn default_keys(&self) -> PathBuf {
        let absolute = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        // `absolute` keeps a trailing `.`; the folder's own name is wanted.
        let clean: PathBuf = absolute.components().collect();
        let name = clean.file_name().map_or_else(|| "site".into(), |name| name.to_string_lossy().into_owned());
        clean.with_file_name(format!("{name}-keys"))
    }

    /// The text of a file of the site.
    pub(crate) fn text(&self, relative: &str) -> Result<String, SiteError> {
        let raw = file::read(&self.file(relative), MAX_TEXT)?;
        utf8(relative, raw)
    }
}

/// The text in `raw`.
///
/// # Errors
/// Not UTF-8, with the line.
pub(crate) fn utf8(relative: &str, raw: Vec<u8>) -> Result<String, SiteError> {
    String::from_utf8(raw).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        Finding::new(relative, line, "the text is not UTF-8", "save it as UTF-8").into()
    })
}

/// A site, read and checked.
#[derive(Debug)]
pub(crate) struct Site {
    /// Where it stands.
    pub(crate) layout: Layout,
    /// `site.toml`.
    pub(crate) settings: Settings,
    /// `appliances.csv`.
    pub(crate) inventory: Vec<Row>,
    /// The groups by name.
    pub(crate) groups: BTreeMap<Name, Group>,
    /// What may be exchanged with whom.
    pub(crate) boundaries: Boundaries,
    /// Enrolled appliances.
    pub(crate) enrolled: BTreeMap<ApplianceId, Enrolled>,
    /// Who holds which certificate; none if the site has no authority.
    pub(crate) authority: Option<authority::Folder>,
}

impl Site {
    /// Reads everything an operator writes but the contents of `files/`.
    ///
    /// # Errors
    /// Everything wrong in the folder, in one go.
    pub(crate) fn read(layout: Layout) -> Result<Self, Failure> {
        let mut findings = Findings::default();
        let settings = findings.keep(layout.text(settings::FILE).and_then(|text| Settings::parse(&text)))?;
        let inventory = findings.keep(layout.text(inventory::FILE).and_then(|text| inventory::parse(&text)))?;
        let (mut groups, mut broken) = (BTreeMap::new(), BTreeSet::new());
        for name in names(&layout.file("groups"), "groups", &mut findings)? {
            let read = layout.text(&group::file(&name)).and_then(|text| Group::parse(&name, &text));
            let values = read_values(&layout, &name, &mut findings)?;
            match findings.keep(read)? {
                Some(group) => groups.insert(name, Group { values, ..group }).map_or((), drop),
                None => broken.extend([name]),
            }
        }
        let mut boundaries = Boundaries::default();
        if let Some(settings) = &settings {
            boundaries = Boundaries::read(&layout, settings.jurisdiction, &mut findings)?;
            boundaries.cross_check(inventory.as_deref().unwrap_or_default(), &mut findings);
        }
        let authority = match &settings {
            Some(settings) => authority::Folder::read(&layout, settings.jurisdiction, &mut findings)?,
            None => None,
        };
        let mut enrolled = BTreeMap::new();
        for id in names(&layout.file("appliances"), "appliances", &mut findings)? {
            let raw = file::read(&layout.file(&Enrolled::file(&id)), enrolled::MAX_LENGTH)?;
            enrolled.insert(id.clone(), Enrolled::parse(&id, &raw)?);
        }
        // What a broken inventory would list is not known: to find its appliances missing would mislead.
        if let Some(inventory) = &inventory {
            cross_check(inventory, &groups, &broken, &enrolled, &mut findings);
        }
        let settings = match (findings.none(), settings) {
            (Ok(()), Some(settings)) => settings,
            (Err(error), _) => return Err(error.into()),
            (Ok(()), None) => return Err(SiteError::Absent(layout.root).into()),
        };
        let inventory = inventory.unwrap_or_default();
        Ok(Self { layout, settings, inventory, groups, boundaries, enrolled, authority })
    }

    /// The lines of `appliances.csv` whose appliances may be addressed.
    pub(crate) fn confirmed(&self) -> impl Iterator<Item = (&Row, &Enrolled)> {
        self.inventory.iter().filter_map(|row| {
            self.enrolled
                .get(&row.id)
                .filter(|found| found.state == enrolled::State::Confirmed)
                .map(|found| (row, found))
        })
    }

    /// Digests of every file the plan depends on, by relative path.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(crate) fn inputs(layout: &Layout) -> Result<BTreeMap<String, Digest>, FileError> {
        let mut inputs = BTreeMap::new();
        for name in [settings::FILE, inventory::FILE] {
            inputs.insert(name.to_owned(), digest_of(&layout.file(name))?);
        }
        for folder in ["appliances", BOUNDARY, authority::folder::FOLDER, "groups"] {
            walk(layout, folder, &mut inputs)?;
        }
        Ok(inputs)
    }
}

fn walk(layout: &Layout, relative: &str, inputs: &mut BTreeMap<String, Digest>) -> Result<(), FileError> {
    let folder = layout.file(relative);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(FileError::read(&folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(FileError::read(&folder))?;
        let below = format!("{relative}/{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(FileError::read(&entry.path()))?;
        if kind.is_dir() {
            walk(layout, &below, inputs)?;
        } else if kind.is_file() {
            inputs.insert(below, digest_of(&entry.path())?);
        }
    }
    Ok(())
}

/// The SHA-256 of a file of any size.
pub(crate) fn digest_of(path: &Path) -> Result<Digest, FileError> {
    use std::io::Read;
    let mut file = fs::File::open(path).map_err(FileError::read(path))?;
    let (mut hasher, mut block) = (Hasher::new(), vec![0; BLOCK]);
    loop {
        match file.read(&mut block).map_err(FileError::read(path))? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&block[..length]),
        }
    }
}

fn read_values(layout: &Layout, group: &Name, findings: &mut Findings) -> Result<BTreeMap<Name, Values>, SiteError> {
    let mut all = BTreeMap::new();
    let folder = format!("groups/{group}/values");
    for name in names(&layout.file(&folder), &folder, findings)? {
        let relative = format!("{folder}/{name}.toml");
        let read = layout.text(&relative).and_then(|text| Values::parse(&relative, &text));
        all.extend(findings.keep(read)?.map(|values| (name, values)));
    }
    Ok(all)
}

/// The names in a folder of the site: of folders for `groups`, else of files without their extension.
pub(super) fn names(folder: &Path, what: &str, findings: &mut Findings) -> Result<Vec<Name>, SiteError> {
    let extension = match what {
        "groups" => "",
        "appliances" => ".json",
        _ => ".toml",
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(FileError::read(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(FileError::read(folder))?;
        let file_name = entry.file_name().to_string_lossy().into_owned();
        if file_name.starts_with('.') || file_name.ends_with('~') {
            continue;
        }
        match file_name.strip_suffix(extension).map(str::parse) {
            Some(Ok(name)) => names.push(name),
            Some(Err(error)) => {
                let relative = format!("{what}/{file_name}");
                let error: casemate_protocol::device::id::IdError = error;
                findings.push(Finding::new(&relative, 0, error.to_string(), "rename it"));
            }
            None => {
                let relative = format!("{what}/{file_name}");
                let suggestion = format!("only <name>{extension} stands in {what}/");
                findings.push(Finding::new(&relative, 0, "this file is not expected here", suggestion));
            }
        }
    }
    names.sort();
    Ok(names)
}

fn cross_check(
    inventory: &[Row],
    groups: &BTreeMap<Name, Group>,
    broken: &BTreeSet<Name>,
    enrolled: &BTreeMap<ApplianceId, Enrolled>,
    findings: &mut Findings,
) {
    let known: Vec<_> = groups.keys().chain(broken).map(Name::as_str).collect();
    for row in inventory {
        for group in row.groups.iter().filter(|group| !known.contains(&group.as_str())) {
            let what = format!("there is no group {group}");
            findings.push(Finding::new(inventory::FILE, row.line, what, nearest(group.as_str(), &known)));
        }
        if groups.contains_key(&row.id) {
            let what = format!("{} is both an appliance and a group", row.id);
            findings.push(Finding::new(
                inventory::FILE,
                row.line,
                what,
                "values could not tell them apart: rename one",
            ));
        }
    }
    let ids: Vec<_> = inventory.iter().map(|row| row.id.as_str()).collect();
    for group in groups.values() {
        for (name, values) in group.values.iter().filter(|(name, _)| **name != group.name) {
            let members = inventory.iter().filter(|row| row.groups.contains(&group.name));
            let mut members: Vec<_> = members.map(|row| row.id.as_str()).collect();
            if !members.contains(&name.as_str()) {
                members.push(group.name.as_str());
                let what = format!("{name} is neither this group nor an appliance in it");
                findings.push(Finding::new(&values.file, 0, what, nearest(name.as_str(), &members)));
            }
        }
    }
    for id in enrolled.keys().filter(|id| !ids.contains(&id.as_str())) {
        let what = format!("{id} has no line in {}", inventory::FILE);
        findings.push(Finding::new(&Enrolled::file(id), 0, what, "add the line, or remove this file to retire it"));
    }
}
