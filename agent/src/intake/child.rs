//! The child: reads a hostile archive, and can do little else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, Placement, Refusal};
use casemate_protocol::bundle::archive::{ArchiveError, Event, Member, MemberKind, Reader};
use casemate_protocol::code::Explain;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Rules, Stored};
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::Clock;

use super::frame::{self, ASKED_AT_ONCE, Ending, Head, Tag, Task};
use super::hashing::{ALIGNMENT, BUFFER, Gone, Hashing};
use super::sandbox;
use super::source::Source;
use super::staging::{Found, SMALL, Staging};

/// Bytes between two reports of progress.
const PROGRESS_STEP: u64 = 8 << 20;

/// An input of at most this many bytes is hashed by the thread that reads it.
const HASHED_HERE: u64 = 4 << 20;

/// Bytes that go by unstaged between two signs of life.
pub(super) const ALIVE_STEP: u64 = 64 << 20;

/// Where parts are wanted, with the length signed for them, by digest.
type Places = BTreeMap<Digest, Vec<(u64, Placement)>>;

/// Why the child stops early.
#[derive(Debug)]
pub(super) enum Stop {
    Refused(Refusal),
    DiskFull {
        wanted: u64,
        free: u64,
    },
    Input(io::Error),
    Staging(io::Error),
    /// The parent is gone, or this process is broken: nobody to tell.
    Lost,
}

impl From<Refusal> for Stop {
    fn from(error: Refusal) -> Self {
        Self::Refused(error)
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        Self::Refused(error.into())
    }
}

impl Stop {
    fn lost<E>(_: E) -> Self {
        Self::Lost
    }
}

/// The whole life of the child. Its input is descriptor 0, its parent descriptor 1, its folder the working folder.
#[must_use]
pub fn main() -> ExitCode {
    match live() {
        Some(()) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}

fn live() -> Option<()> {
    let parent: File = io::stdout().as_fd().try_clone_to_owned().ok()?.into();
    let input: File = io::stdin().as_fd().try_clone_to_owned().ok()?.into();
    let staging = Staging::open().ok()?;
    // Before the hashing thread starts: the fence holds the thread that builds it and those that follow.
    sandbox::fence(&staging).ok()?;
    let small = input.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= HASHED_HERE);
    let hashing = if small { Hashing::here() } else { Hashing::start().ok()? };
    sandbox::enter().ok()?;
    let (head, stored) = receive_order(&mut BufReader::new(&parent))?;
    let mut child = Child {
        parent: BufWriter::new(parent),
        source: Source::new(input),
        reader: Reader::new(),
        staging,
        hashing,
        reserve: head.reserve,
        total: 0,
        done: 0,
        reported: 0,
        quiet: 0,
    };
    let clock = Clock { wall: head.wall, build: head.build, offline_span_days: head.offline_span_days };
    let outcome = match head.task {
        Task::Harvest(parts) => {
            let mut wanted = Places::new();
            for part in parts {
                let place = Placement {
                    object: part.object,
                    part: part.part,
                    offset: part.offset,
                    object_length: part.object_length,
                };
                wanted.entry(part.sha256).or_default().push((part.length, place));
            }
            child.harvest(wanted)
        }
        task => Client::new(stored, Rules::Casemate, clock)
            .map_err(|error| Stop::Refused(error.into()))
            .and_then(|client| child.appraise(Appraisal::new(client, Audience::Appliance(head.device)), &task)),
    };
    let ending = child.ending(outcome)?;
    tell(&mut child.parent, Tag::Ended, &serde_json::to_vec(&ending).ok()?).ok()
}

/// Sends one frame, and what waits before it, now.
fn tell(parent: &mut BufWriter<File>, tag: Tag, payload: &[u8]) -> io::Result<()> {
    frame::send(parent, tag, &[payload])?;
    parent.flush()
}

