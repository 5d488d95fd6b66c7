//! Values as written in a boundary file: each wrong one is a finding at its own line.

use std::fmt::Display;
use std::str::FromStr;

use casemate_protocol::boundary::{BoundaryError, Network};
use casemate_protocol::digest::Digest;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};
use toml::Spanned;

use crate::site::finding::{Finding, Findings, line_of, nearest};

/// One file while it is read.
pub(super) struct Reading<'a> {
    file: &'a str,
    text: &'a str,
    pub(super) findings: Findings,
}

impl<'a> Reading<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, findings: Findings::default() }
    }

    pub(super) fn wrong<T>(&mut self, at: &Spanned<T>, what: impl Into<String>, suggestion: impl Into<String>) {
        let line = line_of(self.text, at.span().start);
        self.findings.push(Finding::new(self.file, line, what, suggestion));
    }

    /// A rule of the format that does not hold at `at`.
    pub(super) fn refused<T>(&mut self, at: &Spanned<T>, error: &BoundaryError) {
        let suggestion = match error {
            BoundaryError::Wider { .. } => "narrow it: root binds the envelope, so no signature here can widen that",
            BoundaryError::TooMany { .. } => "join entries, or make two boundaries of it",
            _ => "docs/site.md, boundary, says what stands here",
        };
        self.wrong(at, error.to_string(), suggestion);
    }

    /// `format` is optional; there is only one so far.
    pub(super) fn format(&mut self, format: Option<&Spanned<u32>>) {
        if let Some(format) = format.filter(|format| *format.get_ref() != 1) {
            self.wrong(format, format!("format {} is not known", format.get_ref()), "write format = 1");
        }
    }

    pub(super) fn value<T: FromStr<Err: Display>>(&mut self, at: &Spanned<String>, suggestion: &str) -> Option<T> {
        let parsed = at.get_ref().parse();
        parsed.map_err(|error: T::Err| self.wrong(at, error.to_string(), suggestion)).ok()
    }

    pub(super) fn network(&mut self, at: &Spanned<String>) -> Option<Network> {
        self.value(at, "write it as 10.20.0.0/16, 10.20.0.5 or fd00:1::/32; names are never resolved")
    }

    pub(super) fn digest(&mut self, at: &Spanned<String>) -> Option<Digest> {
        let parsed = at.get_ref().parse();
        let what = format!("{:?} is no SHA-256", at.get_ref());
        parsed.map_err(|_| self.wrong(at, what, "write 64 lower-case hexadecimal digits")).ok()
    }

    /// One of `known`, as the format spells it.
    pub(super) fn word<T: DeserializeOwned>(&mut self, at: &Spanned<String>, what: &str, known: &[&str]) -> Option<T> {
        let parsed = T::deserialize(StrDeserializer::<ValueError>::new(at.get_ref()));
        let wrong = format!("{:?} is no {what}", at.get_ref());
        parsed.map_err(|_| self.wrong(at, wrong, nearest(at.get_ref(), known))).ok()
    }
}
