//! Landlock: which files, programs and TCP ports.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, Scope,
};
use nix::libc;

use super::confinement::{Confinement, Ports};
use super::error::ConfineError;
use super::interpreter::{interpreter, library_folders};

/// The first kernel with port rules has ABI 4.
const WITH_PORTS: ABI = ABI::V4;
/// What newer kernels can forbid beside that.
const NEWEST: ABI = ABI::V6;
/// This program, even after its file was replaced.
const OWN: &str = "/proc/self/exe";
/// What every process needs beside itself: its loader's index, where it looks itself up, where children's input ends.
const ALWAYS_READ: [&str; 2] = ["/etc/ld.so.cache", "/proc"];
const NOWHERE: &str = "/dev/null";

/// Restricts this thread and every one it starts later: one of the layers of [`super::confine`]. Says whether TCP ports
/// are limited, too.
///
/// # Errors
/// The kernel has no Landlock, or refuses; a path cannot be opened.
pub fn enter(confinement: &Confinement) -> Result<bool, ConfineError> {
    let ports = confinement.connect != Ports::Any;
    let rules = create(ports).map_err(ConfineError::Landlock)?;
    let rules = allow_program(rules, confinement)?;
    let rules = allow_files(rules, confinement)?;
    let rules = allow_ports(rules, confinement).map_err(ConfineError::Landlock)?;
    let status = rules.restrict_self().map_err(ConfineError::Landlock)?;
    let holds =
        matches!(status.landlock, LandlockStatus::Available { effective_abi, .. } if effective_abi >= WITH_PORTS);
    Ok(ports && holds)
}

fn create(ports: bool) -> Result<RulesetCreated, landlock::RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(ABI::V1))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        // Signals to processes that are not this one's own. Abstract unix sockets stay: some service managers listen there.
        .scope(Scope::Signal)?;
    if ports {
        rules = rules.handle_access(AccessNet::from_all(NEWEST))?;
    }
    rules.create()
}

/// What it takes to start this program again.
fn allow_program(rules: RulesetCreated, confinement: &Confinement) -> Result<RulesetCreated, ConfineError> {
    let started = AccessFs::Execute | AccessFs::ReadFile;
    let own = File::open(OWN).map_err(|source| ConfineError::path(OWN, source))?;
    let loader = interpreter(&own).map_err(|source| ConfineError::path(OWN, source))?;
    let libraries = library_folders().map_err(|source| ConfineError::path(OWN, source))?;
    let mut rules = rules.add_rule(PathBeneath::new(own, started)).map_err(ConfineError::Landlock)?;
    for path in loader.iter().chain(&confinement.execute) {
        rules = allow(rules, path, started)?;
    }
    for folder in &libraries {
        rules = allow(rules, folder, AccessFs::ReadFile.into())?;
    }
    Ok(rules)
}

fn allow_files(rules: RulesetCreated, confinement: &Confinement) -> Result<RulesetCreated, ConfineError> {
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    // Devices are nobody's to make, and nothing written may be started.
    let writing = AccessFs::from_all(NEWEST) & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
    let mut rules = allow(rules, Path::new(NOWHERE), AccessFs::ReadFile | AccessFs::WriteFile)?;
    for path in ALWAYS_READ.iter().map(Path::new).chain(confinement.read.iter().map(AsRef::as_ref)) {
        rules = allow(rules, path, reading)?;
    }
    for path in confinement.write.iter().map(AsRef::as_ref).chain(confinement.above_mounts()) {
        rules = allow(rules, path, writing)?;
    }
    Ok(rules)
}

fn allow_ports(mut rules: RulesetCreated, confinement: &Confinement) -> Result<RulesetCreated, landlock::RulesetError> {
    let Ports::Only(connect) = &confinement.connect else { return Ok(rules) };
    let connect = connect.iter().map(|port| (*port, AccessNet::ConnectTcp));
    for (port, access) in connect.chain(confinement.bind.iter().map(|port| (*port, AccessNet::BindTcp))) {
        rules = rules.add_rule(NetPort::new(port, access))?;
    }
    Ok(rules)
}

/// Allows `access` at `path` and below, as far as it makes sense for what stands there.
fn allow(rules: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, ConfineError> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path) {
        Ok(file) => file,
        Err(source) if is_absent(&source) => return Ok(rules),
        Err(source) => return Err(ConfineError::path(path, source)),
    };
    let is_folder = file.metadata().map_err(|source| ConfineError::path(path, source))?.is_dir();
    let access = if is_folder { access } else { access & AccessFs::from_file(NEWEST) };
    rules.add_rule(PathBeneath::new(file, access)).map_err(ConfineError::Landlock)
}

/// What is not there, or not for this user to see, needs no rule.
fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied)
}
