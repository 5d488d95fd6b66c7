//! A bundle that comes as a request's body: through a pipe into the sandboxed reader, never held as a whole.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use nix::fcntl::OFlag;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use super::body::Body;
use super::call::ImportSource;
use super::refusal::{Refusal, RequestError};

/// A body of which no byte comes for so long has been left.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `import` over the body. Whatever becomes of the bundle, the rest of the body is taken in and thrown away: a
/// client that is still sending would not look at the answer.
pub(super) async fn run<F: Future<Output = Result<Response<Body>, Refusal>>>(
    mut body: Incoming,
    import: impl FnOnce(ImportSource) -> F,
) -> Result<Response<Body>, Refusal> {
    let failed = |source| RequestError::Failed { action: "make a pipe", source };
    let (reading, writing) = pipe().map_err(failed)?;
    let mut answered = pin!(import(ImportSource::Stream(File::from(reading))));
    let pumped = {
        let mut pumping = pin!(pump(&mut body, writing));
        tokio::select! {
            pumped = &mut pumping => Some(pumped),
            answer = &mut answered => {
                pumping.await?;
                return answer;
            }
        }
    };
    // The pipe is closed: the reader sees the bundle's end, or its truncation.
    let answer = answered.await;
    match pumped {
        Some(Err(error)) => Err(error.into()),
        _ => answer,
    }
}

/// Moves the body into the pipe until the body ends. A reader that has seen enough closes its end.
async fn pump(body: &mut Incoming, writing: pipe::Sender) -> Result<(), RequestError> {
    let mut writing = Some(writing);
    while let Some(frame) = tokio::time::timeout(PATIENCE, body.frame()).await.map_err(|_| RequestError::Silent)? {
        let frame = frame.map_err(|_| RequestError::Broken)?;
        let Some(bytes) = frame.data_ref() else { continue };
        if let Some(open) = &mut writing
            && open.write_all(bytes).await.is_err()
        {
            writing = None;
        }
    }
    Ok(())
}

/// A pipe: its reading end blocks, for a process that reads it, its writing end does not.
fn pipe() -> io::Result<(OwnedFd, pipe::Sender)> {
    let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&writing, nix::fcntl::FcntlArg::F_SETFL(flags))?;
    Ok((reading, pipe::Sender::from_owned_fd(writing)?))
}
