//! Rules into the kernel, and looked at there: what stands already is left alone, so that its counters go on.

use std::path::PathBuf;

use casemate_protocol::boundary::Policy;
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use super::device::devices;
use super::enforcer::Places;
use super::error::EnforceError;
use super::kept::place;
use super::nft::{Nft, NftError};
use super::ruleset::{Host, Ruleset};

/// What was loaded last, in the folder that a restart of the machine empties like the kernel's tables.
const FILE: &str = "loaded.json";
/// How often devices may come and go while rules are loaded.
const TRIES: u32 = 3;

/// What was loaded, and how the kernel lists it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loaded {
    ruleset: Digest,
    listed: Digest,
}

/// The way into the kernel.
#[derive(Debug)]
pub(super) struct Loader {
    nft: Nft,
    path: PathBuf,
}

impl Loader {
    pub(super) fn new(places: &Places) -> Self {
        Self { nft: Nft::new(places.nft.clone()), path: places.run.join(FILE) }
    }

    pub(super) fn check(&self, ruleset: &Ruleset) -> Result<(), EnforceError> {
        Ok(self.nft.check(ruleset)?)
    }

    /// Whether the kernel holds tables of ours.
    pub(super) fn stands(&self) -> Result<bool, EnforceError> {
        Ok(self.nft.listed()?.is_some())
    }

    /// Whether the kernel saw the end of observing.
    pub(super) fn passed(&self) -> Result<bool, EnforceError> {
        Ok(self.nft.passed()?)
    }

    /// Loads the rules for `policy`, and answers with those that stand.
    pub(super) fn load(&self, policy: &Policy, mut host: Host) -> Result<Ruleset, EnforceError> {
        let mut refused = None;
        for _ in 0..TRIES {
            let ruleset = Ruleset::render(policy, &host);
            if self.holds(&ruleset)? {
                return Ok(ruleset);
            }
            match self.nft.load(&ruleset) {
                Ok(()) => return self.confirm(ruleset),
                Err(error) => refused = refused.or(Some(error)),
            }
            // One of the devices may have gone just now.
            host.devices = Some(devices()?);
        }
        // A kernel without the hook for frames still judges packets.
        let ruleset = Ruleset::render(policy, &Host { devices: None, ..host });
        match (self.nft.load(&ruleset), refused) {
            (Ok(()), refused) => {
                let error = refused.map(|error| error.to_string()).unwrap_or_default();
                tracing::warn!(error, "the kernel does not judge frames of raw sockets; packets it does");
                self.confirm(ruleset)
            }
            (Err(error), refused) => Err(refused.unwrap_or(error).into()),
        }
    }

    fn holds(&self, ruleset: &Ruleset) -> Result<bool, EnforceError> {
        let loaded = std::fs::read(&self.path).ok().and_then(|raw| serde_json::from_slice::<Loaded>(&raw).ok());
        let Some(loaded) = loaded.filter(|loaded| loaded.ruleset == ruleset.digest()) else { return Ok(false) };
        Ok(self.nft.listed()? == Some(loaded.listed))
    }

    fn confirm(&self, ruleset: Ruleset) -> Result<Ruleset, EnforceError> {
        let listed = self.nft.listed()?.ok_or(NftError::Absent)?;
        let loaded = Loaded { ruleset: ruleset.digest(), listed };
        // Without it the same rules are only loaded once more.
        if let Err(error) = place(&self.path, &serde_json::to_vec(&loaded).unwrap_or_default(), 0o600) {
            tracing::warn!(%error, "what was loaded cannot be written down");
        }
        Ok(ruleset)
    }
}