/// Nothing follows the order until the child has asked, so reading ahead loses nothing.
fn receive_order(parent: &mut impl Read) -> Option<(Head, Stored)> {
    let mut head = None;
    let mut stored = Stored::default();
    loop {
        match frame::receive(parent).ok()?? {
            (Tag::Head, payload) => head = Some(serde_json::from_slice::<Head>(&payload).ok()?),
            (Tag::Root, payload) => stored.root = payload,
            (Tag::Cached, payload) => {
                let end = payload.iter().position(|byte| *byte == b'\n')?;
                let role = std::str::from_utf8(&payload[..end]).ok()?;
                stored.cached.insert(RoleName::foreign(role), payload[end + 1..].to_vec());
            }
            (Tag::Begin, _) => break,
            _ => return None,
        }
    }
    let head = head?;
    stored.floors = head.floors.clone();
    Some((head, stored))
}

struct Child {
    /// A socket, but used as a file: `recv` and `send` are beyond the cage.
    /// What was read waits here until the parent has something to do.
    parent: BufWriter<File>,
    source: Source,
    reader: Reader,
    staging: Staging,
    hashing: Hashing,
    reserve: u64,
    total: u64,
    done: u64,
    reported: u64,
    /// Bytes that went by since the last sign of life.
    quiet: u64,
}

impl Child {
    /// What the parent is told.
    fn ending(&mut self, outcome: Result<usize, Stop>) -> Option<Ending> {
        Some(match outcome {
            Ok(parts) => Ending::Done { parts },
            Err(Stop::Refused(refusal)) => {
                let mut text = refusal.to_string();
                let mut source = std::error::Error::source(&refusal);
                while let Some(error) = source {
                    text = format!("{text}: {error}");
                    source = error.source();
                }
                let mut alive = || drop(tell(&mut self.parent, Tag::Alive, &[]));
                Ending::Refused { code: refusal.code(), text, input: self.source.digest(&mut alive) }
            }
            Err(Stop::DiskFull { wanted, free }) => Ending::DiskFull { wanted, free },
            Err(Stop::Input(error)) => Ending::InputFailed { errno: error.raw_os_error().unwrap_or(0) },
            Err(Stop::Staging(error)) if is_full(&error) => {
                Ending::DiskFull { wanted: self.total.saturating_sub(self.done), free: self.free() }
            }
            Err(Stop::Staging(error)) => Ending::StagingFailed { errno: error.raw_os_error().unwrap_or(0) },
            Err(Stop::Lost) => return None,
        })
    }

    fn free(&self) -> u64 {
        self.staging.free().unwrap_or(0).saturating_sub(self.reserve)
    }

    /// Reads the archive to its end, or to the assignment where no more is asked.
    fn appraise(&mut self, mut appraisal: Appraisal, task: &Task) -> Result<usize, Stop> {
        while let Some(member) = self.next_member()? {
            match self.ask(&mut appraisal, Some(&member))? {
                Disposition::Read => {
                    let content = self.content(&member)?;
                    let name = member.kind.to_string();
                    frame::send(&mut self.parent, Tag::Member, &[name.as_bytes()]).map_err(Stop::lost)?;
                    frame::send(&mut self.parent, Tag::Content, &[&content]).map_err(Stop::lost)?;
                    appraisal.content(&content)?;
                    if appraisal.client().snapshot().is_some() {
                        self.source.verified();
                    }
                    if *task == Task::Survey && appraisal.assignment().is_some() {
                        return Ok(0);
                    }
                }
                Disposition::Stage(places) => {
                    let digest = self.stage(&member, &places)?;
                    appraisal.staged(&digest, member.length);
                }
                Disposition::Skip | Disposition::Settle => self.skip()?,
            }
        }
        self.ask(&mut appraisal, None)?;
        appraisal.finish()?;
        Ok(0)
    }

