//! A wrong command line, told like every other error.

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

/// What clap found wrong.
#[derive(Debug, Error)]
#[error("{what}")]
pub(super) struct UsageError {
    what: String,
    hints: Vec<String>,
}

impl UsageError {
    /// From clap's text: what is wrong stands in its first paragraph; tips and the usage follow.
    pub(super) fn new(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let mut paragraphs = text.split("\n\n").map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" "));
        let what = paragraphs.next().unwrap_or_default();
        let hints = paragraphs.filter(|hint| !hint.is_empty() && !hint.starts_with("For more information"));
        Self {
            what: what.trim_start_matches("error: ").to_owned(),
            hints: hints.map(|hint| hint.trim_start_matches("tip: ").to_owned()).collect(),
        }
    }
}

impl Explain for UsageError {
    fn code(&self) -> Code {
        Code::UsageInvalid
    }

    fn remedy(&self) -> String {
        self.hints.iter().map(|hint| format!("{hint}; ")).collect::<String>() + "see --help."
    }
}
