//! How a repository names its files.

use super::hashes;
use super::role::{RoleName, Version};
use super::targets::TargetFile;

/// Percent-encoding of everything but RFC 3986 unreserved characters and the ones in `kept`.
///
/// # Source
/// RFC 3986 §2.3; python-tuf quotes role names the same way.
#[must_use]
pub fn quote(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || kept.contains(&byte);
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The metadata file of a role; roots always carry their version, a timestamp never does, the others where the
/// repository is consistent.
#[must_use]
pub(crate) fn of_metadata(role: &RoleName, version: Option<Version>) -> String {
    let name = quote(role.as_str(), b"");
    version.map_or_else(|| format!("{name}.json"), |version| format!("{version}.{name}.json"))
}

/// A target's file: in a consistent repository a digest stands before the last component.
#[must_use]
pub(crate) fn of_target(target: &str, file: &TargetFile, is_consistent: bool) -> String {
    let digest = hashes::prefix(&file.hashes).filter(|_| is_consistent).map(|digest| format!("{digest}."));
    let (folder, name) = target.rsplit_once('/').map_or(("", target), |(folder, name)| (folder, name));
    let slash = if target.contains('/') { "/" } else { "" };
    quote(&format!("{folder}{slash}{}{name}", digest.unwrap_or_default()), b"/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_role_names_stay_in_the_folder_and_out_of_the_query() {
        for (role, name) in [
            ("?", "3.%3F.json"),
            ("#", "3.%23.json"),
            ("../x", "3...%2Fx.json"),
            ("/x", "3.%2Fx.json"),
            ("é", "3.%C3%A9.json"),
        ] {
            assert_eq!(of_metadata(&RoleName::foreign(role), Version::new(3)), name);
        }
    }

    #[test]
    fn a_digest_stands_before_the_last_component_only() {
        let file = TargetFile { length: 1, hashes: [("sha256".into(), "ab".into())].into(), custom: None };
        assert_eq!(of_target("a/b/c", &file, true), "a/b/ab.c");
        assert_eq!(of_target("c", &file, true), "ab.c");
        assert_eq!(of_target("a/b c", &file, false), "a/b%20c");
    }
}
