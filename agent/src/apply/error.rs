//! Why a generation could not be built or made current.

use std::io;
use std::path::PathBuf;

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

/// A file operation that failed.
#[derive(Debug, Error)]
#[error("{action} {path} failed")]
pub struct ApplyError {
    pub(super) action: &'static str,
    pub(super) path: PathBuf,
    #[source]
    pub(super) source: io::Error,
}

impl ApplyError {
    pub(super) fn of(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { action, path, source }
    }
}

impl Explain for ApplyError {
    fn code(&self) -> Code {
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DiskFull,
            _ => Code::StateUnavailable,
        }
    }
}
