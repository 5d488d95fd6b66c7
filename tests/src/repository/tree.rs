//! A signed repository as the files of a web server.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use casemate_protocol::digest::Digest;

use super::Issue;

impl Issue {
    /// Every file of the repository, by its path below the server's root.
    #[must_use]
    pub fn tree(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = BTreeMap::new();
        let mut metadata = |name: String, raw: &[u8]| {
            tree.insert(format!("metadata/{name}"), raw.to_vec());
        };
        for (number, raw) in (1..).zip(&self.roots) {
            metadata(format!("{number}.root.json"), raw);
        }
        metadata("timestamp.json".into(), &self.timestamp);
        metadata(format!("{}.snapshot.json", self.version), &self.snapshot);
        metadata(format!("{}.targets.json", self.version), &self.targets);
        for (role, (version, raw)) in &self.roles {
            metadata(format!("{version}.{role}.json"), raw);
        }
        for (path, content) in &self.content {
            tree.insert(target_file(path, content), content.clone());
        }
        tree
    }

    /// Writes [`Self::tree`] below `folder`, the timestamp last.
    ///
    /// # Panics
    /// The folder cannot be written.
    pub fn publish(&self, folder: &Path) {
        let mut tree = self.tree();
        let timestamp = tree.remove_entry("metadata/timestamp.json");
        for (path, content) in tree.into_iter().chain(timestamp) {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let temporary = path.with_extension("new");
            fs::write(&temporary, content).unwrap();
            fs::rename(&temporary, &path).unwrap();
        }
    }
}

/// Where the content of target `path` stands: its digest is in front of its file name, not of its folder.
#[must_use]
pub fn target_file(path: &str, content: &[u8]) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap();
    format!("targets/{folder}/{}.{name}", Digest::of(content))
}
