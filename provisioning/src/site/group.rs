//! `groups/<group>/bundle.toml`: what the appliances of a group get.

use std::collections::BTreeMap;

use casemate_protocol::bundle::manifest::{Apply, Consumer, MAX_FILES};
use casemate_protocol::bundle::target_path::FilePath;
use casemate_protocol::device::id::Name;
use serde::Deserialize;
use toml::Spanned;

use super::finding::{Finding, Findings, SiteError, line_of, nearest, parse_toml};
use super::values::Values;

/// Longest summary, characters: signers read it in one breath.
const MAX_SUMMARY: usize = 200;
const CONFIRMATIONS: [&str; 2] = ["consumers", "control-plane"];
const ON_CHANGE: [&str; 3] = ["restart", "reload", "none"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

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
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyWritten {
    window: Option<Spanned<String>>,
    deadline: Option<Spanned<String>>,
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
    unit: Spanned<String>,
    on_change: Spanned<String>,
    ready: Option<Spanned<String>>,
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
        let mut reading = Reading { file: file(name), text, findings: Findings::default() };
        reading.head(&written);
        let apply = reading.apply(written.apply);
        let consumers = reading.consumers(written.consumer);
        let files = reading.files(written.file, &consumers);
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

    fn apply(&mut self, written: ApplyWritten) -> Apply {
        if let Some(window) = &written.window
            && !is_window(window.get_ref())
        {
            self.wrong(
                window,
                format!("{:?} is no window", window.get_ref()),
                "write a day and two UTC times: \"Sun 02:00-05:00\"",
            );
        }
        if let Some(deadline) = &written.deadline
            && !is_duration(deadline.get_ref())
        {
            self.wrong(
                deadline,
                format!("{:?} is no duration", deadline.get_ref()),
                "write a number and s, m or h: \"10m\"",
            );
        }
        for entry in &written.confirm {
            if !CONFIRMATIONS.contains(&entry.get_ref().as_str()) {
                self.wrong(
                    entry,
                    format!("{:?} cannot confirm", entry.get_ref()),
                    nearest(entry.get_ref(), &CONFIRMATIONS),
                );
            }
        }
        Apply {
            window: written.window.map(Spanned::into_inner),
            deadline: written.deadline.map(Spanned::into_inner),
            confirm: written.confirm.into_iter().map(Spanned::into_inner).collect(),
        }
    }

    fn consumers(&mut self, written: BTreeMap<Name, ConsumerWritten>) -> BTreeMap<Name, Consumer> {
        let mut consumers = BTreeMap::new();
        for (name, consumer) in written {
            if !is_unit(consumer.unit.get_ref()) {
                let what = format!("{:?} is no service unit", consumer.unit.get_ref());
                self.wrong(&consumer.unit, what, "write a systemd unit name ending in .service");
            }
            if !ON_CHANGE.contains(&consumer.on_change.get_ref().as_str()) {
                let suggestion = nearest(consumer.on_change.get_ref(), &ON_CHANGE);
                self.wrong(
                    &consumer.on_change,
                    format!("{:?} is no reaction", consumer.on_change.get_ref()),
                    suggestion,
                );
            }
            if let Some(ready) = &consumer.ready
                && !is_loopback_url(ready.get_ref())
            {
                let what = format!("{:?} is not on this appliance", ready.get_ref());
                self.wrong(ready, what, "write a URL that starts with http://127.0.0.1 or http://[::1]");
            }
            let checked = Consumer {
                unit: consumer.unit.into_inner(),
                on_change: consumer.on_change.into_inner(),
                ready: consumer.ready.map(Spanned::into_inner),
            };
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

/// `Sun 02:00-05:00`.
fn is_window(text: &str) -> bool {
    let time = |text: &str| {
        text.split_once(':').is_some_and(|(hour, minute)| {
            let number = |text: &str, end: u8| text.len() == 2 && text.parse::<u8>().is_ok_and(|number| number < end);
            number(hour, 24) && number(minute, 60)
        })
    };
    text.split_once(' ').is_some_and(|(day, span)| {
        DAYS.contains(&day) && span.split_once('-').is_some_and(|(from, to)| time(from) && time(to) && from != to)
    })
}

/// `90s`, `10m`, `2h`.
fn is_duration(text: &str) -> bool {
    text.strip_suffix(['s', 'm', 'h']).is_some_and(|number| number.parse::<u32>().is_ok_and(|number| number > 0))
}

fn is_unit(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-' | b':');
    text.len() <= 255 && text.len() > ".service".len() && text.ends_with(".service") && text.bytes().all(allowed)
}

/// HTTP on loopback: a consumer's readiness is asked on the appliance itself and nowhere else.
fn is_loopback_url(text: &str) -> bool {
    ["http://127.0.0.1", "http://[::1]"].iter().filter_map(|start| text.strip_prefix(start)).any(|rest| {
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'@');
        (rest.is_empty() || rest.starts_with([':', '/'])) && plain
    })
}

#[cfg(test)]
mod tests;
