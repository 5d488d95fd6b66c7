//! `groups/<group>/bundle.toml`: what the appliances of a group get.

use std::collections::BTreeMap;

use casemate_protocol::bundle::manifest::{Apply, Consumer, MAX_FILES, Manifest, OnChange};
use casemate_protocol::bundle::probe::Probe;
use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::id::{Name, Owner};
use serde::Deserialize;
use toml::Spanned;

use super::finding::{Finding, Findings, SiteError, line_of, nearest, parse_toml};
use super::values::Values;

/// Longest summary, characters: signers read it in one breath.
const MAX_SUMMARY: usize = 200;
const ON_CHANGE: [&str; 3] = ["restart", "reload", "none"];

/// A group as written and checked.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Its name, the folder's.
    pub(crate) name: Name,
    /// What signers are shown.
    pub(crate) summary: String,
    /// How and when to apply.
    pub(crate) apply: Apply,
    /// Its files, sorted by path.
    pub(crate) files: Vec<SourceFile>,
    /// Services that must work with it.
    pub(crate) consumers: BTreeMap<Name, Consumer>,
    /// `values/*.toml` by the group or appliance they are for.
    pub(crate) values: BTreeMap<Name, Values>,
}

/// One `[[file]]`.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// Where it stands on the appliance.
    pub(crate) path: FilePath,
    /// Where its content is, relative to the group's folder.
    pub(crate) from: String,
    /// Whether `{{ name }}` is replaced.
    pub(crate) render: bool,
    /// Who reads it.
    pub(crate) consumer: Option<Name>,
    /// Where it is written.
    pub(crate) line: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: Spanned<u32>,
    summary: Spanned<String>,
    #[serde(default)]
    apply: ApplyWritten,
    #[serde(default)]
    file: Vec<Spanned<FileWritten>>,
    #[serde(default)]
    consumer: BTreeMap<Name, ConsumerWritten>,
    #[serde(default)]
    probe: Vec<Spanned<ProbeWritten>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyWritten {
    window: Option<Spanned<String>>,
    deadline: Option<Spanned<String>>,
    hold: Option<Spanned<String>>,
    #[serde(default)]
    confirm: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileWritten {
    path: Spanned<FilePath>,
    from: Option<Spanned<String>>,
    #[serde(default)]
    render: bool,
    consumer: Option<Spanned<Name>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumerWritten {
    unit: Option<Spanned<String>>,
    on_change: Option<Spanned<String>>,
    ready: Option<Spanned<String>>,
}

/// One `[[probe]]`: exactly one of the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeWritten {
    http: Option<String>,
    tcp: Option<String>,
    unix: Option<String>,
    unit: Option<String>,
}

/// The path of a group's `bundle.toml` in the site.
pub(crate) fn file(name: &Name) -> String {
    format!("groups/{name}/bundle.toml")
}

impl Group {
    /// Reads the text of `groups/<name>/bundle.toml`; values come from files of their own.
    ///
    /// # Errors
    /// Everything wrong in it.
    pub(crate) fn parse(name: &Name, text: &str) -> Result<Self, SiteError> {
        let written: Written = parse_toml(&file(name), text)?;
        let mut reading = Reading { file: file(name), group: name.clone(), text, findings: Findings::default() };
        reading.head(&written);
        let consumers = reading.consumers(written.consumer);
        reading.confirmations(&written.apply.confirm, &consumers);
        let apply = reading.apply(&written.apply, &written.probe);
        let files = reading.files(written.file, &consumers);
        if reading.findings.is_empty() {
            // What is wrong only together has no line of its own.
            reading.judge(&written.summary, &apply, &consumers);
        }
        reading.findings.none()?;
        Ok(Self {
            name: name.clone(),
            summary: written.summary.into_inner(),
            apply,
            files,
            consumers,
            values: BTreeMap::new(),
        })
    }
}

struct Reading<'a> {
    file: String,
    group: Name,
    text: &'a str,
    findings: Findings,
}

