//! The words two people read to each other.

use super::id::{ApplianceId, Jurisdiction};
use crate::digest::Digest;
use crate::{canonical, encoding};

/// Both sides' inputs can be chosen by whoever carries the files, so it is collisions that count, not preimages:
/// 192 bits leave 96.
const WORD_BYTES: usize = 24;
/// Words on one line when they are shown.
const WORDS_PER_LINE: usize = 4;

/// Twelve pronounceable words of 16 bits each over everything that must not be swapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words both sides show.
    ///
    /// # Source
    /// R02; the `kind` keeps the digest from meaning anything elsewhere.
    #[must_use]
    pub fn new(device: Digest, id: &ApplianceId, jurisdiction: Jurisdiction, root: Digest) -> Self {
        let body = serde_json::json!({
            "kind": "casemate-enrolment-words-1", "appliance": id, "device": device,
            "jurisdiction": jurisdiction, "root": root,
        });
        Self(encoding::to_words(&Digest::of(&canonical::encode(&body)).as_bytes()[..WORD_BYTES]))
    }

    /// The words as shown: three lines of four.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.chunks(WORDS_PER_LINE).map(|line| line.join("-")).collect()
    }

    /// Whether somebody typed these words; case, spaces, line ends and dashes do not matter.
    #[must_use]
    pub fn matches(&self, typed: &str) -> bool {
        let plain = |text: &str| -> String {
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').flat_map(char::to_lowercase).collect()
        };
        plain(typed) == self.0.concat()
    }
}

impl std::fmt::Display for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(device: &[u8], id: &str, jurisdiction: &str, root: &[u8]) -> Words {
        Words::new(Digest::of(device), &id.parse().unwrap(), jurisdiction.parse().unwrap(), Digest::of(root))
    }

    #[test]
    fn each_thing_that_could_be_swapped_changes_the_words() {
        let ours = words(b"device", "lux-001", "LU", b"root");
        assert_eq!(ours, words(b"device", "lux-001", "LU", b"root"));
        for other in [
            words(b"other", "lux-001", "LU", b"root"),
            words(b"device", "lux-002", "LU", b"root"),
            words(b"device", "lux-001", "BE", b"root"),
            words(b"device", "lux-001", "LU", b"other"),
        ] {
            assert_ne!(ours, other);
            assert!(!ours.matches(&other.to_string()));
        }
    }

    #[test]
    fn words_are_compared_as_people_type_them() {
        let ours = words(b"device", "lux-001", "LU", b"root");
        assert_eq!(ours.lines().len(), 3);
        assert!(ours.matches(&ours.lines().join("\n")));
        assert!(ours.matches(&format!("  {}  ", ours.to_string().to_uppercase().replace('-', " "))));
        assert!(!ours.matches("") && !ours.matches(&ours.lines()[..2].join(" ")));
    }
}