    /// Reads the whole archive for parts it may hold.
    fn harvest(&mut self, wanted: Places) -> Result<usize, Stop> {
        let mut found = 0;
        self.source.verified();
        let wanted = self.lacking(wanted).map_err(Stop::Staging)?;
        self.total = wanted.values().flatten().map(|(length, _)| length).sum();
        while let Some(member) = self.next_member()? {
            let places: Vec<_> = match &member.kind {
                MemberKind::Object { digest } => wanted.get(digest).into_iter().flatten().collect(),
                _ => Vec::new(),
            };
            let fitting = places.into_iter().filter(|(length, _)| *length == member.length);
            let places: Vec<_> = fitting.map(|(_, place)| *place).collect();
            if places.is_empty() {
                self.skip()?;
            } else {
                self.stage(&member, &places)?;
                found += 1;
            }
        }
        Ok(found)
    }

    /// The places in `wanted` that nothing is in yet.
    fn lacking(&self, mut wanted: Places) -> io::Result<Places> {
        let objects: BTreeSet<_> =
            wanted.values().flatten().map(|(_, place)| (place.object, place.object_length)).collect();
        let found = objects.into_iter().map(|key| Ok((key, self.staging.find(&key.0, key.1)?)));
        let found: BTreeMap<_, _> = found.collect::<io::Result<_>>()?;
        for places in wanted.values_mut() {
            places.retain(|(_, place)| match &found[&(place.object, place.object_length)] {
                Found::Whole => false,
                Found::Parts(parts) => !parts.contains(&place.part),
            });
        }
        Ok(wanted)
    }

    fn ask(&mut self, appraisal: &mut Appraisal, member: Option<&Member>) -> Result<Disposition, Stop> {
        let disposition = appraisal.member(member)?;
        if disposition != Disposition::Settle {
            return Ok(disposition);
        }
        let wanted: Vec<_> = appraisal.wanted().cloned().collect();
        for some in wanted.chunks(ASKED_AT_ONCE) {
            let ids: Vec<u8> = some.iter().flat_map(|wanted| *wanted.object.as_bytes()).collect();
            tell(&mut self.parent, Tag::Ask, &ids).map_err(Stop::lost)?;
            let Ok(Some((Tag::Answer, held))) = frame::receive(self.parent.get_mut()) else {
                return Err(Stop::Lost);
            };
            for (index, wanted) in some.iter().enumerate() {
                let object = wanted.object;
                if let Some(length) = frame::held(&held, index) {
                    appraisal.hold(object, length);
                    continue;
                }
                if wanted.length == 0 {
                    // No member carries it: an empty file is known by its manifest alone.
                    self.staging.write_small(&object, &[]).map_err(Stop::Staging)?;
                    appraisal.hold(object, 0);
                    continue;
                }
                let mut alive = || drop(tell(&mut self.parent, Tag::Alive, &[]));
                match self.staging.find_intact(wanted, &mut alive).map_err(Stop::Staging)? {
                    Found::Whole => appraisal.hold(object, wanted.length),
                    Found::Parts(parts) => parts.into_iter().for_each(|part| appraisal.hold_part(object, part)),
                }
            }
        }
        appraisal.settle();
        self.total = appraisal.bytes_to_stage();
        let free = self.free();
        if self.total > free {
            return Err(Stop::DiskFull { wanted: self.total, free });
        }
        self.report(true)?;
        Ok(appraisal.member(member)?)
    }

    fn report(&mut self, now: bool) -> Result<(), Stop> {
        if !now && self.done < self.reported + PROGRESS_STEP {
            return Ok(());
        }
        self.reported = self.done;
        let figures = [self.done.to_le_bytes(), self.total.to_le_bytes()];
        tell(&mut self.parent, Tag::Progress, figures.as_flattened()).map_err(Stop::lost)
    }

    /// The next event that is no content.
    fn next_member(&mut self) -> Result<Option<Member>, Stop> {
        loop {
            let mut bytes = self.source.bytes().map_err(Stop::Input)?;
            if bytes.is_empty() {
                self.reader.finish()?;
                return Ok(None);
            }
            let before = bytes.len();
            let event = self.reader.read(&mut bytes)?;
            let taken = before - bytes.len();
            let member = match event {
                Some(Event::Member(member)) => Some(member),
                _ => None,
            };
            self.source.consume(taken);
            if member.is_some() {
                return Ok(member);
            }
        }
    }

