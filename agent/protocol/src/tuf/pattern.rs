//! Which target paths a delegation speaks for.

use super::role::RoleName;
use super::targets::{DelegatedRole, Delegations, SuccinctRoles};
use crate::digest::Digest;

impl DelegatedRole {
    /// Whether the delegation speaks for `target`.
    #[must_use]
    pub fn matches(&self, target: &str) -> bool {
        if let Some(patterns) = &self.paths {
            return patterns.iter().any(|pattern| path_matches(pattern, target));
        }
        let hash = Digest::of(target.as_bytes()).to_string();
        self.path_hash_prefixes.iter().flatten().any(|prefix| hash.starts_with(prefix))
    }
}

impl Delegations {
    /// The delegations that speak for `target`, in order of priority.
    #[must_use]
    pub fn for_target(&self, target: &str) -> Vec<DelegatedRole> {
        let listed = self.roles.iter().filter(|role| role.matches(target)).cloned();
        listed.chain(self.succinct_roles.iter().map(|bins| bins.bin_for(target))).collect()
    }
}

impl SuccinctRoles {
    /// The bin `target` falls into (TAP 15): the first `bit_length` bits of the SHA-256 of the path.
    #[must_use]
    pub fn bin_for(&self, target: &str) -> DelegatedRole {
        let hash = Digest::of(target.as_bytes());
        let first = hash.as_bytes()[..4].iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        self.bin(first >> (32 - self.bits()))
    }

    /// The bin called `name`, if there is one.
    #[must_use]
    pub fn bin_named(&self, name: &RoleName) -> Option<DelegatedRole> {
        let digits = name.as_str().strip_prefix(&self.name_prefix)?.strip_prefix('-')?;
        let number = u64::from_str_radix(digits, 16).ok().filter(|number| number >> self.bits() == 0)?;
        Some(self.bin(number)).filter(|bin| bin.name == *name)
    }

    fn bits(&self) -> u32 {
        self.bit_length.clamp(1, 32)
    }

    fn bin(&self, number: u64) -> DelegatedRole {
        // Bins are numbered with as many digits as the last one needs.
        let width = self.bits().div_ceil(4) as usize;
        DelegatedRole {
            name: RoleName::foreign(format!("{}-{number:0width$x}", self.name_prefix)),
            keyids: self.keyids.clone(),
            threshold: self.threshold,
            terminating: true,
            paths: None,
            path_hash_prefixes: Some(vec![String::new()]),
        }
    }
}

/// Shell-style matching of a path, component by component: `*` and `?` never cross a `/` (TUF 1.0 §4.5).
#[must_use]
pub fn path_matches(pattern: &str, path: &str) -> bool {
    let (patterns, components) = (pattern.split('/'), path.split('/'));
    patterns.clone().count() == components.clone().count()
        && patterns.zip(components).all(|(pattern, component)| component_matches(pattern, component))
}

/// Greedy matching with one step back: linear in practice, at worst the product of both lengths.
fn component_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                from = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_never_crosses_a_slash() {
        for (pattern, path) in [
            ("*", "a"),
            ("groups/x/*", "groups/x/manifest.json"),
            ("a/*/c", "a/b/c"),
            ("*.tgz", "foo-1.tgz"),
            ("foo-?.tgz", "foo-1.tgz"),
            ("a*b*c", "aXbYbZc"),
            ("*", ""),
        ] {
            assert!(path_matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*", "a/b"),
            ("groups/x/*", "groups/x/files/a"),
            ("groups/x/*", "groups/x"),
            ("groups/x*", "groups/xy/z"),
            ("foo-?.tgz", "foo-alpha.tgz"),
            ("foo-?.tgz", "foo-/.tgz"),
            ("*.md", "README.MD"),
            ("a*b", "acd"),
        ] {
            assert!(!path_matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn hostile_patterns_end() {
        assert!(!path_matches(&"*a".repeat(500), &"a".repeat(499)));
        assert!(!path_matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(2_000)));
    }

    #[test]
    fn bins_are_numbered_as_tap_15_does() {
        let bins = SuccinctRoles { keyids: Vec::new(), threshold: 1, bit_length: 10, name_prefix: "bin".into() };
        // SHA-256("a") = ca978112…: the first ten bits are 0x32a.
        assert_eq!(bins.bin_for("a").name.as_str(), "bin-32a");
        let bins = SuccinctRoles { bit_length: 1, ..bins };
        assert_eq!(bins.bin_for("a").name.as_str(), "bin-1");
        let bins = SuccinctRoles { bit_length: 32, ..bins };
        assert_eq!(bins.bin_for("a").name.as_str(), "bin-ca978112");
        let bins = SuccinctRoles { bit_length: 5, ..bins };
        for (name, exists) in
            [("bin-00", true), ("bin-1f", true), ("bin-20", false), ("bin-0", false), ("bin-+1", false)]
        {
            assert_eq!(bins.bin_named(&RoleName::foreign(name)).is_some(), exists, "{name}");
        }
    }
}
