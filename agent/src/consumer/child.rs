//! Programs the helper starts: no shell, no environment, an end in any case.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// The whole environment of a child.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Most that is kept of what a child says, bytes.
const MAX_OUTPUT: usize = 4096;
/// How long the end of the output is waited for once the child is gone: somebody it left behind may hold the pipe.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// How a child ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status.
    pub status: ExitStatus,
    /// The beginning of what it said on both outputs, printable, one line a line.
    pub output: String,
}

/// Why there is no end to tell of.
#[derive(Debug, Error)]
pub enum ChildError {
    /// It could not be started.
    #[error("cannot start {program}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It did not end in time and was killed, with its process group.
    #[error("{program} did not end within {} s", limit.as_secs())]
    Slow {
        /// Which.
        program: PathBuf,
        /// What it was given.
        limit: Duration,
    },
}

/// Runs `program` to its end, or until `limit`; then, and when the future is dropped, its process group is killed.
///
/// # Errors
/// It cannot be started or is too slow. How it exits is not judged.
pub async fn run(program: &Path, arguments: &[impl AsRef<OsStr>], limit: Duration) -> Result<Ended, ChildError> {
    let (child, output) =
        start(program, arguments).map_err(|source| ChildError::Start { program: program.into(), source })?;
    let mut group = Group(Some(child));
    match timeout(limit, group.end(output)).await {
        Ok(Ok(ended)) => Ok(ended),
        Ok(Err(source)) => Err(ChildError::Start { program: program.into(), source }),
        Err(_) => {
            group.kill().await;
            Err(ChildError::Slow { program: program.into(), limit })
        }
    }
}

fn start(program: &Path, arguments: &[impl AsRef<OsStr>]) -> std::io::Result<(Child, Receiver)> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    Ok((command.spawn()?, Receiver::from_owned_fd(reader.into())?))
}

/// A child and whoever it started in its process group; killed when dropped before it ended.
struct Group(Option<Child>);

impl Group {
    async fn end(&mut self, mut output: Receiver) -> std::io::Result<Ended> {
        let mut kept = Vec::new();
        let Some(child) = &mut self.0 else { return Err(std::io::ErrorKind::NotFound.into()) };
        let status = {
            let reading = keep(&mut output, &mut kept);
            tokio::pin!(reading);
            let mut open = true;
            let status = loop {
                tokio::select! {
                    status = child.wait() => break status?,
                    () = &mut reading, if open => open = false,
                }
            };
            if open {
                let _left_open = timeout(AFTERWARDS, reading).await;
            }
            status
        };
        self.0 = None;
        Ok(Ended { status, output: printable(&kept) })
    }

    fn signal(&self) {
        // Not reaped yet, so that the number is still this group's and nobody else's.
        if let Some(id) = self.0.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok()) {
            let _gone = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }

    async fn kill(mut self) {
        self.signal();
        if let Some(mut child) = self.0.take() {
            // One that cannot be killed is left alone: it runs as another user, or hangs in the kernel.
            let _reaped = timeout(AFTERWARDS, child.wait()).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal();
    }
}

/// Reads to the end and keeps the beginning: a child that is not read stops.
async fn keep(output: &mut Receiver, kept: &mut Vec<u8>) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        let room = MAX_OUTPUT - kept.len();
        kept.extend_from_slice(&buffer[..length.min(room)]);
    }
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end().chars().map(|one| if one.is_control() && one != '\n' { '\u{fffd}' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    fn shell(script: &str, limit: Duration) -> Result<Ended, ChildError> {
        block_on(run(Path::new("/bin/sh"), &["-c", script], limit))
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_a_child_says_is_kept_up_to_a_limit_and_never_stops_it() {
        let ended = shell("echo out; echo wrong >&2; exit 3", LONG).unwrap();
        assert_eq!((ended.status.code(), ended.output.as_str()), (Some(3), "out\nwrong"));
        let ended = shell("head -c 1000000 /dev/zero | tr '\\0' x; printf '\\033[31m'", LONG).unwrap();
        assert_eq!(ended.output.len(), MAX_OUTPUT);
        assert!(shell("printf '\\033[31m'", LONG).unwrap().output.starts_with('\u{fffd}'));
    }

    #[test]
    fn a_child_gets_no_environment_but_a_path() {
        let ended = block_on(run(Path::new("/usr/bin/env"), &[] as &[&str], LONG)).unwrap();
        assert_eq!(ended.output, format!("PATH={PATH}"));
    }

    #[test]
    fn a_child_that_does_not_end_is_given_up() {
        let error = shell("exec sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, ChildError::Slow { .. }), "{error}");
    }

    #[test]
    fn a_child_that_is_given_up_is_killed_with_whom_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {0}.next; mv {0}.next {0}; wait", path.display());
        let started = std::time::Instant::now();
        let in_time = || assert!(started.elapsed() < LONG, "it never came to an end");
        block_on(async {
            let arguments = ["-c", &script];
            let child = run(Path::new("/bin/sh"), &arguments, LONG);
            tokio::pin!(child);
            while !path.exists() {
                in_time();
                tokio::select! {
                    ended = &mut child => panic!("{ended:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        });
        let pid = std::fs::read_to_string(path).unwrap();
        // Nobody but init reaps it; a zombie counts as gone.
        let lives =
            || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|stat| !stat.contains(") Z "));
        while lives() {
            in_time();
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_child_left_behind_with_its_output_does_not_hold_the_helper_up() {
        let ended = shell("sleep 30 & echo $!", LONG).unwrap();
        assert!(ended.status.success());
        killpg_of(&ended.output);
    }

    fn killpg_of(pid: &str) {
        let _ended = nix::sys::signal::kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_of_its_own() {
        let error = block_on(run(Path::new("/nonexistent"), &[] as &[&str], LONG)).unwrap_err();
        assert!(matches!(error, ChildError::Start { .. }));
    }
}
