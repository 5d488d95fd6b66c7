//! The one-shot: take what was handed over, judge the copy, load the rules, say what is in force.

use std::ffi::OsStr;
use std::fs::DirBuilder;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use casemate_protocol::boundary::offer::{Accepted, MAX_OFFER, judge};
use casemate_protocol::boundary::{MAX_DOCUMENT, Narrowing, Policy};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::role::Version;

use super::decision::{Decision, Handed, decide};
use super::device::devices;
use super::error::EnforceError;
use super::input::{FOLDER, Handover};
use super::kept::{Kept, Last, place};
use super::loader::Loader;
use super::observed::Observed;
use super::ruleset::{Host, Observe, Ruleset};
use super::unit::{self, Unit};
use crate::boundary::status::{self, EnforcerMode, EnforcerRefusal, EnforcerStatus};
use crate::clock::WallClock;
use crate::consumer::trusted;

/// The offer's name in the agent's folder.
const OFFER: &str = "offer";
/// How often is looked again at what changes meanwhile.
const ROUNDS: u32 = 4;
/// The agent's own narrowing.
const OWN: &str = "narrowing.json";

/// Where everything is.
#[derive(Clone, Debug)]
pub struct Places {
    /// The agent's state folder.
    pub state: PathBuf,
    /// Where the status is written.
    pub run: PathBuf,
    /// The site's narrowing.
    pub site: PathBuf,
    /// The enforcer's own folder.
    pub kept: PathBuf,
    /// The program `nft`.
    pub nft: PathBuf,
    /// The agent's unit, whose `IPAddressAllow=` is to follow the peers.
    pub unit: Option<Unit>,
}

/// What is to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// What was signed and handed over.
    Signed,
    /// Nothing is allowed, whatever was signed.
    DenyAll,
}

/// The enforcer.
#[derive(Debug)]
pub struct Enforcer {
    places: Places,
    clock: WallClock,
}

/// What is to come into force, and how the rules for it depend on the machine.
struct Plan {
    decision: Decision,
    host: Host,
    observed: Option<Observed>,
}

/// What a decision was made of, and where it is kept.
struct Memory {
    kept: Kept,
    last: Result<Option<Last>, EnforceError>,
    handed: Handed,
}

impl Memory {
    /// Keeps `decision`, and answers with what comes into force. A new offer that cannot be kept does not: the last one
    /// stays, and the status says why.
    fn remember(self, decision: Decision, stood: bool) -> Result<Decision, EnforceError> {
        let Some(accepted) = decision.accepted.clone() else { return Ok(decision) };
        let Err(error) = self.kept.remember(&Last { accepted, in_force: decision.policy.clone() }) else {
            return Ok(decision);
        };
        tracing::error!(%error, "what comes into force cannot be kept");
        let code = error.code();
        let known = match self.last {
            Err(_) if stood => return Err(error),
            last => last.ok().flatten(),
        };
        if known.as_ref().map(|last| &last.accepted) == decision.accepted.as_ref() {
            return Ok(Decision { refused: decision.refused.or(Some(code)), ..decision });
        }
        Ok(decide(known.as_ref(), Handed { offer: Err(code), ..self.handed }))
    }
}

impl Enforcer {
    /// An enforcer of `places`.
    ///
    /// # Errors
    /// This is not root.
    pub fn new(places: Places, clock: WallClock) -> Result<Self, EnforceError> {
        let user = nix::unistd::geteuid();
        if user.is_root() { Ok(Self { places, clock }) } else { Err(EnforceError::NotRoot(user.as_raw())) }
    }

    /// The rules that would be loaded now, found good by `nft`; nothing is loaded and nothing written.
    ///
    /// # Errors
    /// As [`Self::enforce`].
    pub fn check(&self, wish: Wish) -> Result<Ruleset, EnforceError> {
        let (_, decision) = self.decide(wish, Loader::new(&self.places).stands()?)?;
        let plan = self.plan(decision)?;
        let ruleset = Ruleset::render(&plan.decision.policy, &plan.host);
        Loader::new(&self.places).check(&ruleset)?;
        Ok(ruleset)
    }

    /// Loads the rules of what is in force from now on, and says so in the status. A refused offer is no error: its
    /// code stands in the status, and the last good one stays.
    ///
    /// # Errors
    /// Nothing is pinned, the kernel did not take the rules, or what is kept is damaged beyond telling what to load;
    /// then what was loaded before stays.
    pub fn enforce(&self, wish: Wish) -> Result<EnforcerStatus, EnforceError> {
        let stood = self.stand(wish);
        for _ in 1..ROUNDS {
            let before = self.handed();
            let status = self.round(wish, stood)?;
            if before == self.handed() {
                return Ok(status);
            }
        }
        self.round(wish, stood)
    }

