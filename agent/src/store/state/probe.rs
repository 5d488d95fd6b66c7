//! Reading a sled folder that may be rotten, in a process that may die of it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::content::{self, Remembered};

/// Reading a few thousand keys takes milliseconds; a rotten folder may make sled turn in circles.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest answer read, bytes.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// The probe's own side: opens the sled folder at `folder` and writes what it remembers to `out`, as JSON.
///
/// May panic, hang or end the process: that is what it is for. Run it in a process of its own.
///
/// # Errors
/// The folder cannot be opened, or is not whole; nothing was written then.
pub fn probe(folder: &Path, out: &mut impl Write) -> std::io::Result<()> {
    let unusable = || std::io::Error::other("the second copy cannot be read");
    if !folder.join("db").is_file() {
        return Err(unusable());
    }
    let db = sled::Config::new().path(folder).flush_every_ms(None).segment_size(super::second_copy::SEGMENT).open();
    let db = db.map_err(|_| unusable())?;
    let remembered = content::remembered(&db).ok_or_else(unusable)?;
    out.write_all(&serde_json::to_vec(&remembered)?)
}

/// Has `command` read out the sled folder at `folder`. None for whatever goes wrong.
pub(crate) fn read_out(command: &(PathBuf, Vec<OsString>), folder: &Path) -> Option<Remembered> {
    let (program, arguments) = command;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let answer = child.stdout.take().and_then(|mut pipe| read_in_time(&mut pipe));
    if answer.is_none() {
        let _ = child.kill();
    }
    let ended_well = child.wait().is_ok_and(|status| status.success());
    answer.filter(|_| ended_well).and_then(|answer| serde_json::from_slice(&answer).ok())
}

fn read_in_time(pipe: &mut (impl Read + AsFd)) -> Option<Vec<u8>> {
    let start = Instant::now();
    let (mut answer, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        let left = PATIENCE.checked_sub(start.elapsed())?;
        let timeout = PollTimeout::try_from(left).ok()?;
        let ready = poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout);
        if ready == Ok(0) || answer.len() as u64 > MAX_ANSWER {
            return None;
        }
        match pipe.read(&mut buffer).ok()? {
            0 => return Some(answer),
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
}
