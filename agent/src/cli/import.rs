//! `import`.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use casemate_protocol::code::{Class, Code};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::connection::{CommandError, Setup, ask_watching, print_json, read};
use crate::exit::Failure;
use crate::intake::Progress;
use crate::local_api::answer::{BundleReport, ImportReport};
use crate::local_api::call::{Call, ImportSource};

#[derive(Debug, Args)]
pub(super) struct Import {
    /// A bundle, a folder of bundles, or a stick with `in/`.
    path: PathBuf,
}

impl Import {
    pub(super) fn run(self, setup: &Setup) -> Result<Code, Failure> {
        let absolute = self.path.canonicalize();
        let path = absolute.map_err(|source| CommandError::Read { path: self.path.clone(), source })?;
        let call = Call::Import { source: ImportSource::Path(path), wait: false, dry_run: false };
        let bar = progress_bar();
        let shown = bar.clone();
        let answer = ask_watching(setup, call, move |step| show_progress(&shown, step));
        bar.finish_and_clear();
        let report: ImportReport = read(answer?)?;
        if setup.json {
            print_json(&report)?;
        }
        for bundle in &report.bundles {
            show(bundle, setup.json);
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
    bar.enable_steady_tick(Duration::from_millis(200));
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

fn show(bundle: &BundleReport, json: bool) {
    let name = bundle.file.file_name().unwrap_or(bundle.file.as_os_str()).to_string_lossy();
    if let Some(failure) = &bundle.failure {
        eprintln!("{name}:\n{failure}");
    } else if bundle.code.class() != Class::Done {
        eprintln!("{name}:\nerror: {} ({})\n  to do: {}", bundle.code.meaning(), bundle.code, bundle.code.remedy());
    } else if !json {
        println!("{name}: {}", bundle.code);
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
    if let Some(receipt) = bundle.receipt {
        println!("  receipt {receipt}");
    }
}
