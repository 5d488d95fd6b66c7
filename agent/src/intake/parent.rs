//! The parent: starts the child, answers it, reaps it, and believes only what it can check.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, MAX_WANTED_PARTS, Refusal, Wanted};
use casemate_protocol::bundle::archive::{Member, MemberKind};
use casemate_protocol::code::{Class, Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Rules};
use nix::fcntl::OFlag;

use super::error::{IntakeError, Remains};
use super::frame::{self, Ending, Head, Tag, Task};
use super::input::Input;
use super::order::{Order, Progress};
use super::staging::{SMALL, hash};
use super::{CHILD_ARGUMENT, Launcher};

/// Longest text taken over from a child, characters.
const MAX_TEXT: usize = 1000;
/// Members a child may hand up: far more than a bundle's metadata has, far fewer than would fill memory.
const MAX_MEMBERS: usize = 1 << 20;
/// Bytes of all of them: what an appraisal reads at most, with room.
const MAX_CONTENT: usize = 80 << 20;

/// Object ids a child may ask about: one for every part that may be wanted, and the empty file, which has none.
const MAX_ASKED: usize = MAX_WANTED_PARTS + 1;
/// Frames of all kinds. One tells of 8 MiB or more, or of a member.
const MAX_FRAMES: usize = 1 << 22;

/// How often a child's input is looked at before it counts as silent.
const LOOKS: u32 = 16;

/// What a child said before it ended.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) ending: Ending,
    /// Metadata, assignment and manifests, in the archive's order.
    read: Vec<(MemberKind, Vec<u8>)>,
}

/// What the child may ask and tell while it runs.
pub(super) struct Desk<'a> {
    pub(super) holds: &'a dyn Fn(&Digest) -> Option<u64>,
    pub(super) progress: &'a mut dyn FnMut(Progress),
}

/// Runs one child over `input` to its end.
pub(super) fn converse(
    launcher: &Launcher,
    input: &Input,
    order: &Order,
    task: Task,
    staging: &Path,
    mut desk: Desk<'_>,
) -> Result<Report, IntakeError> {
    let (ours, mut child) = start(launcher, input, staging)?;
    let patience = launcher.patience;
    let tied = launcher.halt.tie(&ours);
    // Also for a child that takes no order, or no answer.
    let said = tied.and_then(|tied| {
        ours.set_write_timeout(Some(patience))?;
        send_order(&ours, order, task)?;
        let said = listen(Ear::new(&ours, input, patience), &mut desk);
        drop(tied);
        said
    });
    drop(ours);
    // It has said its last word, or may be stuck or hostile: what is left of it is not worth waiting for. One that ended
    // by itself keeps its status.
    let _ = child.kill();
    let status = child.wait().map_err(|error| IntakeError::Child(format!("it cannot be reaped: {error}")))?;
    match said {
        Ok(Some(report)) => Ok(report),
        _ if launcher.halt.is_called() => Err(IntakeError::GaveWay),
        Ok(None) => Err(IntakeError::Child(death(status))),
        Err(error) => Err(IntakeError::Child(format!("{error}; {}", death(status)))),
    }
}

fn start(launcher: &Launcher, input: &Input, staging: &Path) -> Result<(UnixStream, Child), IntakeError> {
    let failed = |error: io::Error| IntakeError::Child(format!("it cannot be started: {error}"));
    let theirs_in = input.for_child()?;
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    if !staging.is_dir() {
        let source = io::ErrorKind::NotADirectory.into();
        return Err(IntakeError::Staging { path: staging.into(), source });
    }
    let child = Command::new(&launcher.program)
        .arg0("casemate-agent")
        .arg(CHILD_ARGUMENT)
        .env_clear()
        .current_dir(staging)
        .stdin(Stdio::from(theirs_in))
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    Ok((ours, child))
}

fn death(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("it was killed by signal {signal}"),
        (None, Some(code)) => format!("it ended with {code} and without a report"),
        (None, None) => "it vanished".into(),
    }
}

fn send_order(to: &UnixStream, order: &Order, task: Task) -> io::Result<()> {
    let head = Head {
        task,
        device: order.device.clone(),
        floors: order.stored.floors.clone(),
        wall: order.clock.wall,
        build: order.clock.build,
        offline_span_days: order.clock.offline_span_days,
        reserve: order.reserve,
    };
    let mut to = BufWriter::new(to);
    frame::send(&mut to, Tag::Head, &[&serde_json::to_vec(&head)?])?;
    frame::send(&mut to, Tag::Root, &[&order.stored.root])?;
    for (role, raw) in &order.stored.cached {
        frame::send(&mut to, Tag::Cached, &[role.as_str().as_bytes(), b"\n", raw])?;
    }
    frame::send(&mut to, Tag::Begin, &[])?;
    to.flush()
}

