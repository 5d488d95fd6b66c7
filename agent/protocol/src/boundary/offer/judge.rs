//! The enforcer's side: whether an offer may come into force.

use super::MAX_OFFER;
use super::accepted::Accepted;
use super::anchor::Anchor;
use super::error::OfferError;
use crate::bundle::appraisal::{Appraisal, Audience, Disposition, Refusal, Verdict};
use crate::bundle::archive::{Event, Reader};
use crate::digest::Digest;
use crate::tuf::client::{Client, Rules, Stored};
use crate::tuf::floors::Floors;
use crate::tuf::time::Clock;

/// Judges the offer in `raw` for the appliance of `anchor`. `floors` are those of the offer accepted last, if any was.
/// Memory is bounded by a small multiple of [`MAX_OFFER`].
///
/// # Errors
/// The offer is refused, and what is in force stays.
pub fn judge(raw: &[u8], anchor: &Anchor, floors: &Floors, clock: Clock) -> Result<Accepted, OfferError> {
    let length = raw.len() as u64;
    if length > MAX_OFFER {
        return Err(OfferError::Length(length));
    }
    let stored = Stored { root: anchor.root_bytes()?, floors: floors.clone(), ..Stored::default() };
    let client = Client::new(stored, Rules::Casemate, clock).map_err(OfferError::Root)?;
    let Verdict { trust, addressee, .. } =
        read(raw, Appraisal::new(client, Audience::Enforcer(anchor.device())))?.finish()?;
    let boundary = addressee.boundary.outcome?;
    Ok(Accepted {
        offer: Digest::of(raw),
        root_version: trust.root_version,
        demo: trust.demo,
        timestamp: trust.timestamp,
        signed_at: trust.signed_at,
        floors: trust.floors,
        name: boundary.name().cloned(),
        version: addressee.boundary.version,
        document: boundary.papers.as_ref().map(|papers| papers.digest),
        policy: boundary.allow,
    })
}

/// Shows every member to the appraisal, and its content where it is to be read. Nothing is ever staged: no owner is
/// asked for.
fn read(raw: &[u8], mut appraisal: Appraisal) -> Result<Appraisal, Refusal> {
    let mut reader = Reader::new();
    let (mut input, mut disposition) = (raw, Disposition::Skip);
    let mut content = &raw[..0];
    while let Some(event) = reader.read(&mut input)? {
        match event {
            Event::Member(member) => {
                content = &raw[..0];
                disposition = appraisal.member(Some(&member))?;
                if disposition == Disposition::Settle {
                    appraisal.settle();
                    disposition = appraisal.member(Some(&member))?;
                }
            }
            // The whole input is at hand, so content comes in one piece.
            Event::Data(bytes) => content = bytes,
            Event::MemberEnd if disposition == Disposition::Read => appraisal.content(content)?,
            Event::MemberEnd | Event::End => {}
        }
    }
    reader.finish()?;
    Ok(appraisal)
}
