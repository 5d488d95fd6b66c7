//! Paths inside a generation.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Longest path, bytes.
pub const MAX_PATH: usize = 512;
/// Deepest path, components: an owner's delegation reaches 8 levels below its tree and `appliances/<id>/files/`
/// takes three.
pub const MAX_COMPONENTS: usize = 5;

/// A text that is no path inside a generation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no file path: relative, at most 5 components and 512 bytes, each component of A-Z a-z 0-9 . _ @ + - and not starting with '-' or being '.' or '..'"
)]
pub struct FilePathError(String);

/// A relative path of plain components: no `..`, no empty component, nothing a shell, a URL or a log line would
/// read as something else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

impl FilePath {
    /// The path, `/`-separated.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

fn is_component(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'+' | b'-');
    (1..=255).contains(&text.len())
        && text.bytes().all(allowed)
        && text != "."
        && text != ".."
        && !text.starts_with('-')
}

impl std::str::FromStr for FilePath {
    type Err = FilePathError;

    fn from_str(text: &str) -> Result<Self, FilePathError> {
        let fits =
            text.len() <= MAX_PATH && text.split('/').count() <= MAX_COMPONENTS && text.split('/').all(is_component);
        if fits { Ok(Self(text.into())) } else { Err(FilePathError(text.chars().take(120).collect())) }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_paths_are_refused() {
        for text in [
            "",
            "/etc/passwd",
            "a//b",
            "a/",
            "../a",
            "a/../b",
            "./a",
            "a\\b",
            "a b",
            "a\n",
            "-rf",
            "a/-rf",
            "é",
            "a/b/c/d/e/f",
        ] {
            assert!(text.parse::<FilePath>().is_err(), "{text:?}");
        }
        assert!("systemd/network/10-lan.network".parse::<FilePath>().is_ok());
    }
}