/// Reading that is to be over at a certain time, however few bytes come at once. A child that waits for its input is not
/// blamed for that: how slow a line may be is for whoever fills the pipe.
struct Ear<'a> {
    from: &'a UnixStream,
    input: &'a Input,
    patience: Duration,
    until: Instant,
}

impl<'a> Ear<'a> {
    fn new(from: &'a UnixStream, input: &'a Input, patience: Duration) -> Self {
        Self { from, input, patience, until: Instant::now() }
    }

    fn begin(&mut self) {
        self.until = Instant::now() + self.patience;
    }
}

impl Read for Ear<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it has said nothing for too long"));
            }
            // Looked at several times: at one moment there may be bytes that it has just not taken yet.
            self.from.set_read_timeout(Some(left.min(self.patience / LOOKS)))?;
            match self.from.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.input.is_awaited() {
                self.begin();
            }
        }
    }
}

/// Listens until the child has ended; `None` if it went without a word.
fn listen(ear: Ear<'_>, desk: &mut Desk<'_>) -> io::Result<Option<Report>> {
    let from = ear.from;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "it broke the protocol");
    let babbles = || io::Error::new(io::ErrorKind::InvalidData, "it says more than there is to say");
    let mut read: Vec<(MemberKind, Vec<u8>)> = Vec::new();
    let (mut size, mut frames, mut asked) = (0, 0, 0);
    let mut named = None;
    let mut ear = BufReader::new(ear);
    let mut next = move || {
        ear.get_mut().begin();
        frame::receive(&mut ear)
    };
    while let Some((tag, payload)) = next()? {
        frames += 1;
        if frames > MAX_FRAMES {
            return Err(babbles());
        }
        match tag {
            Tag::Member if named.is_none() => {
                let name = std::str::from_utf8(&payload).ok().and_then(|name| name.parse().ok());
                named = Some(name.ok_or_else(broken)?);
            }
            Tag::Content => {
                size += payload.len();
                read.push((named.take().ok_or_else(broken)?, payload));
                if size > MAX_CONTENT || read.len() > MAX_MEMBERS {
                    return Err(broken());
                }
            }
            Tag::Ask if payload.len() % 32 == 0 => {
                let (ids, _) = payload.as_chunks::<32>();
                asked += ids.len();
                if asked > MAX_ASKED {
                    return Err(babbles());
                }
                let held = ids.iter().map(|id| (desk.holds)(&Digest::from_bytes(*id)).unwrap_or(frame::NOT_HELD));
                let held: Vec<u8> = held.flat_map(u64::to_le_bytes).collect();
                frame::send(&mut &*from, Tag::Answer, &[&held])?;
            }
            Tag::Progress => {
                let (numbers, _) = payload.as_chunks::<8>();
                let [done, total] = numbers else { return Err(broken()) };
                (desk.progress)(Progress { done: u64::from_le_bytes(*done), total: u64::from_le_bytes(*total) });
            }
            Tag::Alive => {}
            Tag::Ended => {
                let ending = serde_json::from_slice(&payload).map_err(|_| broken())?;
                return Ok(Some(Report { ending, read }));
            }
            _ => return Err(broken()),
        }
    }
    Ok(None)
}

/// An appraisal of what the child handed up, made without it.
pub(super) fn replay(report: &Report, order: &Order) -> Result<Appraisal, Refusal> {
    let client = Client::new(order.stored.clone(), Rules::Casemate, order.clock)?;
    let mut appraisal = Appraisal::new(client, Audience::Appliance(order.device.clone()));
    match feed(&mut appraisal, report) {
        // The roots it accepted before may still be kept.
        Err(refusal) if report.is_done() => Err(refusal),
        _ => Ok(appraisal),
    }
}

fn feed(appraisal: &mut Appraisal, report: &Report) -> Result<(), Refusal> {
    for (kind, content) in &report.read {
        let member = Member { kind: kind.clone(), length: content.len() as u64 };
        match appraisal.member(Some(&member))? {
            Disposition::Read => appraisal.content(content)?,
            _ => {
                return Err(Refusal::Unexpected {
                    member: kind.to_string(),
                    why: "the child read what is not to be read",
                });
            }
        }
    }
    Ok(())
}

