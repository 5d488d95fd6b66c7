//! Trusted metadata as the suite wants to see it, and floors apart from it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::client::{Client, Stored};
use casemate_protocol::tuf::file_name::quote;
use casemate_protocol::tuf::floors::Floors;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::verify::Verified;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// The two places floors are kept in, below the metadata folder.
const PLACES: [&str; 2] = ["floors-a", "floors-b"];

/// A metadata folder.
pub(crate) struct Store {
    folder: PathBuf,
    /// What is on disk already, by role.
    written: BTreeMap<RoleName, Digest>,
    floors: Floors,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    generation: u64,
    floors: Floors,
}

impl Store {
    /// Starts a store from a root nobody has judged yet.
    pub(crate) fn init(folder: &Path, root: &[u8]) -> Result<(), Failure> {
        fs::create_dir_all(folder)?;
        replace(&folder.join("root.json"), root)?;
        write_floors(folder, 1, &Floors::default())
    }

    /// Opens a store and says what a client may build on.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Stored), Failure> {
        let Kept { generation, floors } = read_floors(folder)?;
        let root = fs::read(folder.join("root.json"))?;
        let mut cached = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(unquote);
            if let Some(role) = name.filter(|name| name != "root") {
                let role = RoleName::foreign(role);
                cached.insert(role.clone(), fs::read(folder.join(file_name(&role)))?);
            }
        }
        let written = cached.iter().map(|(role, raw)| (role.clone(), Digest::of(raw))).collect();
        let stored = Stored { root, floors: floors.clone(), cached };
        Ok((Self { folder: folder.into(), written, floors, generation }, stored))
    }

    /// Makes everything accepted so far durable: roots, then floors, then what only saves a download.
    pub(crate) fn save(&mut self, client: &Client) -> Result<(), Failure> {
        self.write(&RoleName::root(), client.root().raw())?;
        if *client.floors() != self.floors {
            self.generation += 1;
            write_floors(&self.folder, self.generation, client.floors())?;
            self.floors = client.floors().clone();
        }
        let top = [
            (RoleName::timestamp(), client.timestamp().map(Verified::raw)),
            (RoleName::snapshot(), client.snapshot().map(Verified::raw)),
            (RoleName::targets(), client.targets().map(Verified::raw)),
        ];
        for (role, raw) in top {
            raw.map_or(Ok(()), |raw| self.write(&role, raw))?;
        }
        let listed = client.snapshot().into_iter().flat_map(|snapshot| snapshot.get().meta.keys());
        for role in listed.filter_map(|name| name.strip_suffix(".json")).map(RoleName::foreign) {
            client.delegated(&role).map_or(Ok(()), |accepted| self.write(&role, accepted.raw()))?;
        }
        Ok(())
    }

    fn write(&mut self, role: &RoleName, raw: &[u8]) -> Result<(), Failure> {
        let digest = Digest::of(raw);
        if self.written.get(role) != Some(&digest) {
            replace(&self.folder.join(file_name(role)), raw)?;
            self.written.insert(role.clone(), digest);
        }
        Ok(())
    }
}

fn file_name(role: &RoleName) -> String {
    format!("{}.json", quote(role.as_str(), b""))
}

/// The other way round; a name that quoting does not make is no file of ours.
fn unquote(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok().filter(|plain| quote(plain, b"") == name)
}

fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let beside = path.with_extension("new");
    fs::write(&beside, content)?;
    Ok(fs::rename(beside, path)?)
}

/// Each copy is its SHA-256 in hexadecimal, a line end, and the text.
fn write_floors(folder: &Path, generation: u64, floors: &Floors) -> Result<(), Failure> {
    let text = serde_json::to_string(&Kept { generation, floors: floors.clone() })?;
    let copy = format!("{}\n{text}", Digest::of(text.as_bytes()));
    for place in PLACES {
        fs::create_dir_all(folder.join(place))?;
        replace(&folder.join(place).join("floors"), copy.as_bytes())?;
    }
    Ok(())
}

/// The newest whole copy. Without one nothing says what was accepted before, so nothing is.
fn read_floors(folder: &Path) -> Result<Kept, Failure> {
    let mut newest: Option<Kept> = None;
    for place in PLACES {
        let copy = match fs::read_to_string(folder.join(place).join("floors")) {
            Ok(copy) => copy,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => continue,
            Err(error) => return Err(error.into()),
        };
        let whole = copy.split_once('\n').filter(|(digest, text)| *digest == Digest::of(text.as_bytes()).to_string());
        let kept = whole.and_then(|(_, text)| serde_json::from_str::<Kept>(text).ok());
        newest = kept.into_iter().chain(newest).max_by_key(|kept| kept.generation);
    }
    newest.ok_or_else(|| "both copies of the floors are lost; start again from a trusted root".into())
}
