//! One group rendered: its manifest, and those of appliances whose values change the bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::manifest::{FileEntry, Manifest};
use casemate_protocol::bundle::part::Part;
use casemate_protocol::device::id::{ApplianceId, Name, Owner};

use super::object::{Objects, cut, whole};
use crate::file;
use crate::site::finding::{Finding, Findings, SiteError, nearest};
use crate::site::group::{Group, SourceFile, file as bundle_file};
use crate::site::template::Template;
use crate::site::{Layout, Site};

/// Longest file that is rendered, bytes.
const MAX_TEMPLATE: u64 = 4 * 1024 * 1024;

/// A group's manifests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rendered {
    /// For every appliance without one of its own; absent if some value is known per appliance only.
    pub(crate) base: Option<Manifest>,
    /// For appliances whose values change the bytes.
    pub(crate) own: BTreeMap<ApplianceId, Manifest>,
    /// Files below the group's `files/` that no `[[file]]` names.
    pub(crate) unlisted: Vec<String>,
}

/// Renders `group`. Values are checked for every appliance in the inventory, manifests made for confirmed ones.
///
/// # Errors
/// Findings, all at once; or a file cannot be read.
pub(crate) fn render(site: &Site, group: &Group, objects: &mut Objects) -> Result<Rendered, SiteError> {
    let mut rendering = Rendering::new(site, group);
    let contents = rendering.load(&site.layout, objects)?;
    rendering.check_values(&contents);
    rendering.findings.none()?;
    let manifests = Manifests { group, contents: &contents };
    let confirmed = site.confirmed().filter(|(row, _)| row.groups.contains(&group.name));
    let mut rendered = Rendered { base: manifests.base(objects), ..Rendered::default() };
    for (row, _) in confirmed {
        let own = manifests.own(&row.id, objects);
        if rendered.base.as_ref() != Some(&own) {
            rendered.own.insert(row.id.clone(), own);
        }
    }
    rendered.unlisted = unlisted(&site.layout, group);
    Ok(rendered)
}

/// A file's content before values are put in.
enum Loaded<'a> {
    Plain { file: &'a SourceFile, parts: Vec<Part>, length: u64 },
    Template { file: &'a SourceFile, template: Template },
}

struct Rendering<'a> {
    group: &'a Group,
    members: Vec<&'a ApplianceId>,
    findings: Findings,
}

impl<'a> Rendering<'a> {
    fn new(site: &'a Site, group: &'a Group) -> Self {
        let members = site.inventory.iter().filter(|row| row.groups.contains(&group.name));
        Self { group, members: members.map(|row| &row.id).collect(), findings: Findings::default() }
    }