    /// Loads what was in force last where no rules of ours stand, before anything can fail; without a memory of it,
    /// nothing is allowed. Says whether rules stood already.
    fn stand(&self, wish: Wish) -> bool {
        let loader = Loader::new(&self.places);
        if loader.stands().unwrap_or(false) {
            return true;
        }
        let closed = Decision { accepted: None, policy: Policy::default(), refused: None };
        let decision = match (wish, Kept::open(&self.places.kept)) {
            (Wish::Signed, Ok(None)) => return false,
            (Wish::Signed, Ok(Some(kept))) => kept.last().ok().flatten().map_or(closed, |last| Decision {
                accepted: Some(last.accepted),
                policy: last.in_force,
                refused: None,
            }),
            _ => closed,
        };
        let policy = decision.policy.clone();
        let nobody = || Host { agent: None, devices: devices().ok(), observe: None };
        let host = self.plan(decision).map_or_else(|_| nobody(), |plan| plan.host);
        let loaded = loader.load(&policy, host).or_else(|_| loader.load(&Policy::default(), nobody()));
        if let Err(error) = loaded {
            tracing::error!(%error, "no rules stand, and the kernel takes none");
        }
        false
    }

    /// Which files are handed over: systemd starts no second one-shot for what changes while one runs.
    fn handed(&self) -> Vec<Option<(u64, i64, i64)>> {
        let own = [OFFER, OWN].map(|name| self.places.state.join(FOLDER).join(name));
        let look = |path: &PathBuf| {
            let metadata = std::fs::symlink_metadata(path).ok()?;
            Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
        };
        own.iter().chain([&self.places.site]).map(look).collect()
    }

    fn round(&self, wish: Wish, stood: bool) -> Result<EnforcerStatus, EnforceError> {
        let (memory, decision) = self.decide(wish, stood)?;
        // Before the kernel has it: what was ever in force is never older than the floors.
        let decision = match memory {
            Some(memory) => memory.remember(decision, stood)?,
            None => decision,
        };
        let mut plan = self.plan(decision)?;
        self.keep_observed(&mut plan);
        let (run, observe) = (self.run_folder(), plan.host.observe);
        let ruleset = Loader::new(&self.places).load(&plan.decision.policy, plan.host)?;
        let status = status_of(&plan.decision, observe, &ruleset);
        place(&run?.join(status::FILE), &text(&status), 0o644)?;
        if let Some(unit) = &self.places.unit {
            unit.follow(&plan.decision.policy);
            unit::look_again(observe.is_some());
        }
        Ok(status)
    }

    /// `stood`: whether rules that this run did not load stand.
    fn decide(&self, wish: Wish, stood: bool) -> Result<(Option<Memory>, Decision), EnforceError> {
        if wish == Wish::DenyAll {
            return Ok((None, Decision { accepted: None, policy: Policy::default(), refused: None }));
        }
        let missing = || EnforceError::NotPinned(self.places.kept.clone());
        let kept = Kept::open(&self.places.kept)?.ok_or_else(missing)?;
        let last = kept.last();
        let known = last.as_ref().ok().and_then(Option::as_ref);
        let handover = Handover::open(&self.places.state)?;
        let handed = Handed {
            offer: told(self.offer(&kept, known, handover.as_ref())),
            own: told(own(handover.as_ref())),
            site: told(site(&self.places.site)),
        };
        let nothing_judged = !matches!(handed.offer, Ok(Some(_)));
        match last {
            // What was accepted is not known any more, and nothing stands in for it.
            Err(error) if nothing_judged && stood => Err(error),
            Err(error) if nothing_judged => {
                tracing::error!(%error, "what was accepted is lost: nothing is allowed");
                Ok((None, Decision { accepted: None, policy: Policy::default(), refused: Some(error.code()) }))
            }
            last => {
                let decision = decide(last.as_ref().ok().and_then(Option::as_ref), handed.clone());
                Ok((Some(Memory { kept, last, handed }), decision))
            }
        }
    }

    fn offer(
        &self,
        kept: &Kept,
        last: Option<&Last>,
        handover: Option<&Handover>,
    ) -> Result<Option<Accepted>, Box<dyn Explain>> {
        let missing = || EnforceError::NotPinned(self.places.kept.clone());
        let anchor = kept.anchor().map_err(boxed)?;
        let Some(anchor) = anchor else {
            return Err(boxed(missing()));
        };
        let Some(raw) = handover.map_or(Ok(None), |folder| folder.take(OFFER, MAX_OFFER)).map_err(boxed)? else {
            return Ok(None);
        };
        // Applied keeps running: what is in force is not judged by today's date.
        if let Some(last) = last.filter(|last| last.accepted.offer == Digest::of(&raw)) {
            return Ok(Some(last.accepted.clone()));
        }
        let floors = kept.floors().map_err(boxed)?;
        judge(&raw, &anchor, &floors, self.clock.read()).map(Some).map_err(boxed)
    }

