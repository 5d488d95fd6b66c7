//! Parts: the ordinary targets a file is made of.

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::digest::Digest;

/// Longest part, bytes. Larger files are several parts: resume, "which part is bad", spanning sticks and message
/// chunks all rest on it.
pub const MAX_PART: u64 = 64 * 1024 * 1024;

/// One part of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The target path that holds it, below the owner's tree.
    pub target: String,
    /// Where it starts in the file, bytes.
    pub offset: u64,
    /// Its length, bytes; equals the target's.
    pub length: u64,
    /// Its SHA-256; equals the target's.
    pub sha256: Digest,
}

/// The id under which a file's content is stored: the content's SHA-256 for a file of one part (or none), else the
/// SHA-256 of the canonical JSON of `[{"length", "sha256"}…]` in order.
#[must_use]
pub fn object_id(parts: &[Part]) -> Digest {
    match parts {
        [] => Digest::of(b""),
        [part] => part.sha256,
        _ => {
            let list: Vec<_> =
                parts.iter().map(|part| serde_json::json!({ "length": part.length, "sha256": part.sha256 })).collect();
            Digest::of(&canonical::encode(&serde_json::Value::Array(list)))
        }
    }
}