    /// The current member's content, in memory; the appraisal has limited its length.
    fn content(&mut self, member: &Member) -> Result<Vec<u8>, Stop> {
        let mut content = vec![0; usize::try_from(member.length).map_err(Stop::lost)?];
        self.fill(&mut content)?;
        Ok(content)
    }

    /// Fills `buffer` with the current member's content, which has that much left.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Stop> {
        let count = self.source.fill(buffer).map_err(Stop::Input)?;
        self.reader.passed(count as u64);
        if count < buffer.len() {
            self.reader.finish()?;
        }
        Ok(())
    }

    fn skip(&mut self) -> Result<(), Stop> {
        loop {
            let left = self.reader.content_left();
            let step = left.min(ALIVE_STEP);
            let passed = self.source.skip(step).map_err(Stop::Input)?;
            self.reader.passed(passed);
            if passed < step {
                self.reader.finish()?;
            }
            self.went_by(passed)?;
            if passed == left || passed < step {
                return Ok(());
            }
        }
    }

    /// `count` bytes went by without progress: the parent must hear from time to time that they do.
    fn went_by(&mut self, count: u64) -> Result<(), Stop> {
        self.quiet += count;
        if self.quiet < ALIVE_STEP {
            return Ok(());
        }
        self.quiet = 0;
        tell(&mut self.parent, Tag::Alive, &[]).map_err(Stop::lost)
    }

    /// Writes the current member to every one of `places` while hashing it.
    fn stage(&mut self, member: &Member, places: &[Placement]) -> Result<Digest, Stop> {
        let MemberKind::Object { digest: expected } = member.kind else {
            return Err(Stop::Lost);
        };
        let small = |place: &Placement| place.object_length <= SMALL;
        let found = if !places.is_empty() && places.iter().all(small) {
            let content = self.content(member)?;
            let found = Digest::of(&content);
            if found == expected {
                let write = |place: &Placement| self.staging.write_small(&place.object, &content);
                places.iter().try_for_each(write).map_err(Stop::Staging)?;
            }
            self.done += member.length;
            found
        } else {
            self.stage_large(member.length, expected, places)?
        };
        self.report(false)?;
        if found == expected { Ok(found) } else { Err(Refusal::Content { expected, found }.into()) }
    }

    fn stage_large(&mut self, length: u64, expected: Digest, places: &[Placement]) -> Result<Digest, Stop> {
        let open = |place: &Placement| Ok((self.staging.open_part(place)?, *place));
        let files: Vec<_> = places.iter().map(open).collect::<io::Result<_>>().map_err(Stop::Staging)?;
        let mut written = 0;
        while written < length {
            let count = usize::try_from(length - written).unwrap_or(BUFFER).min(BUFFER);
            let mut buffer = self.hashing.buffer()?;
            self.fill(&mut buffer.bytes_mut()[..count])?;
            // Direct writes go by whole blocks; what is written beyond the end is cut off again.
            let whole = count.next_multiple_of(ALIGNMENT);
            buffer.bytes_mut()[count..whole].fill(0);
            let buffer = self.hashing.hash(buffer, count)?;
            for (file, place) in &files {
                let at = place.offset + written;
                std::os::unix::fs::FileExt::write_all_at(file, &buffer.bytes()[..whole], at).map_err(Stop::Staging)?;
            }
            self.hashing.give_back(buffer);
            written += count as u64;
            self.done += count as u64;
            self.report(false)?;
        }
        let found = self.hashing.finish()?;
        for (file, place) in &files {
            let done =
                if found == expected { self.staging.verified(file, place) } else { self.staging.rejected(place) };
            done.map_err(Stop::Staging)?;
        }
        Ok(found)
    }
}

impl From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Lost
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
