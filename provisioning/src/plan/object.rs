//! The bytes behind targets, without holding large files in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::part::{MAX_PART, Part};
use casemate_protocol::digest::{Digest, Hasher};
use casemate_protocol::tuf::targets::TargetFile;

use crate::file::FileError;
use crate::site::folder::BLOCK;

/// Where a target's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// Made by the tool: manifests, assignments, rendered files.
    Bytes(Vec<u8>),
    /// A stretch of a file the operator put there.
    Span {
        /// The file.
        path: PathBuf,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
    },
}

/// Objects by digest.
pub(crate) type Objects = BTreeMap<Digest, Source>;

impl Source {
    /// Number of bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Span { length, .. } => *length,
        }
    }

    /// Hands every block of the content to `sink`.
    ///
    /// # Errors
    /// The file cannot be read or has become shorter; an error of `sink` is passed on.
    pub(crate) fn stream(&self, sink: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (path, offset, length) = match self {
            Self::Bytes(bytes) => return sink(bytes),
            Self::Span { path, offset, length } => (path, *offset, *length),
        };
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut file = file.take(length);
        let mut block = vec![0; BLOCK];
        let mut left = length;
        while left > 0 {
            let count = file.read(&mut block)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
            }
            sink(&block[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    /// The content's SHA-256.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub(crate) fn digest(&self) -> io::Result<Digest> {
        let mut hasher = Hasher::new();
        self.stream(&mut |block| {
            hasher.update(block);
            Ok(())
        })?;
        Ok(hasher.finish())
    }

    /// Writes the content to a new file and returns what was written.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub(crate) fn copy_to(&self, path: &Path) -> io::Result<Digest> {
        let (mut hasher, mut file) = (Hasher::new(), File::create(path)?);
        self.stream(&mut |block| {
            hasher.update(block);
            file.write_all(block)
        })?;
        Ok(hasher.finish())
    }
}

/// A file's parts, each hashed once: `target` itself up to 64 MiB, `target/part-0000…` beyond. None for an empty
/// file.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn cut(path: &Path, target: &str, objects: &mut Objects) -> Result<Vec<Part>, FileError> {
    let total = path.metadata().map_err(FileError::read(path))?.len();
    let count = total.div_ceil(MAX_PART);
    let mut parts = Vec::new();
    for index in 0..count {
        let offset = index * MAX_PART;
        let length = MAX_PART.min(total - offset);
        let source = Source::Span { path: path.to_owned(), offset, length };
        let sha256 = source.digest().map_err(FileError::read(path))?;
        let target = if count == 1 { target.to_owned() } else { format!("{target}/part-{index:04}") };
        parts.push(Part { target, offset, length, sha256 });
        objects.insert(sha256, source);
    }
    Ok(parts)
}

/// The single part of content the tool made. None if it is empty.
pub(crate) fn whole(bytes: Vec<u8>, target: String, objects: &mut Objects) -> Vec<Part> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let (sha256, length) = (Digest::of(&bytes), bytes.len() as u64);
    objects.insert(sha256, Source::Bytes(bytes));
    vec![Part { target, offset: 0, length, sha256 }]
}

/// A target as metadata lists it.
pub(crate) fn target_file(length: u64, sha256: &Digest) -> TargetFile {
    TargetFile { length, hashes: BTreeMap::from([("sha256".to_owned(), sha256.to_string())]), custom: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_is_cut_into_parts_that_hash_to_its_stretches() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        // Sparse: two whole parts and one byte.
        let mut file = File::create(&path).unwrap();
        file.seek(SeekFrom::Start(2 * MAX_PART)).unwrap();
        file.write_all(b"x").unwrap();
        let mut objects = Objects::new();
        let parts = cut(&path, "groups/g/files/model", &mut objects).unwrap();
        let shape: Vec<_> = parts.iter().map(|part| (part.target.as_str(), part.offset, part.length)).collect();
        assert_eq!(
            shape,
            [
                ("groups/g/files/model/part-0000", 0, MAX_PART),
                ("groups/g/files/model/part-0001", MAX_PART, MAX_PART),
                ("groups/g/files/model/part-0002", 2 * MAX_PART, 1),
            ]
        );
        assert_eq!(parts[2].sha256, Digest::of(b"x"));
        assert_eq!(objects.len(), 2, "equal parts are one object");
        assert_eq!(objects[&parts[1].sha256].copy_to(&folder.path().join("copy")).unwrap(), parts[1].sha256);
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"123").unwrap();
        let source = Source::Span { path, offset: 0, length: 4 };
        assert_eq!(source.digest().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
