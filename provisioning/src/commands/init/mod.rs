//! `casemate init`.

mod starter;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use casemate_protocol::boundary::MAX_DOCUMENT;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Jurisdiction, Name};
use casemate_protocol::digest::Digest;
use casemate_protocol::encoding;
use casemate_protocol::keys::{KeyDocument, KeyId};
use casemate_protocol::tuf::role::{RoleKeys, RoleName};
use casemate_protocol::tuf::root::{PersonToken, Profile};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use thiserror::Error;

use crate::cli::Context;
use crate::exit::{Exit, Failure};
use crate::file::{self, Audience, FileError};
use crate::output::count;
use crate::repository::founding::Founding;
use crate::repository::{Lock, Place, RepositoryError, Writer};
use crate::signer::{FileKey, KeyError, Keyring, public_path};
use crate::site::boundary::{EnvelopeFile, envelope};
use crate::site::folder::utf8;
use crate::site::settings::Expiry;
use crate::site::{Layout, SiteError};

/// Options.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The folder to make
    #[arg(value_name = "SITE")]
    folder: PathBuf,
    /// Where every appliance of the site lives, ISO 3166-1 alpha-2; bound in the root for good
    #[arg(long, value_name = "CC")]
    jurisdiction: Jurisdiction,
    /// How far any boundary may ever go (docs/site.md, boundary); bound in the root, so nothing may leave without it
    #[arg(long, value_name = "FILE")]
    envelope: Option<PathBuf>,
    #[command(flatten)]
    signers: Signers,
    /// How many persons must sign root, targets and every group
    #[arg(long, default_value_t = 2, conflicts_with = "demo")]
    threshold: u32,
    /// Where to put private keys; `<SITE>-keys` beside the site unless given
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Signers {
    /// One person may do everything; health and receipts will say so
    #[arg(long)]
    demo: bool,
    /// Somebody who signs, by a name that stays in site.toml; give at least as many as must sign
    #[arg(long = "person", value_name = "NAME")]
    persons: Vec<Name>,
}

/// Why a site is not made.
#[derive(Debug, Error)]
enum InitError {
    /// Something is there.
    #[error("{} exists and is not empty", .0.display())]
    Exists(PathBuf),
    /// The keys would lie in the site.
    #[error("{} lies inside the site", .0.display())]
    KeysInside(PathBuf),
    /// Fewer persons than must sign, or fewer than two.
    #[error("{} cannot meet a threshold of {threshold}", count(*persons, "distinct person"))]
    Persons {
        /// Given.
        persons: usize,
        /// Asked.
        threshold: u32,
    },
    /// No randomness.
    #[error("the system's random generator failed")]
    Random,
}

impl Explain for InitError {
    fn code(&self) -> Code {
        match self {
            Self::Exists(_) => Code::Exists,
            Self::KeysInside(_) | Self::Persons { .. } => Code::UsageInvalid,
            Self::Random => Code::Internal,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::KeysInside(_) => {
                "Choose a folder outside the site: the site is reviewed and copied, keys never.".into()
            }
            Self::Persons { .. } => {
                "Name at least two with --person and a --threshold from 2 to their number, or try --demo.".into()
            }
            other => other.code().remedy().into(),
        }
    }
}

/// Runs it.
pub(crate) fn run(context: &Context, args: &Args) -> Result<Exit, Failure> {
    let persons = persons(args)?;
    let envelope = args.envelope.as_deref().map(|path| Given::read(path, args.jurisdiction)).transpose()?;
    let layout = Layout::new(args.folder.clone());
    let keys = args.keys.clone().unwrap_or_else(|| layout.default_keys());
    refuse_occupied(&args.folder)?;
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if absolute(&keys).starts_with(absolute(&args.folder)) {
        return Err(InitError::KeysInside(keys).into());
    }
    let fresh = !keys.exists();
    let mut ceremony = Ceremony { envelope, ..Ceremony::default() };
    make(context, args, &mut ceremony, &keys, &persons).inspect_err(|_| {
        ceremony.discard();
        if fresh {
            // Never one that holds anything.
            let _ = fs::remove_dir(&keys);
        }
    })?;
    file::sync_folder_of(&args.folder)?;
    let root = fs::read(
        Place::new(layout.repository()).version(&RoleName::root(), casemate_protocol::tuf::role::Version::FIRST),
    );
    let fingerprint = Digest::of(&root.map_err(FileError::read(&args.folder))?);
    tell(context, args, &keys, &ceremony, fingerprint);
    Ok(Exit::DONE)
}

