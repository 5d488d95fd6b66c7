//! The service's own copy of an artifact.
//!
//! A copy, because RAUC takes ownership of the bundle it installs (`fchown`, `fchmod`), which on the agent's file would
//! reach into its store; and because the agent may take a generation back while it is being installed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use casemate_protocol::bundle::part::{MAX_PART, Part, object_id};
use casemate_protocol::digest::{Digest, Hasher};
use http_body_util::BodyExt;
use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use thiserror::Error;

use crate::agent::{Agent, AgentError};
use crate::reason::Reason;
use crate::wish::Assigned;

/// Bytes moved at once.
const CHUNK: usize = 1024 * 1024;
/// Times a broken answer of the agent is resumed.
const MAX_RESUMES: usize = 8;
/// The copy's name in the state folder.
const NAME: &str = "artifact";

/// Why there is no artifact.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// The copy cannot be written.
    #[error("cannot write {path}")]
    Write {
        /// The copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file broke off while it was read.
    #[error("cannot read {path}")]
    Read {
        /// The agent's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be opened, and the agent does not give it either.
    #[error("the agent does not give the file")]
    Fetch(#[from] AgentError),
    /// Its length is another.
    #[error("the artifact has {found} bytes, the tree names {expected}")]
    Length {
        /// As the tree says.
        expected: u64,
        /// As read, at most one chunk more than expected.
        found: u64,
    },
    /// Its content is another.
    #[error("the artifact is object {found}, the tree names {expected}")]
    Content {
        /// As the tree says.
        expected: Digest,
        /// As read.
        found: Digest,
    },
}

impl ArtifactError {
    /// The word for the agent.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Write { .. } => Reason::DiskFull,
            Self::Read { .. } | Self::Fetch(_) => Reason::ArtifactUnreadable,
            Self::Length { .. } | Self::Content { .. } => Reason::ArtifactDiffers,
        }
    }
}

/// A checked copy; removed when dropped.
#[derive(Debug)]
pub struct Artifact {
    path: PathBuf,
}

impl Artifact {
    /// Copies what `assigned` names into `folder` and checks it: from its path, else through the agent.
    ///
    /// # Errors
    /// See [`ArtifactError`].
    pub async fn take(assigned: &Assigned, agent: &Agent, folder: &Path) -> Result<Self, ArtifactError> {
        let path = folder.join(NAME);
        let copy = Copy::create(&path, assigned.file.length)?;
        let taken = Self { path };
        let from = assigned.folder.join(assigned.file.path.as_str());
        let copy = match open(&from) {
            Ok(file) => {
                let copied = tokio::task::spawn_blocking(move || copy.read_from(&from, file)).await;
                copied.unwrap_or_else(|error| Err(taken.unwritable(io::Error::other(error))))?
            }
            Err(error) => {
                tracing::info!(%error, path = %from.display(), "the artifact is taken through the agent");
                copy.fetch(agent, assigned).await?
            }
        };
        copy.finish(assigned.file.object)?;
        Ok(taken)
    }

