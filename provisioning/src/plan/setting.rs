//! What a plan changes of a group beside its files: when it is applied and which services must work with it.

use std::collections::BTreeSet;

use casemate_protocol::bundle::manifest::{Consumer, Manifest, OnChange};
use casemate_protocol::bundle::probe::Probe;
use casemate_protocol::bundle::terms::Terms;
use casemate_protocol::device::id::Name;

/// The differences in words: `[apply] window none -> Sun 02:00-05:00`.
pub(crate) fn differences(old: Option<&Manifest>, new: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |what: &str, before: Option<String>, after: Option<String>| {
        if before != after {
            let shown = |value: Option<String>| value.unwrap_or_else(|| "none".into());
            lines.push(format!("{what} {} -> {}", shown(before), shown(after)));
        }
    };
    let apply = old.map(|manifest| &manifest.apply);
    tell("[apply] window", apply.and_then(|apply| apply.window.clone()), new.apply.window.clone());
    tell("[apply] deadline", apply.and_then(|apply| apply.deadline.clone()), new.apply.deadline.clone());
    let list = |confirm: &[String]| (!confirm.is_empty()).then(|| confirm.join(", "));
    tell("[apply] hold", apply.and_then(|apply| apply.hold.clone()), new.apply.hold.clone());
    tell("[apply] confirm", apply.and_then(|apply| list(&apply.confirm)), list(&new.apply.confirm));
    let probes =
        |probes: &[Probe]| (!probes.is_empty()).then(|| probes.iter().map(probed).collect::<Vec<_>>().join("; "));
    tell("[[probe]]", apply.and_then(|apply| probes(&apply.probes)), probes(&new.apply.probes));
    tell("trial", old.and_then(trial), trial(new));
    let known = old.map(|manifest| &manifest.consumers);
    for name in known.into_iter().flatten().chain(&new.consumers).map(|(name, _)| name).collect::<BTreeSet<_>>() {
        let before = known.and_then(|known| known.get(name)).map(described);
        tell(&format!("[consumer.{name}]"), before, new.consumers.get(name).map(described));
    }
    for file in &new.files {
        let files = old.map_or(&[][..], |manifest| &manifest.files);
        let before = files.iter().find(|before| before.path == file.path).and_then(|before| before.consumer.as_ref());
        let name = |name: &Name| name.to_string();
        tell(&format!("{} is read by", file.path), before.map(name), file.consumer.as_ref().map(name));
    }
    lines
}

/// What a manifest asks of the moment it is applied, in one line: `at once` where it asks nothing.
pub(crate) fn conditions(manifest: &Manifest) -> String {
    let window = manifest.apply.window.as_ref().map(|window| format!("in the window {window}"));
    let asked: Vec<_> = window.into_iter().chain(trial(manifest)).collect();
    if asked.is_empty() { "at once".into() } else { asked.join("; ") }
}

/// What has to work, for how long and by when, defaults filled in; none if the switch alone commits.
fn trial(manifest: &Manifest) -> Option<String> {
    let terms = manifest.terms().ok().filter(Terms::is_gated)?;
    let consumers: Vec<_> = terms.awaited.iter().map(ToString::to_string).collect();
    let ready = (!consumers.is_empty()).then(|| format!("{} ready", consumers.join(", ")));
    let count = manifest.probes().map_or(0, |probes| probes.len());
    let held =
        terms.hold_seconds.map(|hold| format!("{count} probe{} held {hold} s", if count == 1 { "" } else { "s" }));
    let asked: Vec<_> = ready.into_iter().chain(held).collect();
    Some(format!("{} within {} s, or back", asked.join(" and "), terms.deadline_seconds))
}

fn probed(probe: &Probe) -> String {
    match probe {
        Probe::Http(url) => format!("{url} answers 2xx"),
        Probe::Tcp(address) => format!("{address} takes connections"),
        Probe::Unix(path) => format!("{path} takes connections"),
        Probe::Unit(unit) => format!("{unit} is active"),
    }
}

fn described(consumer: &Consumer) -> String {
    let ready = consumer.ready.as_ref().map_or_else(String::new, |url| format!(", ready at {url}"));
    let unit = consumer.unit.as_ref().map_or_else(
        || "follows the agent".into(),
        |unit| {
            let verb = match consumer.on_change {
                OnChange::Restart => "restart",
                OnChange::Reload => "reload",
                OnChange::None => "nothing",
            };
            format!("{verb} of {unit} on change")
        },
    );
    format!("{unit}{ready}")
}