/// Keys and folder. Until the rename at the end there is no site.
fn make(context: &Context, args: &Args, ceremony: &mut Ceremony, keys: &Path, persons: &[Name]) -> Result<(), Failure> {
    make_private_folder(keys)?;
    ceremony.hold(keys, persons, args)?;
    let building = Layout::new(with_suffix(&args.folder));
    let made = build(context, args, &building, ceremony);
    let made = made.and_then(|()| {
        fs::rename(building.root(), &args.folder).map_err(FileError::write(&args.folder))?;
        Ok(())
    });
    made.inspect_err(|_| {
        let _ = fs::remove_dir_all(building.root());
    })
}

fn persons(args: &Args) -> Result<Vec<Name>, InitError> {
    let mut persons = args.signers.persons.clone();
    persons.sort();
    persons.dedup();
    if args.signers.demo {
        return Ok(Vec::new());
    }
    let enough = usize::try_from(args.threshold).is_ok_and(|threshold| (2..=persons.len()).contains(&threshold));
    if enough { Ok(persons) } else { Err(InitError::Persons { persons: persons.len(), threshold: args.threshold }) }
}

fn refuse_occupied(folder: &Path) -> Result<(), Failure> {
    let mut entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(FileError::read(folder))?,
    };
    if entries.next().is_none() { Ok(()) } else { Err(InitError::Exists(folder.to_owned()).into()) }
}

fn make_private_folder(folder: &Path) -> Result<(), FileError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(FileError::write(folder))
}

fn with_suffix(folder: &Path) -> PathBuf {
    let clean: PathBuf = folder.components().collect();
    let name = clean.file_name().unwrap_or_default().to_string_lossy();
    clean.with_file_name(format!(".{name}.{}.part", std::process::id()))
}

/// The keys made, and who holds them.
#[derive(Default)]
struct Ceremony {
    keyring: Keyring,
    documents: BTreeMap<KeyId, KeyDocument>,
    roles: BTreeMap<RoleName, RoleKeys>,
    persons: BTreeMap<KeyId, PersonToken>,
    names: BTreeMap<PersonToken, String>,
    files: Vec<(PathBuf, &'static str)>,
    envelope: Option<Given>,
}

/// The envelope somebody brought: as written, for the site, and as meant, for the root.
struct Given {
    text: String,
    digest: Digest,
}

impl Given {
    fn read(path: &Path, jurisdiction: Jurisdiction) -> Result<Self, SiteError> {
        let shown = path.display().to_string();
        let text = utf8(&shown, file::read(path, MAX_DOCUMENT)?)?;
        let digest = EnvelopeFile::parse(&shown, &text, jurisdiction)?.digest;
        Ok(Self { text, digest })
    }
}

impl Ceremony {
    /// Makes every key: for each person one for root and one for daily signing, and the two of the publishing machine.
    fn hold(&mut self, folder: &Path, persons: &[Name], args: &Args) -> Result<(), Failure> {
        let threshold = if args.signers.demo { 1 } else { args.threshold };
        let demo = ["demo".to_owned()];
        let names: Vec<String> = persons.iter().map(ToString::to_string).collect();
        for name in if args.signers.demo { &demo[..] } else { &names[..] } {
            let token = token()?;
            let root = self.key(folder, &format!("{name}-root"), "signs roots: lock it away", Some(&token))?;
            let daily = self.key(folder, name, "signs targets, groups and boundaries", Some(&token))?;
            self.role(RoleName::root(), root, threshold);
            self.role(RoleName::targets(), daily, threshold);
            self.names.insert(token, name.clone());
        }
        for role in [RoleName::snapshot(), RoleName::timestamp()] {
            let key = self.key(folder, role.as_str(), "stays on the publishing machine", None)?;
            self.role(role, key, 1);
        }
        Ok(())
    }

