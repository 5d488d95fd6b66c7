//! Reads a written bundle back through the appliance's verifier.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, Inspection, Refusal};
use casemate_protocol::bundle::archive::{Event, Member, MemberKind, Reader};
use casemate_protocol::canonical;
use casemate_protocol::digest::{Digest, Hasher};
use casemate_protocol::tuf::role::{RoleName, Version};
use casemate_protocol::tuf::time::UtcTime;

use super::judge::client;
use crate::file::FileError;
use crate::site::folder::BLOCK;

/// Longest root read before anything is trusted, bytes.
const MAX_ROOT: u64 = 16 * 1024 * 1024;

/// What a bundle holds.
#[derive(Debug)]
pub(crate) struct Found {
    /// Length of the file, bytes.
    pub(crate) length: u64,
    /// SHA-256 of the file.
    pub(crate) digest: Digest,
    /// Members seen.
    pub(crate) members: usize,
    /// Versions of the roots in it.
    pub(crate) roots: Vec<Version>,
    /// When the metadata in it expires, as it says itself.
    pub(crate) expires: BTreeMap<RoleName, UtcTime>,
    /// What the verifier says.
    pub(crate) inspection: Result<Inspection, Refusal>,
}

/// Reads the bundle at `path` as one for everybody; without `root` the first root in the bundle is taken at its word.
///
/// # Errors
/// The file cannot be read. What is wrong with the bundle stands in [`Found::inspection`].
pub(crate) fn read(
    path: &Path,
    root: Option<&[u8]>,
    now: UtcTime,
    seen: &mut dyn FnMut(u64),
) -> Result<Found, FileError> {
    let mut file = File::open(path).map_err(FileError::read(path))?;
    let mut reading = Reading::new(root, now);
    let (mut reader, mut hasher, mut length) = (Reader::new(), Hasher::new(), 0);
    let mut block = vec![0; BLOCK];
    let mut broken = None;
    loop {
        let count = file.read(&mut block).map_err(FileError::read(path))?;
        if count == 0 {
            break;
        }
        hasher.update(&block[..count]);
        length += count as u64;
        seen(count as u64);
        let mut rest = &block[..count];
        while broken.is_none() {
            match reader.read(&mut rest).map_err(Refusal::from) {
                Ok(None) => break,
                Ok(Some(event)) => broken = reading.event(event).err(),
                Err(refusal) => broken = Some(refusal),
            }
        }
    }
    let whole = broken.map_or_else(|| reader.finish().map_err(Refusal::from), Err);
    let (members, roots, expires) =
        (reading.members, std::mem::take(&mut reading.roots), std::mem::take(&mut reading.expires));
    let inspection = whole.and_then(|()| reading.conclude());
    Ok(Found { length, digest: hasher.finish(), members, roots, expires, inspection })
}

struct Reading {
    root: Option<Vec<u8>>,
    now: UtcTime,
    appraisal: Option<Appraisal>,
    member: Option<Member>,
    doing: Doing,
    members: usize,
    roots: Vec<Version>,
    expires: BTreeMap<RoleName, UtcTime>,
}

enum Doing {
    Buffer(Vec<u8>),
    Hash(Hasher),
    Nothing,
}

