//! The `nft` program: how rules get into the kernel, and what is there.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use casemate_protocol::digest::Digest;
use thiserror::Error;

use super::ruleset::{FAMILIES, PASSED, Ruleset, TABLE};

/// Where Debian has it.
pub const DEFAULT_PROGRAM: &str = "/usr/sbin/nft";
/// Most that is kept of what it says, bytes.
const MAX_SAID: usize = 2000;

/// Why the rules are not loaded.
#[derive(Debug, Error)]
pub enum NftError {
    /// The program cannot be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It refused.
    #[error("nft says: {0}")]
    Refused(String),
    /// It took them, and they are not there.
    #[error("nft took the rules, but the kernel does not list them")]
    Absent,
}

/// The program.
#[derive(Clone, Debug)]
pub struct Nft {
    program: PathBuf,
}

impl Nft {
    /// The one at `program`, an absolute path.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Loads the rules: all of them in one transaction, or none.
    ///
    /// # Errors
    /// They were refused; what was loaded before still is.
    pub fn load(&self, ruleset: &Ruleset) -> Result<(), NftError> {
        self.feed(&["-f", "-"], ruleset)
    }

    /// Asks whether the rules would be taken, and loads nothing.
    ///
    /// # Errors
    /// They would not.
    pub fn check(&self, ruleset: &Ruleset) -> Result<(), NftError> {
        self.feed(&["--check", "-f", "-"], ruleset)
    }

    /// SHA-256 of our tables as the kernel lists them, without what counters count; none if one is missing that must be
    /// there. Whoever changes a rule by hand changes it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn listed(&self) -> Result<Option<Digest>, NftError> {
        let mut text = Vec::new();
        for family in FAMILIES {
            let output = self.run(&["--stateless", "list", "table", family, TABLE], "")?;
            match output.status.success() {
                true => text.extend(output.stdout),
                // There is none where the kernel cannot judge frames.
                false if family == "netdev" => {}
                false => return Ok(None),
            }
        }
        Ok(Some(Digest::of(&text)))
    }

    /// Whether the kernel saw a packet after the end of observing, since the rules were loaded.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn passed(&self) -> Result<bool, NftError> {
        for family in FAMILIES {
            let output = self.run(&["list", "set", family, TABLE, PASSED], "")?;
            if output.status.success() && String::from_utf8_lossy(&output.stdout).contains("elements") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn feed(&self, arguments: &[&str], ruleset: &Ruleset) -> Result<(), NftError> {
        let output = self.run(arguments, ruleset.text())?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Err(NftError::Refused(said.trim().chars().map(plain).take(MAX_SAID).collect()))
    }

    fn run(&self, arguments: &[&str], input: &str) -> Result<Output, NftError> {
        let fail = |source| NftError::Start { program: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .args(arguments)
            .env_clear()
            // Times are listed as the zone has them.
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends before it has read everything says why.
            let _told = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().map_err(fail)
    }
}