    /// Where it stands.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn unwritable(&self, source: io::Error) -> ArtifactError {
        ArtifactError::Write { path: self.path.clone(), source }
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

/// A regular file and nothing else: the path comes from a process with fewer rights than this one.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// A copy under way.
struct Copy {
    path: PathBuf,
    file: File,
    expected: u64,
    length: u64,
    parts: Vec<Part>,
    part: Hasher,
}

impl Copy {
    fn create(path: &Path, expected: u64) -> Result<Self, ArtifactError> {
        let failed = |source| ArtifactError::Write { path: path.into(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
        // A full disk is known before anything is copied, where the file system can tell.
        let room = i64::try_from(expected).unwrap_or(i64::MAX);
        let reserved = fallocate(file.as_fd(), FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, room.max(1));
        if let Err(error @ (nix::Error::ENOSPC | nix::Error::EFBIG)) = reserved {
            let _gone = std::fs::remove_file(path);
            return Err(failed(error.into()));
        }
        Ok(Self { path: path.into(), file, expected, length: 0, parts: Vec::new(), part: Hasher::new() })
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), ArtifactError> {
        self.file.write_all(bytes).map_err(|source| ArtifactError::Write { path: self.path.clone(), source })?;
        while !bytes.is_empty() {
            let room = MAX_PART - self.length % MAX_PART;
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.part.update(now);
            self.length += now.len() as u64;
            if self.length.is_multiple_of(MAX_PART) {
                self.end_part();
            }
            bytes = later;
        }
        if self.length > self.expected {
            return Err(ArtifactError::Length { expected: self.expected, found: self.length });
        }
        Ok(())
    }

    fn end_part(&mut self) {
        let offset = self.parts.len() as u64 * MAX_PART;
        let sha256 = std::mem::take(&mut self.part).finish();
        self.parts.push(Part { target: String::new(), offset, length: self.length - offset, sha256 });
    }

    fn read_from(mut self, path: &Path, mut from: File) -> Result<Self, ArtifactError> {
        let mut buffer = vec![0; CHUNK];
        loop {
            match from.read(&mut buffer).map_err(|source| ArtifactError::Read { path: path.into(), source })? {
                0 => return Ok(self),
                count => self.push(&buffer[..count])?,
            }
        }
    }

    async fn fetch(mut self, agent: &Agent, assigned: &Assigned) -> Result<Self, ArtifactError> {
        for _ in 0..MAX_RESUMES {
            let mut body = agent.file(&assigned.owner, &assigned.file, self.length).await?;
            loop {
                match body.frame().await {
                    Some(Ok(frame)) => self.push(frame.data_ref().map_or(&[][..], |bytes| bytes))?,
                    Some(Err(error)) => {
                        tracing::warn!(%error, "the agent's answer broke off and is resumed");
                        break;
                    }
                    None => return Ok(self),
                }
            }
        }
        Err(AgentError::Ended.into())
    }

    fn finish(mut self, expected: Digest) -> Result<(), ArtifactError> {
        if self.length != self.expected {
            return Err(ArtifactError::Length { expected: self.expected, found: self.length });
        }
        if !self.length.is_multiple_of(MAX_PART) {
            self.end_part();
        }
        let found = object_id(&self.parts);
        if found != expected {
            return Err(ArtifactError::Content { expected, found });
        }
        self.file.sync_all().map_err(|source| ArtifactError::Write { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(folder: &Path, length: u64, object: Digest) -> Assigned {
        let file = serde_json::json!({ "path": "fw.img", "length": length, "object": object });
        let file = serde_json::from_value(file).unwrap();
        Assigned { owner: "group.base".parse().unwrap(), folder: folder.into(), file }
    }

    async fn take(folder: &Path, length: u64, object: Digest) -> Result<Artifact, ArtifactError> {
        let agent = Agent::new(folder.join("no socket"));
        Artifact::take(&assigned(folder, length, object), &agent, folder).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_copy_is_made_only_of_what_the_tree_names() {
        let folder = tempfile::tempdir().unwrap();
        let content = b"firmware".repeat(1000);
        std::fs::write(folder.path().join("fw.img"), &content).unwrap();
        let object = Digest::of(&content);
        block_on(async {
            let taken = take(folder.path(), 8000, object).await.unwrap();
            assert_eq!(std::fs::read(taken.path()).unwrap(), content);
            drop(taken);
            for (length, object) in [(7999, object), (8001, object), (8000, Digest::of(b"else"))] {
                let error = take(folder.path(), length, object).await.unwrap_err();
                assert_eq!(error.reason(), Reason::ArtifactDiffers, "{error}");
            }
        });
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_link_or_a_pipe_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("fw.img")).unwrap();
        let error = block_on(take(folder.path(), 8, Digest::of(b"x"))).unwrap_err();
        assert_eq!(error.reason(), Reason::ArtifactUnreadable, "{error}");
        std::fs::remove_file(folder.path().join("fw.img")).unwrap();
        nix::unistd::mkfifo(&folder.path().join("fw.img"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = block_on(take(folder.path(), 8, Digest::of(b"x"))).unwrap_err();
        assert_eq!(error.reason(), Reason::ArtifactUnreadable, "{error}");
    }

    #[test]
    fn a_large_artifact_is_checked_part_by_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fw.img");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_PART + 5).unwrap();
        let zeros = vec![0; usize::try_from(MAX_PART).unwrap()];
        let part = |content: &[u8]| Part {
            target: String::new(),
            offset: 0,
            length: content.len() as u64,
            sha256: Digest::of(content),
        };
        let object = object_id(&[part(&zeros), part(&zeros[..5])]);
        block_on(take(folder.path(), MAX_PART + 5, object)).unwrap();
    }
}