    /// Takes away the keys made here, and no other: nothing was signed that anybody has.
    fn discard(&self) {
        for (path, _) in &self.files {
            let _ = fs::remove_file(path);
            let _ = fs::remove_file(public_path(path));
        }
    }

    fn key(
        &mut self,
        folder: &Path,
        name: &str,
        purpose: &'static str,
        person: Option<&PersonToken>,
    ) -> Result<KeyId, KeyError> {
        let path = folder.join(format!("{name}.key"));
        let key = FileKey::make(&path)?;
        let keyid = key.keyid().clone();
        self.documents.insert(keyid.clone(), key.document().clone());
        if let Some(person) = person {
            self.persons.insert(keyid.clone(), person.clone());
        }
        self.keyring.add(key);
        self.files.push((path, purpose));
        Ok(keyid)
    }

    fn role(&mut self, role: RoleName, key: KeyId, threshold: u32) {
        let keys = self.roles.entry(role).or_insert_with(|| RoleKeys { keyids: Vec::new(), threshold });
        keys.keyids.push(key);
        keys.keyids.sort();
    }
}

/// A name for a person that says nothing about her (R46).
fn token() -> Result<PersonToken, InitError> {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| InitError::Random)?;
    Ok(PersonToken(format!("p-{}", encoding::to_hex(&bytes))))
}

/// Fills the folder that becomes the site.
fn build(context: &Context, args: &Args, layout: &Layout, ceremony: &Ceremony) -> Result<(), Failure> {
    let place = Place::new(layout.repository());
    for folder in [place.metadata(), place.targets()] {
        file::create_folder(&folder)?;
    }
    let founding = Founding {
        keyring: &ceremony.keyring,
        keys: ceremony.documents.clone(),
        roles: ceremony.roles.clone(),
        profile: Profile {
            format: 1,
            persons: ceremony.persons.clone(),
            jurisdiction: args.jurisdiction,
            envelope: ceremony.envelope.as_ref().map(|envelope| envelope.digest),
            demo: args.signers.demo,
            keys: BTreeMap::new(),
        },
        expiry: Expiry::DEFAULT,
        now: context.now,
    };
    let issue = founding.issue().map_err(RepositoryError::from)?;
    let lock = Lock::take(&place)?;
    Writer::new(&place, &lock).publish(&[], &issue)?;
    let envelope = ceremony.envelope.iter().map(|given| (envelope::FILE.to_owned(), given.text.clone()));
    for (relative, text) in starter::files(args.jurisdiction, &ceremony.names).into_iter().chain(envelope) {
        let path = layout.file(&relative);
        file::create_folder(path.parent().unwrap_or(layout.root()))?;
        file::create(&path, text.as_bytes(), Audience::Everybody)?;
    }
    Ok(())
}

fn tell(context: &Context, args: &Args, keys: &Path, ceremony: &Ceremony, fingerprint: Digest) {
    let output = context.output;
    output.say(format!("Made {} and, outside it, the private keys in {}:", args.folder.display(), keys.display()));
    for (path, purpose) in &ceremony.files {
        output.say(format!("  {}  {purpose}", path.file_name().unwrap_or_default().to_string_lossy()));
    }
    if args.signers.demo {
        output.say("One person may do everything here (--demo): for demonstrations only.");
    } else {
        output.say("Give every person her two keys and delete them here: nobody should hold two persons' keys.");
    }
    match &ceremony.envelope {
        Some(envelope) => output.say(format!(
            "The root binds the envelope {} (SHA-256 {}): no boundary goes beyond it.",
            envelope::FILE,
            envelope.digest
        )),
        None => output.say("The root binds no envelope: nothing may ever leave appliances of this site."),
    }
    output.say("Write the root's fingerprint on paper; appliances are compared with it:");
    let value = json!({
        "site": args.folder, "keys": keys, "demo": args.signers.demo, "jurisdiction": args.jurisdiction,
        "root": { "version": 1, "sha256": fingerprint },
        "envelope": ceremony.envelope.as_ref().map(|envelope| envelope.digest),
    });
    output.data(&value, fingerprint.to_string());
}
