//! Offers to the host's enforcer: whatever the bytes, refused or the golden policy.
//!
//! The first byte chooses: even, the rest is an offer; odd, it is a list of edits to the golden one, four bytes each.
#![no_main]

use casemate_protocol::boundary::offer::{Accepted, Anchor, judge};
use casemate_protocol::boundary::{Policy, in_force};
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::time::{Clock, UtcTime};
use libfuzzer_sys::fuzz_target;

const OFFER: &[u8] = include_bytes!("../../vectors/offer-v1/offer");
const ANCHOR: &[u8] = include_bytes!("../../vectors/offer-v1/anchor.json");

fn judged(offer: &[u8]) -> Option<Accepted> {
    let clock = Clock {
        wall: "2026-03-02T00:00:00Z".parse().expect("a time"),
        build: UtcTime::EPOCH,
        offline_span_days: 99_999,
    };
    judge(offer, &Anchor::parse(ANCHOR).expect("golden"), &Floors::default(), clock).ok()
}

/// Changes, inserts, drops and repeats bytes.
fn edited(script: &[u8]) -> Vec<u8> {
    let mut offer = OFFER.to_vec();
    for step in script.chunks_exact(4).take(16) {
        let at = usize::from(u16::from_le_bytes([step[1], step[2]])) % offer.len().max(1);
        match step[0] % 4 {
            0 if !offer.is_empty() => offer[at] ^= step[3].max(1),
            1 => offer.insert(at.min(offer.len()), step[3]),
            2 => drop(offer.drain(at.min(offer.len())..(at + usize::from(step[3])).min(offer.len()))),
            _ => {
                let block = at / 512 * 512;
                let end = (block + 512 * (usize::from(step[3]) % 8)).min(offer.len());
                let copy = offer[block.min(end)..end].to_vec();
                offer.splice(block.min(end)..block.min(end), copy);
            }
        }
    }
    offer
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let offer = if choice % 2 == 0 { rest.to_vec() } else { edited(rest) };
    if let Some(accepted) = judged(&offer) {
        let golden = judged(OFFER).expect("golden");
        assert_eq!(accepted.policy, golden.policy, "nobody but two persons makes a policy");
        assert_eq!(in_force(&accepted.policy, Some(&Policy::default()), None), Policy::default());
    }
});