    fn load(&mut self, layout: &Layout, objects: &mut Objects) -> Result<Vec<Loaded<'a>>, SiteError> {
        let mut contents = Vec::new();
        let group = self.group;
        for file in &group.files {
            let Some(path) = self.locate(layout, file) else { continue };
            if file.render {
                let read = self.template(&path, file);
                contents.extend(self.findings.keep(read)?.map(|template| Loaded::Template { file, template }));
            } else {
                let target = format!("groups/{}/files/{}", group.name, file.path);
                let parts = cut(&path, &target, objects)?;
                let length = parts.iter().map(|part| part.length).sum();
                contents.push(Loaded::Plain { file, parts, length });
            }
        }
        Ok(contents)
    }

    /// The regular file behind `from`, no component of it a symbolic link: a link could bring in any file of the
    /// machine.
    fn locate(&mut self, layout: &Layout, file: &SourceFile) -> Option<PathBuf> {
        let folder = format!("groups/{}", self.group.name);
        let mut path = layout.file(&folder);
        let mut wrong = |what: String, suggestion: String| {
            self.findings.push(Finding::new(&bundle_file(&self.group.name), file.line, what, suggestion));
        };
        for component in Path::new(&file.from).components() {
            let above = path.clone();
            path.push(component);
            match fs::symlink_metadata(&path) {
                Err(_) => {
                    let name = component.as_os_str().to_string_lossy().into_owned();
                    let there = listing(&above);
                    let there: Vec<_> = there.iter().map(String::as_str).collect();
                    let hint = if there.is_empty() { "put it there".into() } else { nearest(&name, &there) };
                    wrong(format!("{folder}/{} does not exist", file.from), hint);
                    return None;
                }
                Ok(found) if found.is_symlink() => {
                    wrong(
                        format!("{folder}/{} goes through a symbolic link", file.from),
                        "put the file itself there".into(),
                    );
                    return None;
                }
                Ok(_) => {}
            }
        }
        if path.is_file() {
            return Some(path);
        }
        wrong(format!("{folder}/{} is no regular file", file.from), "list files, not folders".into());
        None
    }

    fn template(&self, path: &Path, file: &SourceFile) -> Result<Template, SiteError> {
        let relative = format!("groups/{}/{}", self.group.name, file.from);
        let raw = file::read(path, MAX_TEMPLATE)?;
        let text = String::from_utf8(raw).map_err(|_| {
            Finding::new(&relative, 0, "the file is not UTF-8 and cannot be rendered", "remove render = true")
        })?;
        Template::parse(&text).map_err(|misplaced| {
            let suggestion = "write {{ name }}, or {{ \"{{\" }} for two literal braces";
            Finding::new(&relative, misplaced.line, misplaced.what, suggestion).into()
        })
    }

    /// Every name has a value for every appliance, every value is used.
    fn check_values(&mut self, contents: &[Loaded<'_>]) {
        let group = self.group;
        let mut used: BTreeSet<&str> = BTreeSet::new();
        for content in contents {
            let Loaded::Template { file, template } = content else { continue };
            for (name, line) in template.names() {
                used.insert(name);
                if let Some(lacking) = self.lacking(name) {
                    let relative = format!("groups/{}/{}", group.name, file.from);
                    let what = format!("{{{{ {name} }}}} has no value{lacking}");
                    let known: BTreeSet<_> =
                        group.values.values().flat_map(|values| values.entries.keys()).map(String::as_str).collect();
                    let known: Vec<_> = known.into_iter().collect();
                    let near = similar::get_close_matches(name, &known, 1, 0.6).first().copied();
                    let add = format!("add it to groups/{0}/values/{0}.toml or the appliance's own", group.name);
                    let suggestion = near.map_or(add, |near| format!("did you mean {{{{ {near} }}}}?"));
                    self.findings.push(Finding::new(&relative, line, what, suggestion));
                }
            }
        }
        if contents.len() < group.files.len() {
            // A file that could not be read may use any of them.
            return;
        }
        let known: Vec<_> = used.iter().copied().collect();
        for values in group.values.values() {
            for (name, entry) in values.entries.iter().filter(|(name, _)| !used.contains(name.as_str())) {
                let what = format!("{name} is used by no rendered file of the group");
                let suggestion = match similar::get_close_matches(name.as_str(), &known, 1, 0.6).first() {
                    Some(near) => format!("did you mean {near}?"),
                    None => "remove it, or set render = true where it belongs".into(),
                };
                self.findings.push(Finding::new(&values.file, entry.line, what, suggestion));
            }
        }
    }

    /// For whom `name` has no value: `None` if for nobody.
    fn lacking(&self, name: &str) -> Option<String> {
        let has = |owner: &Name| self.group.values.get(owner).is_some_and(|values| values.get(name).is_some());
        if has(&self.group.name) {
            return None;
        }
        let without: Vec<_> = self.members.iter().filter(|id| !has(id)).map(|id| id.as_str()).collect();
        match (self.members.is_empty(), without.as_slice()) {
            // Values that exist only per appliance wait for the appliance.
            (true, _) if self.group.values.values().any(|values| values.get(name).is_some()) => None,
            (true, _) => Some(String::new()),
            (false, []) => None,
            (false, without) => Some(format!(" for {}", without.join(", "))),
        }
    }
}

