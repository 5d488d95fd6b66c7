//! What guards the appliance beside the agent itself, and where it says so.

use std::path::PathBuf;

/// Where the enforcer says what the kernel enforces.
const ENFORCER: &str = "/run/casemate-boundary";
/// Where the watcher says what was dropped.
const WATCHER: &str = "/run/casemate-boundary-watch";
/// What the site takes away from every boundary.
const NARROWING: &str = "/etc/casemate/narrowing.json";

/// Who sees to the boundary beside the agent's own process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// The kernel, for the whole machine: the agent does not run unless the enforcer has loaded its rules.
    Host,
    /// Nobody on this machine: the agent keeps only itself inside.
    ProcessOnly,
}

impl Enforcement {
    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::ProcessOnly => "process-only",
        }
    }

    /// By its name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Host, Self::ProcessOnly].into_iter().find(|known| known.name() == text)
    }
}

/// Where others on this machine write what concerns the boundary. Elsewhere only in tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundaryPlaces {
    /// The enforcer's folder, root's: `status.json`.
    pub run: PathBuf,
    /// The watcher's folder, its user's: `drops.json`.
    pub watch: PathBuf,
    /// The site's narrowing, root's.
    pub site: PathBuf,
}

impl Default for BoundaryPlaces {
    fn default() -> Self {
        Self { run: ENFORCER.into(), watch: WATCHER.into(), site: NARROWING.into() }
    }
}
