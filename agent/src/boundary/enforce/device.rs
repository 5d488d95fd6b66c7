//! The machine's network devices.

use std::str::FromStr;

use super::error::EnforceError;
use super::ruleset::Device;

/// Of this thread's network namespace, whatever is mounted under `/sys`.
const LIST: &str = "/proc/thread-self/net/dev";

/// The devices there are now, loopback apart; those whose names no rule can carry are told and left out.
///
/// # Errors
/// The kernel's list cannot be read.
pub fn devices() -> Result<Vec<Device>, EnforceError> {
    let text = std::fs::read_to_string(LIST).map_err(|source| EnforceError::File {
        action: "read",
        path: LIST.into(),
        source,
    })?;
    let mut devices: Vec<_> = names(&text).filter_map(named).collect();
    devices.sort();
    Ok(devices)
}

fn named(name: &str) -> Option<Device> {
    Device::from_str(name)
        .inspect_err(|error| tracing::warn!(%error, "raw frames of a device are not judged, packets are"))
        .ok()
}

/// Two lines of headings, then a device a line: the name, a colon, numbers.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .skip(2)
        .filter_map(|line| line.rsplit_once(':'))
        .map(|(name, _)| name.trim())
        .filter(|name| *name != "lo")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_list_is_read_without_loopback() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 2\n  eth0: 3 4\neth0:1: 5 6\nlong-device-nam:7 8\n";
        assert_eq!(names(text).collect::<Vec<_>>(), ["eth0", "eth0:1", "long-device-nam"]);
        devices().unwrap();
    }
}
