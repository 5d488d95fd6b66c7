//! Why a process could not be confined.

use std::path::{Path, PathBuf};

use casemate_protocol::code::{Code, Explain};
use thiserror::Error;

/// Why a process could not be confined.
#[derive(Debug, Error)]
pub enum ConfineError {
    /// The program could not be started again without its environment.
    #[error("cannot start again with an empty environment")]
    Environment(#[source] std::io::Error),
    /// Landlock holds for threads started later only.
    #[error("{threads} threads run already, 1 may")]
    Threads {
        /// How many.
        threads: usize,
    },
    /// A flag or limit of the process.
    #[error("cannot give up {what}")]
    Privileges {
        /// Which.
        what: &'static str,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// A path a rule is for exists and cannot be opened, or is no program.
    #[error("cannot confine to {path}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The kernel has no Landlock, or refuses the rules.
    #[error("Landlock does not hold: it is not built into this kernel, or not enabled (lsm=landlock,...)")]
    Landlock(#[source] landlock::RulesetError),
    /// The kernel has no seccomp, or refuses the filter.
    #[error("the system call filter does not hold")]
    Seccomp(#[from] seccompiler::Error),
}

impl ConfineError {
    pub(super) fn path(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Path { path: path.as_ref().into(), source }
    }
}

impl Explain for ConfineError {
    fn code(&self) -> Code {
        match self {
            Self::Landlock(_) | Self::Seccomp(_) => Code::KernelTooOld,
            Self::Environment(_) | Self::Threads { .. } | Self::Privileges { .. } | Self::Path { .. } => Code::Internal,
        }
    }
}
