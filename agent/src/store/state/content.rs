//! What stands in the second copy, key by key.

use std::collections::BTreeMap;

use casemate_engine::update;
use casemate_protocol::device::id::Owner;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::kept_floors::KeptFloors;
use crate::store::record::Record;
use crate::store::small_state::SmallState;
use crate::store::standing::BoundaryStanding;
use casemate_protocol::evidence::crc::crc32c;

/// Bytes of one value: beyond 4 KiB sled's way of storing is not safe against power cuts.
const MAX_VALUE: usize = 4_000;

/// What the second copy remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// Journal records it had followed.
    pub(crate) size: u64,
    /// The floors then.
    pub(crate) floors: KeptFloors,
    /// Where the owners stood then.
    pub(crate) owners: BTreeMap<Owner, update::State>,
    /// Where the boundary stood then.
    #[serde(default)]
    pub(crate) boundary: Option<Box<BoundaryStanding>>,
}

/// Whether `record` changes anything the second copy keeps beside the journal's size.
pub(super) fn is_kept(record: &Record) -> bool {
    match record {
        Record::Accepted(_)
        | Record::Root { .. }
        | Record::Raised { .. }
        | Record::Enrolled { .. }
        | Record::Owner { .. }
        | Record::Receipt { .. }
        | Record::Boundary(_)
        | Record::Taken { .. } => true,
        Record::Started { .. }
        | Record::Stopped { .. }
        | Record::Outcome(_)
        | Record::Refused { .. }
        | Record::Noticed { .. }
        | Record::DiskFull { .. } => false,
    }
}

/// The keys that `records` changed, after they were folded into `state`.
pub(super) fn touched(records: &[Record], state: &SmallState, size: u64, batch: &mut sled::Batch) {
    put("size", &size, batch);
    for record in records {
        match record {
            Record::Accepted(_) | Record::Root { .. } | Record::Raised { .. } => {
                put("floors", &state.floors, batch);
                put("trust", &state.trust, batch);
            }
            Record::Enrolled { enrolment } => put("enrolment", enrolment, batch),
            Record::Owner { owner, state } => put(&format!("owner/{owner}"), state, batch),
            Record::Boundary(_) => put("boundary", &state.boundary, batch),
            Record::Receipt { sequence, .. } | Record::Taken { sequence, .. } => {
                if let Some(entry) = state.outbox.get(sequence) {
                    put(&format!("outbox/{sequence:016x}"), entry, batch);
                }
            }
            Record::Started { .. }
            | Record::Stopped { .. }
            | Record::Outcome(_)
            | Record::Refused { .. }
            | Record::Noticed { .. }
            | Record::DiskFull { .. } => {}
        }
    }
}

/// The keys of receipts that `state` no longer remembers: without this the copy would grow with every receipt.
pub(super) fn forgotten(tree: &sled::Tree, state: &SmallState, batch: &mut sled::Batch) {
    for key in tree.scan_prefix(b"outbox/").keys().flatten() {
        let number = key.get(b"outbox/".len()..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        let number = number.and_then(|text| u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok());
        if !number.is_some_and(|number| state.outbox.contains_key(&number)) {
            batch.remove(key);
        }
    }
}

/// Every key of `state`.
pub(super) fn all(state: &SmallState, size: u64, batch: &mut sled::Batch) {
    put("size", &size, batch);
    put("floors", &state.floors, batch);
    put("trust", &state.trust, batch);
    put("enrolment", &state.enrolment, batch);
    if state.boundary.is_some() {
        put("boundary", &state.boundary, batch);
    }
    state.owners.iter().for_each(|(owner, state)| put(&format!("owner/{owner}"), state, batch));
    state.outbox.iter().for_each(|(sequence, entry)| put(&format!("outbox/{sequence:016x}"), entry, batch));
}

/// Splits a value over as many keys as it needs: `<key> 0x00 <index>` → crc32c of key and rest (4), count (1), piece.
fn put(key: &str, value: &impl Serialize, batch: &mut sled::Batch) {
    let Ok(json) = serde_json::to_vec(value) else { return };
    let pieces: Vec<&[u8]> = json.chunks(MAX_VALUE).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let name = piece_key(key, index);
        let count = u8::try_from(pieces.len()).unwrap_or(0);
        let crc = crc32c(&[&name, &[count], piece]);
        let mut stored = crc.to_le_bytes().to_vec();
        stored.push(count);
        stored.extend_from_slice(piece);
        batch.insert(name, stored);
    }
}

fn piece_key(key: &str, index: usize) -> Vec<u8> {
    [key.as_bytes(), &[0, u8::try_from(index).unwrap_or(u8::MAX)]].concat()
}

fn get<T: DeserializeOwned>(tree: &sled::Tree, key: &str) -> Option<T> {
    let mut json = Vec::new();
    let (mut index, mut count) = (0, 1);
    while index < count {
        let name = piece_key(key, index);
        let stored = tree.get(&name).ok()??;
        let (crc, rest) = stored.split_first_chunk::<4>()?;
        let (pieces, piece) = rest.split_first()?;
        if u32::from_le_bytes(*crc) != crc32c(&[&name, rest]) {
            return None;
        }
        count = usize::from(*pieces);
        json.extend_from_slice(piece);
        index += 1;
    }
    serde_json::from_slice(&json).ok()
}

/// Reads out what the copy remembers. None if a part of it is missing or fails its check.
pub(super) fn remembered(tree: &sled::Tree) -> Option<Remembered> {
    let mut owners = BTreeMap::new();
    for key in tree.scan_prefix(b"owner/").keys() {
        let key = key.ok()?;
        let name = std::str::from_utf8(key.split(|byte| *byte == 0).next()?).ok()?;
        owners.insert(name.strip_prefix("owner/")?.parse().ok()?, get(tree, name)?);
    }
    let boundary = match tree.get(piece_key("boundary", 0)).ok()? {
        None => None,
        Some(_) => get(tree, "boundary")?,
    };
    Some(Remembered { size: get(tree, "size")?, floors: get(tree, "floors")?, owners, boundary })
}
