//! Drives the appraisal over bytes in memory, as the appliance's intake does over a file.

use std::collections::BTreeMap;

use casemate_protocol::bundle::appraisal::{Appraisal, Audience, Disposition, Inspection, Refusal, Verdict};
use casemate_protocol::bundle::archive::{Event, Member, MemberKind, Reader};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Rules, Stored};
use casemate_protocol::tuf::time::Clock;

/// What a run did besides its verdict.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// Objects held before, by id, with their lengths.
    pub(crate) held: Vec<(Digest, u64)>,
    /// Parts staged, by digest.
    pub(crate) staged: BTreeMap<Digest, Vec<u8>>,
    /// Members that went by unread.
    pub(crate) skipped: usize,
}

/// Appraises `archive` for one appliance.
pub(crate) fn appraise(
    archive: &[u8],
    stored: Stored,
    clock: Clock,
    audience: Audience,
    shelf: &mut Shelf,
) -> Result<Appraisal, Refusal> {
    let client = Client::new(stored, Rules::Casemate, clock)?;
    let mut appraisal = Appraisal::new(client, audience);
    let mut reader = Reader::new();
    let mut input = archive;
    let mut current: Option<(Member, Disposition, Vec<u8>)> = None;
    while let Some(event) = reader.read(&mut input)? {
        match event {
            Event::Member(member) => {
                let disposition = ask(&mut appraisal, Some(&member), shelf)?;
                current = Some((member, disposition, Vec::new()));
            }
            Event::Data(bytes) => current.as_mut().unwrap().2.extend_from_slice(bytes),
            Event::MemberEnd => match current.take().unwrap() {
                (_, Disposition::Read, content) => appraisal.content(&content)?,
                (Member { kind: MemberKind::Object { digest }, length }, Disposition::Stage(_), content) => {
                    let found = Digest::of(&content);
                    if found != digest {
                        return Err(Refusal::Content { expected: digest, found });
                    }
                    shelf.staged.insert(digest, content);
                    appraisal.staged(&digest, length);
                }
                _ => shelf.skipped += 1,
            },
            Event::End => {
                ask(&mut appraisal, None, shelf)?;
            }
        }
    }
    reader.finish()?;
    Ok(appraisal)
}

fn ask(appraisal: &mut Appraisal, member: Option<&Member>, shelf: &Shelf) -> Result<Disposition, Refusal> {
    let disposition = appraisal.member(member)?;
    if disposition != Disposition::Settle {
        return Ok(disposition);
    }
    for (object, length) in &shelf.held {
        appraisal.hold(*object, *length);
    }
    appraisal.settle();
    appraisal.member(member)
}

/// The verdict of appliance `id`, just enrolled at `site`.
pub(crate) fn verdict(site: &casemate_tests::repository::Site, id: &str, archive: &[u8]) -> Result<Verdict, Refusal> {
    let audience = Audience::Appliance(casemate_tests::repository::device(id));
    let clock = casemate_tests::repository::clock();
    appraise(archive, site.stored(), clock, audience, &mut Shelf::default())?.finish()
}

/// What the packer sees.
pub(crate) fn inspect(site: &casemate_tests::repository::Site, archive: &[u8]) -> Result<Inspection, Refusal> {
    let clock = casemate_tests::repository::clock();
    appraise(archive, site.stored(), clock, Audience::Everybody, &mut Shelf::default())?.inspect()
}
