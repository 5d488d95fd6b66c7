//! Intake: a bundle in, a verdict and staged objects out, and a hostile archive costs one child.
//!
//! ```text
//!            opened input (stdin)             frames (a socket pair as stdout)
//!  parent ──────────────────────▶ child ◀───────────────────────────────────▶ parent
//!    │  no path, no name            │  seccomp without sockets, no new privileges,
//!    │                              │  resource limits, not dumpable
//!    │                              └─ writes objects, under their hashes only, into the staging folder (its cwd)
//!    └─ after reaping: appraises the metadata again, hashes every object up to 1 MiB again, checks the others' size
//! ```
//!
//! Everything here blocks: call it from a thread that may.

mod error;
mod input;
mod order;

pub use error::{IntakeError, Remains};
pub use input::Input;
pub use order::{Order, Progress, Survey};

use std::path::Path;

use casemate_protocol::bundle::appraisal::{Verdict, Wanted};
use casemate_protocol::digest::Digest;

/// The hidden first argument that makes the binary a child. Look for it before any other argument parsing: a child
/// starts often and lives shortly.
pub const CHILD_ARGUMENT: &str = "intake-child";

/// The program that is started as the child.
#[derive(Clone, Debug)]
pub struct Launcher {
    program: std::path::PathBuf,
}

impl Launcher {
    /// The running program itself, even after its file was replaced.
    #[must_use]
    pub fn this_program() -> Self {
        Self { program: "/proc/self/exe".into() }
    }

    /// Another program with the same entry: for tests, whose own binary has none.
    #[must_use]
    pub fn program(path: &Path) -> Self {
        Self { program: path.into() }
    }

    /// Appraises `input` whole and stages what its owners want and nobody `holds`. Verified objects stay in `staging`
    /// whatever the outcome, each under its id.
    ///
    /// # Errors
    /// The bundle is refused, or the reading failed; [`IntakeError`] keeps the roots that may be kept.
    ///
    /// # Durability
    /// Objects over 1 MiB are synced; smaller ones are for whoever adopts them to sync.
    pub fn import(
        &self,
        _input: &Input,
        _order: &Order,
        _staging: &Path,
        _holds: &dyn Fn(&Digest) -> bool,
        _progress: &mut dyn FnMut(Progress),
    ) -> Result<Verdict, IntakeError> {
        let _ = &self.program;
        Err(IntakeError::Child("not built yet".into()))
    }

    /// Reads only as far as the assignment: whether `input` is addressed to this appliance, and how new it is.
    /// Nothing is staged.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn survey(&self, _input: &Input, _order: &Order, _staging: &Path) -> Result<Survey, IntakeError> {
        Err(IntakeError::Child("not built yet".into()))
    }

    /// Takes from `input`, whatever bundle it is, the parts that `wanted` lists and the staging folder lacks. Returns
    /// how many it found. What they are was signed elsewhere: the archive's own metadata is not looked at.
    ///
    /// # Errors
    /// As [`Self::import`].
    pub fn harvest(
        &self,
        _input: &Input,
        _order: &Order,
        _wanted: &[Wanted],
        _staging: &Path,
        _progress: &mut dyn FnMut(Progress),
    ) -> Result<usize, IntakeError> {
        Err(IntakeError::Child("not built yet".into()))
    }
}