impl Reading {
    fn new(root: Option<&[u8]>, now: UtcTime) -> Self {
        Self {
            root: root.map(<[u8]>::to_vec),
            now,
            appraisal: None,
            member: None,
            doing: Doing::Nothing,
            members: 0,
            roots: Vec::new(),
            expires: BTreeMap::new(),
        }
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Refusal> {
        match event {
            Event::Member(member) => self.begin(&member),
            Event::Data(bytes) => {
                match &mut self.doing {
                    Doing::Buffer(buffer) => buffer.extend_from_slice(bytes),
                    Doing::Hash(hasher) => hasher.update(bytes),
                    Doing::Nothing => {}
                }
                Ok(())
            }
            Event::MemberEnd => self.end(),
            Event::End => Ok(()),
        }
    }

    fn begin(&mut self, member: &Member) -> Result<(), Refusal> {
        self.members += 1;
        if let MemberKind::Metadata { role, version } = &member.kind
            && *role == RoleName::root()
        {
            self.roots.push(*version);
        }
        self.member = Some(member.clone());
        self.doing = match (&mut self.appraisal, &self.root) {
            // The first root opens the appraisal; it is held back until it is whole.
            (None, None) => Self::first(member)?,
            (None, Some(root)) => {
                let client = client(root, self.now)?;
                let appraisal = self.appraisal.insert(Appraisal::new(client, Audience::Everybody));
                disposition(appraisal, member)?
            }
            (Some(appraisal), _) => disposition(appraisal, member)?,
        };
        Ok(())
    }

    fn first(member: &Member) -> Result<Doing, Refusal> {
        let is_root = matches!(&member.kind, MemberKind::Metadata { role, .. } if *role == RoleName::root());
        let name = member.kind.to_string();
        if !is_root {
            return Err(Refusal::Unexpected { member: name, why: "a bundle begins with a root" });
        }
        if member.length > MAX_ROOT {
            return Err(Refusal::Length { member: name, found: member.length, limit: MAX_ROOT });
        }
        Ok(Doing::Buffer(Vec::new()))
    }

    fn end(&mut self) -> Result<(), Refusal> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut doing = std::mem::replace(&mut self.doing, Doing::Nothing);
        if self.appraisal.is_none() {
            let Doing::Buffer(raw) = &doing else { return Ok(()) };
            self.note(&member, raw);
            let client = client(raw, self.now)?;
            let appraisal = self.appraisal.insert(Appraisal::new(client, Audience::Everybody));
            let raw = std::mem::take(match &mut doing {
                Doing::Buffer(raw) => raw,
                _ => return Ok(()),
            });
            doing = match disposition(appraisal, &member)? {
                Doing::Buffer(_) => Doing::Buffer(raw),
                other => other,
            };
        }
        if let Doing::Buffer(raw) = &doing {
            self.note(&member, raw);
        }
        let Some(appraisal) = &mut self.appraisal else { return Ok(()) };
        match doing {
            Doing::Buffer(raw) => appraisal.content(&raw),
            Doing::Hash(hasher) => {
                let found = hasher.finish();
                match member.kind {
                    MemberKind::Object { digest } if digest != found => {
                        Err(Refusal::Content { expected: digest, found })
                    }
                    MemberKind::Object { digest } => {
                        appraisal.staged(&digest, member.length);
                        Ok(())
                    }
                    _ => Ok(()),
                }
            }
            Doing::Nothing => Ok(()),
        }
    }

    /// When a metadata member says it expires.
    fn note(&mut self, member: &Member, raw: &[u8]) {
        if let MemberKind::Metadata { role, .. } = &member.kind
            && let Ok(value) = canonical::parse(raw)
            && let Some(Ok(expires)) = value["signed"]["expires"].as_str().map(str::parse)
        {
            self.expires.insert(role.clone(), expires);
        }
    }

    fn conclude(self) -> Result<Inspection, Refusal> {
        match self.appraisal {
            Some(appraisal) => appraisal.inspect(),
            None => Err(Refusal::Unexpected { member: "the end".into(), why: "a bundle begins with a root" }),
        }
    }
}

fn disposition(appraisal: &mut Appraisal, member: &Member) -> Result<Doing, Refusal> {
    loop {
        match appraisal.member(Some(member))? {
            Disposition::Settle => appraisal.settle(),
            Disposition::Read => return Ok(Doing::Buffer(Vec::new())),
            Disposition::Stage(_) => return Ok(Doing::Hash(Hasher::new())),
            Disposition::Skip => return Ok(Doing::Nothing),
        }
    }
}
