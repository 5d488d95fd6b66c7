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
/// SHA-512/256 of the canonical JSON of `[{"length", "sha256"}…]` in order.
///
/// Another function than the one contents are named by, so that no content has the id of a list: with the same one, an
/// owner who signs the text of a list as a small file would put it in the place of another owner's large one.
#[must_use]
pub fn object_id(parts: &[Part]) -> Digest {
    match parts {
        [] => Digest::of(b""),
        [part] => part.sha256,
        _ => {
            let list: Vec<_> =
                parts.iter().map(|part| serde_json::json!({ "length": part.length, "sha256": part.sha256 })).collect();
            let text = canonical::encode(&serde_json::Value::Array(list));
            let mut id = [0; 32];
            id.copy_from_slice(ring::digest::digest(&ring::digest::SHA512_256, &text).as_ref());
            Digest::from_bytes(id)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_small_file_has_the_id_of_a_large_one() {
        let part = |offset, content: &[u8]| Part {
            target: "groups/clinics/files/model".into(),
            offset,
            length: MAX_PART,
            sha256: Digest::of(content),
        };
        let large = [part(0, b"first"), part(MAX_PART, b"second")];
        let list: Vec<_> =
            large.iter().map(|part| serde_json::json!({ "length": part.length, "sha256": part.sha256 })).collect();
        let text = canonical::encode(&serde_json::Value::Array(list));
        let small = Part { sha256: Digest::of(&text), length: text.len() as u64, ..part(0, b"") };
        assert_ne!(object_id(&large), object_id(&[small]));
        assert_ne!(object_id(&large), object_id(&[large[1].clone(), large[0].clone()]));
    }
}
