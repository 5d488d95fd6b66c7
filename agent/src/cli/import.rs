//! `import`.

use std::cell::{Cell, RefCell};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::boundary::Edit;
use casemate_protocol::code::{Class, Code};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::connection::{CommandError, Setup, ask_watching, is_back, print_json, read};
use super::diff;
use crate::exit::Failure;
use crate::intake::Progress;
use crate::local_api::answer::{BoundaryImport, BundleReport, ImportReport, OwnerState, StatusReport};
use crate::local_api::call::{Call, ImportSource};
use crate::runtime::Look;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// A bundle, a folder of bundles, or a stick with `in/`; the service reads as its own user and does not see /home.
    path: PathBuf,
    /// Verify it and show what would change, file by file; change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until consumers and probes have confirmed the generation; the receipt says later what became of it.
    #[arg(long)]
    no_wait: bool,
}

impl Import {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let absolute = self.path.canonicalize();
        let path = absolute.map_err(|source| CommandError::Read { path: self.path.clone(), source })?;
        let (wait, dry_run) = (!self.no_wait, self.dry_run);
        let bar = progress_bar();
        let told = RefCell::new(String::new());
        let moving = Cell::new(false);
        let import = || {
            let call =
                Call::Import { source: ImportSource::Path(path.clone()), transport: Transport::Local, wait, dry_run };
            let answer = ask_watching(setup, call, |look| {
                if !bar.is_hidden() && !moving.replace(true) {
                    // By a thread of its own: not before the process is confined.
                    bar.enable_steady_tick(Duration::from_millis(200));
                }
                match look {
                    Look::Reading(step) => show_progress(&bar, step),
                    Look::Standing(status) => show_trials(&bar, status, &mut told.borrow_mut()),
                }
            });
            answer.and_then(read::<ImportReport>)
        };
        let mut report = import();
        // Whoever waits is sent away in the middle of a trial only by a daemon that is started anew for it. The same
        // bundle again changes nothing and is answered with the outcome.
        while wait && report.as_ref().is_ok_and(|report| report.code == Code::Probation) && is_back(setup)? {
            report = import();
        }
        bar.finish_and_clear();
        let report = report?;
        if setup.json {
            print_json(&report)?;
        }
        for bundle in &report.bundles {
            show(bundle, dry_run, setup.json);
        }
        Ok(report.code)
    }
}

/// Something that moves while the bundle is read, if somebody looks. How far it is becomes known with the first bytes
/// staged; a daemon does not tell.
fn progress_bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message("verifying");
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar
}

fn show_progress(bar: &ProgressBar, step: Progress) {
    if bar.length() != Some(step.total)
        && let Ok(style) = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {msg} ({elapsed})")
    {
        bar.set_style(style);
        bar.set_length(step.total);
        bar.set_message("verifying and staging");
    }
    bar.set_position(step.done);
}

/// Says what is waited for: on the bar where there is one, otherwise a line whenever that changes.
fn show_trials(bar: &ProgressBar, status: Value, told: &mut String) {
    let Ok(status) = read::<StatusReport>(status) else { return };
    let on_trial = status.owners.iter().filter(|owner| owner.state == OwnerState::Probation);
    let mut text = Vec::new();
    let mut left = None;
    for owner in on_trial {
        let generation = owner.current.as_ref().map_or(0, |current| current.number);
        let whom = match owner.awaited.as_slice() {
            [] => "its probes".into(),
            awaited => awaited.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        };
        text.push(format!("{}: generation {generation} is on trial, waiting for {whom}", owner.id));
        left = left.into_iter().chain(owner.deadline_in_s).min();
    }
    if status.boundary.is_some_and(|boundary| boundary.trial) {
        text.push("the boundary is on trial, waiting for its required peers".into());
    }
    let text = text.join("; ");
    if text.is_empty() {
        return;
    }
    let left = left.map(|left| format!("; undone in {left} s unless confirmed")).unwrap_or_default();
    if !bar.is_hidden() {
        bar.set_message(format!("{text}{left}"));
    } else if *told != text {
        eprintln!("{text}{left}");
        *told = text;
    }
}

/// What the bundle does to the boundary.
fn boundary(import: &BoundaryImport) -> Vec<String> {
    let digest =
        |policy: &Option<Digest>| policy.map_or_else(|| "none".into(), |policy| policy.to_string()[..12].into());
    let (before, after): (String, String) = (digest(&import.before), digest(&import.after));
    let mut lines = vec![format!("boundary: {}, policy {before} → {after}", import.code)];
    if import.code == Code::Probation {
        lines.push("  on trial until every required peer is reached; `casemate-agent boundary show` names them".into());
    } else if import.code.class() != Class::Done {
        lines.push(format!("  {}", import.code.meaning()));
    }
    lines.extend(import.changes.iter().map(|change| {
        let sign = if change.edit == Edit::Added { '+' } else { '-' };
        format!("  {sign} {}", change.item)
    }));
    lines
}

fn show(bundle: &BundleReport, dry_run: bool, json: bool) {
    let name = bundle.file.file_name().unwrap_or(bundle.file.as_os_str()).to_string_lossy();
    if let Some(failure) = &bundle.failure {
        eprintln!("{name}:\n{failure}");
    } else if bundle.code.class() != Class::Done {
        eprintln!("{name}:\nerror: {} ({})\n  to do: {}", bundle.code.meaning(), bundle.code, bundle.code.remedy());
    } else if !json {
        println!("{name}: {}", bundle.code);
        if dry_run {
            println!("  a dry run: this is what an import would begin with; nothing was changed");
        } else if matches!(bundle.code, Code::Waiting | Code::Probation) {
            println!("  {} {}", bundle.code.meaning(), bundle.code.remedy());
        }
    }
    if json {
        return;
    }
    for owner in &bundle.owners {
        let number = |generation: &Option<casemate_protocol::evidence::receipt::GenerationRef>| {
            generation.as_ref().map_or_else(|| "none".into(), |generation| generation.number.to_string())
        };
        println!("  {}: {}, generation {} → {}", owner.id, owner.code, number(&owner.before), number(&owner.after));
    }
    bundle.diff.iter().for_each(diff::show);
    bundle.boundary.iter().flat_map(boundary).for_each(|line| println!("  {line}"));
    if let Some(receipt) = bundle.receipt {
        println!("  receipt {receipt}");
    }
}