    fn plan(&self, decision: Decision) -> Result<Plan, EnforceError> {
        let agent = Handover::open(&self.places.state)?.map(|folder| folder.owner());
        let observed = match &decision.accepted {
            Some(accepted) => self.observed(accepted)?,
            None => None,
        };
        let (accepted, until) = (decision.accepted.as_ref(), decision.policy.observe_until);
        let observe = accepted.zip(until).zip(observed.as_ref());
        let observe = observe.and_then(|((accepted, until), known)| known.span(accepted, until, self.clock.read()));
        Ok(Plan { decision, host: Host { agent, devices: Some(devices()?), observe }, observed })
    }

    /// How long `accepted` may be observed, as of now. Where the memory of it is damaged, it is over.
    fn observed(&self, accepted: &Accepted) -> Result<Option<Observed>, EnforceError> {
        let (clock, moment) = (self.clock.read(), self.clock.moment());
        let known = Kept::open(&self.places.kept)?.map_or(Ok(None), |kept| kept.observed());
        let passed = Loader::new(&self.places).passed()?;
        Ok(match known {
            Ok(known) => Observed::of(accepted, known.as_ref(), passed, clock, moment),
            Err(error) => {
                tracing::error!(%error, "how long was observed is lost: it is over");
                Observed::over(accepted, moment)
            }
        })
    }

    /// Before the kernel observes, how long it may is on disk. Where that is known already and cannot be written, it
    /// goes on.
    fn keep_observed(&self, plan: &mut Plan) {
        let (Some(observed), Some(accepted)) = (&plan.observed, &plan.decision.accepted) else { return };
        let kept = Kept::open(&self.places.kept).ok().flatten();
        let Some(kept) = kept else { return plan.host.observe = None };
        let Err(error) = kept.keep_observed(observed) else { return };
        tracing::error!(%error, "how long is observed cannot be written");
        if !kept.observed().ok().flatten().is_some_and(|known| known.is_of(accepted)) {
            plan.host.observe = None;
        }
    }

    fn run_folder(&self) -> Result<&Path, EnforceError> {
        let path = &self.places.run;
        match DirBuilder::new().mode(0o755).create(path) {
            Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(EnforceError::File { action: "create", path: path.clone(), source })
            }
            _ => Ok(path),
        }
    }
}

fn boxed(error: impl Explain + 'static) -> Box<dyn Explain> {
    Box::new(error)
}

fn told<T>(taken: Result<T, Box<dyn Explain>>) -> Result<T, Code> {
    taken.map_err(|error| {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(code = error.code().as_str(), %error, reason = cause, "not taken; what was in force stays");
        error.code()
    })
}

/// What the agent leaves of its offer.
fn own(handover: Option<&Handover>) -> Result<Option<Policy>, Box<dyn Explain>> {
    let raw = handover.map_or(Ok(None), |folder| folder.take(OWN, MAX_DOCUMENT)).map_err(boxed)?;
    raw.map(|raw| Narrowing::parse(&raw).map(|narrowing| narrowing.allow).map_err(boxed)).transpose()
}

/// What the site leaves of it, in a file that only root can change.
fn site(path: &Path) -> Result<Option<Policy>, Box<dyn Explain>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    let unread = |source| boxed(EnforceError::File { action: "read", path: path.into(), source });
    let file = match trusted::folder(folder).and_then(|at| trusted::file(&at, folder, OsStr::new(name))) {
        Ok(file) => file,
        Err(error) if error.is_absent() => return Ok(None),
        Err(error) => return Err(boxed(EnforceError::Folder(error))),
    };
    let mut raw = Vec::new();
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut raw).map_err(unread)?;
    Narrowing::parse(&raw).map(|narrowing| Some(narrowing.allow)).map_err(boxed)
}

fn status_of(decision: &Decision, observe: Option<Observe>, ruleset: &Ruleset) -> EnforcerStatus {
    EnforcerStatus {
        format: status::FORMAT,
        policy: decision.policy.digest(),
        boundary: decision.accepted.as_ref().and_then(|accepted| accepted.name.clone()),
        version: decision.accepted.as_ref().and_then(|accepted| accepted.version).map(Version::get),
        mode: if observe.is_some() { EnforcerMode::Observe } else { EnforcerMode::Enforce },
        observe_until: observe.map(|observe| observe.until),
        ruleset: ruleset.digest(),
        refused: decision.refused.map(|code| EnforcerRefusal { code }),
    }
}

fn text(status: &EnforcerStatus) -> Vec<u8> {
    let mut text = serde_json::to_vec(status).unwrap_or_default();
    text.push(b'\n');
    text
}