struct Manifests<'a> {
    group: &'a Group,
    contents: &'a [Loaded<'a>],
}

impl Manifests<'_> {
    /// The manifest for everybody; `None` if a template needs a value that only appliances have.
    fn base(&self, objects: &mut Objects) -> Option<Manifest> {
        let files = self.contents.iter().map(|content| self.shared(content, objects)).collect::<Option<Vec<_>>>()?;
        Some(self.manifest(files))
    }

    /// The manifest for `id`: shared files where the bytes are equal, its own elsewhere.
    fn own(&self, id: &ApplianceId, objects: &mut Objects) -> Manifest {
        let files = self.contents.iter().filter_map(|content| {
            let shared = self.shared(content, objects);
            let Loaded::Template { file, template } = content else { return shared };
            // Complete: `check_values` found every name for every appliance of the group.
            let bytes = self.fill(template, Some(id))?.into_bytes();
            let target = format!("groups/{}/appliances/{id}/files/{}", self.group.name, file.path);
            let mut own_objects = Objects::new();
            let own = entry(file, bytes.len() as u64, whole(bytes, target, &mut own_objects));
            match shared {
                Some(shared) if same_bytes(&shared, &own) => Some(shared),
                _ => {
                    objects.append(&mut own_objects);
                    Some(own)
                }
            }
        });
        let files = files.collect();
        self.manifest(files)
    }

    /// A file with the group's values alone.
    fn shared(&self, content: &Loaded<'_>, objects: &mut Objects) -> Option<FileEntry> {
        match content {
            Loaded::Plain { file, parts, length } => Some(entry(file, *length, parts.clone())),
            Loaded::Template { file, template } => {
                let bytes = self.fill(template, None)?.into_bytes();
                let target = format!("groups/{}/files/{}", self.group.name, file.path);
                Some(entry(file, bytes.len() as u64, whole(bytes, target, objects)))
            }
        }
    }

    fn fill(&self, template: &Template, appliance: Option<&ApplianceId>) -> Option<String> {
        let owners = appliance.into_iter().chain([&self.group.name]);
        template.fill(|name| owners.clone().find_map(|owner| self.group.values.get(owner)?.get(name)))
    }

    fn manifest(&self, files: Vec<FileEntry>) -> Manifest {
        Manifest {
            format: 1,
            owner: Owner::Group(self.group.name.clone()),
            summary: self.group.summary.clone(),
            files,
            apply: self.group.apply.clone(),
            consumers: self.group.consumers.clone(),
        }
    }
}

fn entry(file: &SourceFile, length: u64, parts: Vec<Part>) -> FileEntry {
    FileEntry { path: file.path.clone(), length, parts, consumer: file.consumer.clone() }
}

fn same_bytes(one: &FileEntry, two: &FileEntry) -> bool {
    let bytes = |entry: &FileEntry| entry.parts.iter().map(|part| (part.length, part.sha256)).collect::<Vec<_>>();
    bytes(one) == bytes(two)
}

fn listing(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Files an operator put beside the others and forgot to list.
fn unlisted(layout: &Layout, group: &Group) -> Vec<String> {
    let listed: BTreeSet<_> = group.files.iter().map(|file| file.from.as_str()).collect();
    let top = layout.file(&format!("groups/{}", group.name));
    let mut found = Vec::new();
    let mut folders = vec!["files".to_owned()];
    while let Some(folder) = folders.pop() {
        for name in listing(&top.join(&folder)) {
            let relative = format!("{folder}/{name}");
            if top.join(&relative).is_dir() {
                folders.push(relative);
            } else if !listed.contains(relative.as_str()) {
                found.push(format!("groups/{}/{relative}", group.name));
            }
        }
    }
    found.sort();
    found
}
