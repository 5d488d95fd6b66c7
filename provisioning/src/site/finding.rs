//! What is wrong in a site folder, and where.

use std::fmt;

use casemate_protocol::code::{Code, Explain};

use crate::exit::Failure;
use crate::file::FileError;

/// One thing that is wrong in a file an operator wrote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// The file, relative to the site folder.
    pub(crate) file: String,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What would be right.
    pub(crate) suggestion: String,
}

impl Finding {
    /// A finding at `file:line`.
    pub(crate) fn new(file: &str, line: usize, what: impl Into<String>, suggestion: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into(), suggestion: suggestion.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = if self.line == 0 { String::new() } else { format!(":{}", self.line) };
        write!(f, "{}{line}: {}; {}", self.file, self.what, self.suggestion)
    }
}

/// Why a site folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SiteError {
    /// Files are wrong; everything found in one pass.
    #[error("{}", list(.0))]
    Findings(Vec<Finding>),
    /// There is no site here.
    #[error("there is no site in {}: site.toml is absent", .0.display())]
    Absent(std::path::PathBuf),
    /// A file or folder cannot be read.
    #[error("the site folder cannot be read")]
    File(#[from] FileError),
}

fn list(findings: &[Finding]) -> String {
    findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n       ")
}

impl From<Finding> for SiteError {
    fn from(finding: Finding) -> Self {
        Self::Findings(vec![finding])
    }
}

impl Explain for SiteError {
    fn code(&self) -> Code {
        match self {
            Self::Findings(_) | Self::Absent(_) => Code::SiteInvalid,
            Self::File(error) => error.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Findings(findings) if findings.iter().all(|finding| finding.file.starts_with("--")) => {
                "Correct the option named above.".into()
            }
            Self::Findings(findings) if findings.len() == 1 => self.code().remedy().into(),
            Self::Findings(_) => "Correct the lines named above.".into(),
            Self::Absent(_) => {
                "Run this in the site folder, name it with --site, or make one with `casemate init`.".into()
            }
            Self::File(error) => error.remedy(),
        }
    }
}

/// Collects findings so that one run shows all of them.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one.
    pub(crate) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// Forgets the others.
    pub(crate) fn retain(&mut self, wanted: impl Fn(&Finding) -> bool) {
        self.0.retain(wanted);
    }

    /// The value of `result`; what is wrong in it is kept and `None` returned.
    ///
    /// # Errors
    /// A file that cannot be read stops everything.
    pub(crate) fn keep<T>(&mut self, result: Result<T, SiteError>) -> Result<Option<T>, SiteError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(SiteError::Findings(mut found)) => {
                self.0.append(&mut found);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Nothing was found.
    ///
    /// # Errors
    /// Everything that was, sorted by file and line.
    pub(crate) fn none(mut self) -> Result<(), SiteError> {
        self.0.sort();
        self.0.dedup();
        if self.0.is_empty() { Ok(()) } else { Err(SiteError::Findings(self.0)) }
    }
}

/// The line, from 1, of byte `offset` in `text`.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// `did you mean …?`, or the list of what there is.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    match similar::get_close_matches(word, known, 1, 0.6).first() {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => "there are none to choose from".into(),
        None => format!("there are: {}", known.join(", ")),
    }
}

/// A TOML document of a known shape.
///
/// # Errors
/// The first thing TOML or the shape does not allow, with its line.
pub(crate) fn parse_toml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, Finding> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        let (what, suggestion) = split(error.message());
        Finding::new(file, line, what, suggestion)
    })
}

/// serde's "unknown field `x`, expected one of `a`, `b`" as what is wrong and what to do.
fn split(message: &str) -> (String, String) {
    let message = message.replace('\n', ", ");
    if let Some((what, expected)) = message.split_once(", expected ") {
        let ticked = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let (found, known) = (ticked(what), ticked(expected));
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let hint = found.first().map(|found| nearest(found, &known)).filter(|_| what.starts_with("unknown"));
        return (what.to_owned(), hint.unwrap_or_else(|| format!("expected {expected}")));
    }
    if let Some(field) = message.strip_prefix("missing field ") {
        return (message.clone(), format!("add {field}"));
    }
    (message, "see docs/site.md for what stands here".into())
}

/// Used where a finding alone ends a command.
impl From<Finding> for Failure {
    fn from(finding: Finding) -> Self {
        SiteError::from(finding).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Shape {
        #[serde(rename = "summary")]
        _summary: String,
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line_and_the_nearest_right_one() {
        let found = parse_toml::<Shape>("a.toml", "# head\n\nsumary = \"x\"\n").unwrap_err();
        assert_eq!(found.to_string(), "a.toml:3: unknown field `sumary`; did you mean \"summary\"?");
    }

    #[test]
    fn a_missing_key_and_a_wrong_type_say_what_to_write() {
        let found = parse_toml::<Shape>("a.toml", "").unwrap_err();
        assert_eq!(found.suggestion, "add `summary`");
        let found = parse_toml::<Shape>("a.toml", "\nsummary = 3\n").unwrap_err();
        assert_eq!((found.line, found.suggestion.as_str()), (2, "expected a string"));
    }
}
