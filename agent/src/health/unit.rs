//! Whether a systemd unit runs, as the kernel sees it.
//!
//! A unit is taken to be active while its control group has processes: the file `cgroup.events` there says
//! `populated 1`. That asks no bus and starts no program, and it holds without rights on the unit. What follows from it:
//! a unit without processes of its own (a target, a socket, a one-shot that has ended) never holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the control groups are mounted.
pub const CGROUPS: &str = "/sys/fs/cgroup";

/// Slices are searched this deep: `system.slice/system-app.slice/app@1.service` is two.
const DEPTH: usize = 3;

/// Whether `unit` has processes, by the control groups below `root`.
pub(super) fn is_populated(root: &Path, unit: &str) -> bool {
    // On machines that still mount the older hierarchies systemd keeps its own beside them.
    [root.to_owned(), root.join("unified")].iter().any(|root| {
        let group = find(root, unit, DEPTH);
        group.is_some_and(|group| {
            let events = fs::read_to_string(group.join("cgroup.events"));
            events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
        })
    })
}

fn find(folder: &Path, unit: &str, depth: usize) -> Option<PathBuf> {
    let here = folder.join(unit);
    if here.is_dir() {
        return Some(here);
    }
    let slices = fs::read_dir(folder).ok().filter(|_| depth > 0)?.filter_map(|entry| {
        let path = entry.ok()?.path();
        (path.extension()? == "slice" && path.is_dir()).then_some(path)
    });
    slices.into_iter().find_map(|slice| find(&slice, unit, depth - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(root: &Path, path: &str, populated: u8) {
        fs::create_dir_all(root.join(path)).unwrap();
        fs::write(root.join(path).join("cgroup.events"), format!("populated {populated}\nfrozen 0\n")).unwrap();
    }

    #[test]
    fn a_unit_is_found_in_its_slice_and_counts_while_it_has_processes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        group(root, "system.slice/nginx.service", 1);
        group(root, "system.slice/system-app.slice/app@1.service", 1);
        group(root, "system.slice/stopped.service", 0);
        group(root, "unified/system.slice/older.service", 1);
        group(root, "system.slice/nginx.service/inner.service", 1);
        for (unit, active) in [
            ("nginx.service", true),
            ("app@1.service", true),
            ("stopped.service", false),
            ("older.service", true),
            ("absent.service", false),
            ("inner.service", false),
        ] {
            assert_eq!(is_populated(root, unit), active, "{unit}");
        }
        assert!(!is_populated(&root.join("nowhere"), "nginx.service"));
    }
}
