//! The command line the suite speaks.

use std::path::PathBuf;

use crate::Failure;
use crate::http::Url;

/// The whole command line.
pub(crate) struct Arguments {
    pub(crate) metadata_dir: PathBuf,
    pub(crate) command: Command,
}

/// What to do.
pub(crate) enum Command {
    Init { root: PathBuf },
    Refresh { metadata_url: Url },
    Download { metadata_url: Url, targets: Vec<String>, target_base_url: Url, target_dir: PathBuf },
}

impl Arguments {
    /// Reads options in any order and one command.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut metadata_dir, mut metadata_url, mut target_base_url, mut target_dir) = (None, None, None, None);
        let mut targets = Vec::new();
        let mut command = Vec::new();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--metadata-dir" => metadata_dir = Some(value()?),
                "--metadata-url" => metadata_url = Some(value()?),
                "--target-name" => targets.push(value()?),
                "--target-base-url" => target_base_url = Some(value()?),
                "--target-dir" => target_dir = Some(value()?),
                _ => command.push(word),
            }
        }
        let url = |text: Option<String>, option| -> Result<Url, Failure> { text.ok_or(option)?.parse() };
        let command = match command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["init", root] => Command::Init { root: root.into() },
            ["refresh"] => Command::Refresh { metadata_url: url(metadata_url, "--metadata-url is absent")? },
            ["download"] => Command::Download {
                metadata_url: url(metadata_url, "--metadata-url is absent")?,
                targets,
                target_base_url: url(target_base_url, "--target-base-url is absent")?,
                target_dir: target_dir.ok_or("--target-dir is absent")?.into(),
            },
            _ => return Err("expected one of: init ROOT, refresh, download".into()),
        };
        Ok(Self { metadata_dir: metadata_dir.ok_or("--metadata-dir is absent")?.into(), command })
    }
}