impl Report {
    pub(super) fn is_done(&self) -> bool {
        matches!(self.ending, Ending::Done { .. })
    }
}

/// The error of a run that did not end well; `None` if it did.
pub(super) fn failure(report: &Report, input: &Input, order: &Order, staging: &Path) -> Option<IntakeError> {
    let os = io::Error::from_raw_os_error;
    Some(match &report.ending {
        Ending::Done { .. } => return None,
        Ending::Refused { .. } | Ending::InputFailed { .. } if input.is_changed() => {
            IntakeError::Changed { path: input.path().into() }
        }
        // What a receipt will say is signed: a child that was taken over must not have it say that a bundle was applied.
        Ending::Refused { code, .. } if code.class() != Class::Refused => {
            IntakeError::Child(format!("it calls {code} a refusal"))
        }
        Ending::Refused { code, text, input } => {
            let mut appraisal = replay(report, order).ok();
            // The content of another bundle may help: what is wanted at all.
            let lacking = appraisal.as_mut().filter(|_| *code == Code::Missing);
            let wanted = lacking.map(wanted).unwrap_or_default();
            refused(*code, text, appraisal.as_ref(), *input, wanted)
        }
        Ending::DiskFull { wanted, free } => {
            let objects = replay(report, order).map(|mut appraisal| self::wanted(&mut appraisal)).unwrap_or_default();
            let objects = objects.into_iter().map(|wanted| wanted.object).collect();
            IntakeError::DiskFull { path: staging.into(), wanted: *wanted, free: *free, objects }
        }
        Ending::InputFailed { errno } => IntakeError::Input { path: input.path().into(), source: os(*errno) },
        Ending::StagingFailed { errno } => IntakeError::Staging { path: staging.into(), source: os(*errno) },
    })
}

/// Everything a bundle wants, if it was read so far.
fn wanted(appraisal: &mut Appraisal) -> Vec<Wanted> {
    match appraisal.member(None) {
        Ok(Disposition::Settle) => appraisal.wanted().cloned().collect(),
        _ => Vec::new(),
    }
}

/// A refusal with what may be kept of it.
fn refused(
    code: Code,
    text: &str,
    appraisal: Option<&Appraisal>,
    input: Option<Digest>,
    wanted: Vec<Wanted>,
) -> IntakeError {
    let printable = |character: char| if character.is_control() { '\u{fffd}' } else { character };
    let client = appraisal.map(Appraisal::client);
    let snapshot = client.and_then(|client| Some((client.timestamp()?.get().version, client.snapshot()?.digest())));
    let roots = client.map(|client| client.roots().to_vec()).unwrap_or_default();
    let remains = Box::new(Remains { roots, input: input.filter(|_| snapshot.is_none()), snapshot, wanted });
    IntakeError::Refused { code, text: text.chars().take(MAX_TEXT).map(printable).collect(), remains }
}

/// A refusal made here.
pub(super) fn refused_here(refusal: &Refusal) -> IntakeError {
    let mut text = refusal.to_string();
    let mut source = std::error::Error::source(refusal);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    refused(refusal.code(), &text, None, None, Vec::new())
}

/// Whether `wanted` stands in the staging folder: of its length, and, up to 1 MiB, of its content.
pub(super) fn is_staged(staging: &Path, wanted: &Wanted) -> io::Result<bool> {
    let path = staging.join(wanted.object.to_string());
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let mut file = match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    Ok(metadata.is_file()
        && metadata.len() == wanted.length
        && (wanted.length > SMALL || hash(&mut file)? == wanted.object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_not_blamed_for_a_slow_line_and_is_for_bytes_it_does_not_take() {
        let (reading, mut filling) = io::pipe().unwrap();
        let input = Input::pipe(OwnedFd::from(reading).into(), "pipe").unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let patience = Duration::from_millis(20);
        let mut ear = Ear::new(&ours, &input, patience);
        ear.begin();
        let begun = Instant::now();
        let child = std::thread::spawn(move || {
            while begun.elapsed() < 5 * patience {
                std::thread::yield_now();
            }
            theirs.write_all(b"x").unwrap();
            theirs
        });
        assert_eq!(ear.read(&mut [0]).unwrap(), 1);
        let _silent = child.join().unwrap();
        filling.write_all(b"x").unwrap();
        ear.begin();
        assert_eq!(ear.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
