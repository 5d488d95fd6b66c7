//! Which systemd unit a control group is of.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::probe::is_unit;

/// Folders looked at for one number: a machine has some hundred.
const MAX_FOLDERS: usize = 8192;
/// Numbers remembered, found or not.
const MAX_KNOWN: usize = 1024;

/// Units by the number of their control group.
#[derive(Debug)]
pub(super) struct Units {
    /// Where the control groups are mounted; older machines keep the kind that has numbers in `unified`.
    roots: [PathBuf; 2],
    known: HashMap<u64, Option<String>>,
}

impl Units {
    pub(super) fn new(root: &Path) -> Self {
        Self { roots: [root.into(), root.join("unified")], known: HashMap::new() }
    }

    /// The unit of control group `number`, which is the number of its folder.
    pub(super) fn name(&mut self, number: u64) -> Option<String> {
        if let Some(known) = self.known.get(&number) {
            return known.clone();
        }
        let found = self.roots.iter().find_map(|root| find(root, number)).and_then(|path| unit_of(&path));
        if self.known.len() == MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(number, found.clone());
        found
    }
}

/// The folder below `root` with that number, breadth first.
fn find(root: &Path, number: u64) -> Option<PathBuf> {
    let mut folders = vec![root.to_path_buf()];
    let mut next = 0;
    while next < folders.len().min(MAX_FOLDERS) {
        let here = folders[next].clone();
        next += 1;
        if fs::symlink_metadata(&here).is_ok_and(|folder| folder.ino() == number) {
            return here.strip_prefix(root).ok().map(Path::to_path_buf);
        }
        let Ok(entries) = fs::read_dir(&here) else { continue };
        let inner =
            entries.filter_map(|entry| entry.ok().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())));
        folders.extend(inner.map(|entry| entry.path()));
    }
    None
}

/// The outermost unit of a path such as `system.slice/nginx.service/worker`: what is inside it, whoever runs there may
/// have named, as every user does inside `user@1000.service`.
fn unit_of(path: &Path) -> Option<String> {
    path.iter().filter_map(|name| name.to_str()).find(|name| is_unit(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_is_found_by_its_number_and_named_by_its_unit_and_never_as_somebody_inside_chose() {
        let folder = tempfile::tempdir().unwrap();
        let number = |path: &str| {
            fs::create_dir_all(folder.path().join(path)).unwrap();
            fs::metadata(folder.path().join(path)).unwrap().ino()
        };
        let groups = [
            ("system.slice/nginx.service", Some("nginx.service")),
            ("system.slice/nginx.service/worker", Some("nginx.service")),
            ("user.slice/user-1000.slice/user@1000.service/app.slice/nginx.service", Some("user@1000.service")),
            ("user.slice/user@1000.service/app.slice/tool.service", Some("user@1000.service")),
            ("system.slice/app.service/nginx.service", Some("app.service")),
            ("system.slice", None),
            ("machine.slice/odd name.service", None),
            ("unified/system.slice/older.service", Some("older.service")),
        ];
        let numbers = groups.map(|(path, unit)| (number(path), unit));
        let mut units = Units::new(folder.path());
        for (number, unit) in numbers {
            assert_eq!(units.name(number).as_deref(), unit);
        }
        assert_eq!(units.name(u64::MAX), None);
        fs::remove_dir(folder.path().join("system.slice/nginx.service/worker")).unwrap();
        assert_eq!(units.name(numbers[1].0).as_deref(), Some("nginx.service"), "a unit that ended is still named");
    }
}
