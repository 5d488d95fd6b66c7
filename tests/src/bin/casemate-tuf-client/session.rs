//! One run of the client against one repository.

use std::path::Path;
use std::time::SystemTime;

use casemate_protocol::tuf::client::{Client, Lookup, Rules, Want};
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::{Clock, UtcTime};

use crate::Failure;
use crate::http::{Answer, Url};
use crate::store::Store;
use crate::target_folder;

/// A client, its store and its repository.
pub(crate) struct Session {
    client: Client,
    store: Store,
    metadata: Url,
}

impl Session {
    /// Opens the store; the suite sets the system's clock, so that is the one that counts.
    pub(crate) fn open(metadata_dir: &Path, metadata: Url) -> Result<Self, Failure> {
        let (store, stored) = Store::open(metadata_dir)?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let clock = Clock { wall: UtcTime::from_unix(wall), build: UtcTime::EPOCH, offline_span_days: u64::MAX };
        Ok(Self { client: Client::new(stored, Rules::Foreign, clock)?, store, metadata })
    }

    /// Serves the client until it wants nothing more. What it accepted is kept even if the next step fails.
    pub(crate) fn refresh(&mut self) -> Result<(), Failure> {
        while let Want::Metadata { path, max_length, .. } = self.client.want() {
            match self.metadata.get(&path, max_length)? {
                Answer::Content(raw) => self.client.got(&raw)?,
                Answer::NotFound => self.client.absent()?,
            }
            self.store.save(&self.client)?;
        }
        Ok(())
    }

    /// Brings one target into `folder`, unless it is there.
    pub(crate) fn download(&mut self, target: &str, base: &Url, folder: &Path) -> Result<(), Failure> {
        let file = loop {
            match self.client.lookup(target) {
                Lookup::Found { file, .. } => break file,
                Lookup::Absent => return Err(format!("no role lists {target:?}").into()),
                Lookup::Broken { role } => return Err(self.broken(&role)),
                Lookup::Wants => self.refresh()?,
            }
        };
        if target_folder::has(folder, target, &file) {
            return Ok(());
        }
        let Answer::Content(content) = base.get(&self.client.target_path(target, &file), file.length)? else {
            return Err(format!("{target:?} is not in the repository").into());
        };
        if !target_folder::is_target(&file, &content) {
            return Err(format!("{target:?} is not what the metadata states").into());
        }
        target_folder::put(folder, target, &content)
    }

    fn broken(&self, role: &RoleName) -> Failure {
        self.client.broken(role).map_or_else(|| format!("{role} is refused").into(), |error| error.to_string().into())
    }
}
