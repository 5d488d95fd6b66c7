//! Where an archive's bytes go: into the reader's pipe, or into a file that is looked at first.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use casemate_protocol::bundle::archive::Writer;
use nix::fcntl::OFlag;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

/// Nobody takes the bytes any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Where bytes go.
#[derive(Debug)]
pub(super) enum Sink {
    /// To the reader.
    Pipe(pipe::Sender),
    /// Into the spool.
    File(File),
}

impl Sink {
    /// A pipe: its reading end blocks, for a process that reads it, its writing end does not.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub(super) fn pipe() -> io::Result<(File, Self)> {
        let (reading, writing): (OwnedFd, OwnedFd) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
        nix::fcntl::fcntl(&writing, nix::fcntl::FcntlArg::F_SETFL(flags))?;
        Ok((File::from(reading), Self::Pipe(pipe::Sender::from_owned_fd(writing)?)))
    }

    /// Passes `bytes` on.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Gone> {
        let written = match self {
            Self::Pipe(pipe) => pipe.write_all(bytes).await,
            Self::File(file) => file.write_all(bytes),
        };
        written.map_err(|_| Gone)
    }

    /// Fills up the last block of a member of `length` bytes.
    pub(super) async fn pad(&mut self, length: u64) -> Result<(), Gone> {
        self.write(Writer::padding(length)).await
    }
}