impl Reading<'_> {
    fn wrong<T>(&mut self, at: &Spanned<T>, what: impl Into<String>, suggestion: impl Into<String>) {
        let line = line_of(self.text, at.span().start);
        self.findings.push(Finding::new(&self.file, line, what, suggestion));
    }

    fn head(&mut self, written: &Written) {
        if *written.format.get_ref() != 1 {
            self.wrong(
                &written.format,
                format!("format {} is not known", written.format.get_ref()),
                "write format = 1",
            );
        }
        let summary = written.summary.get_ref();
        if summary.trim().is_empty() {
            self.wrong(&written.summary, "the summary is empty", "say in one line what changes and why");
        } else if summary.chars().count() > MAX_SUMMARY || summary.chars().any(char::is_control) {
            let suggestion = format!("write one line of at most {MAX_SUMMARY} characters");
            self.wrong(&written.summary, "the summary is no single line", suggestion);
        }
    }

    /// Each setting is judged by the appliance's own reading of the manifest, alone, so that its own line is named.
    fn apply(&mut self, written: &ApplyWritten, probes: &[Spanned<ProbeWritten>]) -> Apply {
        let text = |setting: &Option<Spanned<String>>| setting.as_ref().map(|setting| setting.get_ref().clone());
        let apply = Apply {
            window: text(&written.window),
            deadline: text(&written.deadline),
            hold: text(&written.hold),
            confirm: written.confirm.iter().map(|entry| entry.get_ref().clone()).collect(),
            probes: self.probes(probes),
        };
        let alone = Apply::default;
        for (setting, apply) in [
            (&written.window, Apply { window: apply.window.clone(), ..alone() }),
            (&written.deadline, Apply { deadline: apply.deadline.clone(), ..alone() }),
            (&written.hold, Apply { hold: apply.hold.clone(), ..alone() }),
        ] {
            if let Some(setting) = setting {
                self.judge(setting, &apply, &BTreeMap::new());
            }
        }
        apply
    }

    /// Complains at `place` about what the appliance would refuse in `apply` and `consumers`.
    fn judge<T>(&mut self, place: &Spanned<T>, apply: &Apply, consumers: &BTreeMap<Name, Consumer>) {
        let manifest = Manifest {
            format: 1,
            owner: Owner::Group(self.group.clone()),
            summary: String::new(),
            files: Vec::new(),
            apply: apply.clone(),
            consumers: consumers.clone(),
        };
        if let Err(error) = manifest.terms() {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            self.wrong(place, cause, "see docs/site.md");
        }
    }

    fn probes(&mut self, written: &[Spanned<ProbeWritten>]) -> Vec<Probe> {
        let mut probes = Vec::new();
        for entry in written {
            let ProbeWritten { http, tcp, unix, unit } = entry.get_ref();
            let kinds = [
                http.clone().map(Probe::Http),
                tcp.clone().map(Probe::Tcp),
                unix.clone().map(Probe::Unix),
                unit.clone().map(Probe::Unit),
            ];
            let mut named = kinds.into_iter().flatten();
            let (Some(probe), None) = (named.next(), named.next()) else {
                self.wrong(entry, "a probe asks exactly one thing", "write one of http, tcp, unix or unit");
                continue;
            };
            self.judge(entry, &Apply { probes: vec![probe.clone()], ..Apply::default() }, &BTreeMap::new());
            probes.push(probe);
        }
        probes
    }

    /// What confirms has to exist, which only the whole file tells.
    fn confirmations(&mut self, confirm: &[Spanned<String>], consumers: &BTreeMap<Name, Consumer>) {
        for entry in confirm {
            let apply = Apply { confirm: vec![entry.get_ref().clone()], ..Apply::default() };
            self.judge(entry, &apply, consumers);
        }
    }

    fn consumers(&mut self, written: BTreeMap<Name, ConsumerWritten>) -> BTreeMap<Name, Consumer> {
        let mut consumers = BTreeMap::new();
        for (name, consumer) in written {
            let one = |consumer: Consumer| BTreeMap::from([(name.clone(), consumer)]);
            let mut checked = Consumer { unit: None, on_change: OnChange::None, ready: None };
            if let Some(unit) = consumer.unit {
                checked.unit = Some(unit.get_ref().clone());
                self.judge(&unit, &Apply::default(), &one(checked.clone()));
            }
            if let Some(on_change) = consumer.on_change {
                match on_change.get_ref().as_str() {
                    "restart" => checked.on_change = OnChange::Restart,
                    "reload" => checked.on_change = OnChange::Reload,
                    "none" => {}
                    other => {
                        let suggestion = nearest(other, &ON_CHANGE);
                        self.wrong(&on_change, format!("{other:?} is no reaction"), suggestion);
                    }
                }
                if checked.unit.is_none() && checked.on_change != OnChange::None {
                    self.wrong(&on_change, "there is no unit to change", "name it: unit = \"nginx.service\"");
                }
            }
            if let Some(ready) = consumer.ready {
                let only = Consumer { ready: Some(ready.get_ref().clone()), unit: None, on_change: OnChange::None };
                self.judge(&ready, &Apply::default(), &one(only));
                checked.ready = Some(ready.into_inner());
            }
            consumers.insert(name, checked);
        }
        consumers
    }

    fn files(&mut self, written: Vec<Spanned<FileWritten>>, consumers: &BTreeMap<Name, Consumer>) -> Vec<SourceFile> {
        if let Some(beyond) = written.get(MAX_FILES) {
            self.wrong(
                beyond,
                format!("more than {MAX_FILES} files"),
                "pack small files that belong together into one",
            );
        }
        let known: Vec<_> = consumers.keys().map(Name::as_str).collect();
        let mut files: BTreeMap<FilePath, SourceFile> = BTreeMap::new();
        for file in written.into_iter().map(Spanned::into_inner) {
            if let Some(consumer) = &file.consumer
                && !consumers.contains_key(consumer.get_ref())
            {
                let what = format!("consumer {} is not defined", consumer.get_ref());
                self.wrong(consumer, what, nearest(consumer.get_ref().as_str(), &known));
            }
            if let Some(from) = &file.from
                && !is_inside(from.get_ref())
            {
                let what = format!("{:?} leaves the group's folder", from.get_ref());
                self.wrong(from, what, "write a relative path without '..'");
            }
            if let Some((other, what)) = collision(&files, file.path.get_ref()) {
                self.wrong(&file.path, format!("{what}, line {other}"), "give every file a place of its own");
                continue;
            }
            let line = line_of(self.text, file.path.span().start);
            let path = file.path.into_inner();
            let from = file.from.map_or_else(|| format!("files/{path}"), Spanned::into_inner);
            let consumer = file.consumer.map(Spanned::into_inner);
            files.insert(path.clone(), SourceFile { path, from, render: file.render, consumer, line });
        }
        files.into_values().collect()
    }
}

/// The line of a file that stands at `path`, or where a folder of `path` should, or below it.
fn collision(files: &BTreeMap<FilePath, SourceFile>, path: &FilePath) -> Option<(usize, String)> {
    files.values().find_map(|other| {
        let (one, two) = (other.path.as_str(), path.as_str());
        let below = |upper: &str, lower: &str| lower.strip_prefix(upper).is_some_and(|rest| rest.starts_with('/'));
        if one == two {
            Some((other.line, format!("{path} is listed twice")))
        } else if below(one, two) || below(two, one) {
            Some((other.line, format!("{path} and {one} cannot both be files")))
        } else {
            None
        }
    })
}

/// A relative path that stays below where it starts.
fn is_inside(path: &str) -> bool {
    use std::path::{Component, Path};
    !path.is_empty() && Path::new(path).components().all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests;
