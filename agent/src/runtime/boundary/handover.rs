//! What is in force, handed over: to the enforcer, to the next process, to the door of this one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use casemate_engine::update::{Generation, State};
use casemate_protocol::boundary::{FORMAT, MAX_DOCUMENT, Narrowing, Policy};
use casemate_protocol::bundle::probe::ProbeTarget;
use casemate_protocol::code::Code;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use casemate_protocol::signed;

use crate::boundary::force::{self, Force};
use crate::boundary::foreign_file::{Owner as Writer, content};
use crate::boundary::handover::Handover;
use crate::exit::Failure;
use crate::runtime::error::RuntimeError;
use crate::runtime::keeper::Keeper;
use crate::runtime::ledger::manifest;

/// What was handed over last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Handed {
    offer: Option<Digest>,
    own: Policy,
    force: Force,
}

/// What the site takes away from every boundary. A file that is there and cannot be believed takes away everything.
pub(in crate::runtime) fn narrowing(path: &Path) -> Option<Policy> {
    let told = match content(path, Writer::Root, MAX_DOCUMENT) {
        Err(error) if error.is_absent() => return None,
        Err(error) => error.to_string(),
        Ok(raw) => match Narrowing::parse(&raw) {
            Ok(narrowing) => return Some(narrowing.allow),
            Err(error) => error.to_string(),
        },
    };
    tracing::error!(code = %Code::BoundaryInvalid, error = %told, "the site's narrowing cannot be read: nothing is allowed");
    Some(Policy::default())
}

impl Keeper {
    /// As [`Self::hand_over`]; what fails is tried again from time to time.
    pub(in crate::runtime) fn hand_over_or_retry(&mut self) {
        if self.damage.is_some() {
            return;
        }
        if let Err(failure) = self.hand_over() {
            tracing::error!(code = %failure.code, error = %failure.told(), "the boundary cannot be handed over now");
            self.stuck = Some(failure.code);
        }
    }

    /// Writes what others read of the boundary, if it is not what they were given last, and says whether this process
    /// can go on.
    ///
    /// # Durability
    /// All of it, when it returns.
    fn hand_over(&mut self) -> Result<(), Failure> {
        let (force, own) = (self.wanted_force(), self.own_policy());
        let offer = self.store.state().boundary.as_ref().map(|standing| standing.offer);
        let handed = Handed { offer, own, force };
        if self.handed.as_ref() == Some(&handed) {
            return Ok(());
        }
        let Handed { offer, own, force } = &handed;
        self.door.replace(Arc::new(force.policy.clone()));
        let handover = Handover::of(&self.config.state);
        let failed = |source| RuntimeError::Start { action: "write what is in force", source };
        if let Some(offer) = offer {
            let narrowing = Narrowing { format: FORMAT, allow: own.clone() };
            let narrowing = signed::message(&narrowing).map_err(RuntimeError::from)?;
            handover.hand(&narrowing, &self.store.objects().read(offer)?).map_err(failed)?;
        }
        if *force != Force::default() || handover.folder().join(force::FILE).exists() {
            handover.put(force::FILE, &signed::message(force).map_err(RuntimeError::from)?).map_err(failed)?;
        }
        let must = !self.config.confined.serves(force);
        self.restart.send_if_modified(|restart| std::mem::replace(restart, must) != must);
        self.handed = Some(handed);
        Ok(())
    }

    /// What a process needs to do what the state asks.
    pub(super) fn wanted_force(&self) -> Force {
        let owners = &self.store.state().owners;
        let probes = owners.iter().filter_map(|(owner, state)| Some(self.probe_ports(owner, under_way(state)?)));
        Force { policy: self.policy_in_force(), probes: probes.flatten().collect(), ..Force::default() }
    }

    fn probe_ports(&self, owner: &Owner, generation: &Generation) -> BTreeSet<u16> {
        let manifest = manifest(&self.store, owner, generation).ok();
        let probes = manifest.and_then(|manifest| manifest.probes().ok()).unwrap_or_default();
        let targets = probes.iter().filter_map(|probe| probe.target().ok());
        targets.filter_map(|target| port(&target)).collect()
    }

    /// Peers that a boundary on trial still has to reach, if this process may.
    pub(in crate::runtime) fn to_reach(&self) -> BTreeSet<Name> {
        let awaited = self.store.state().boundary.as_ref().map(|standing| standing.state.awaited());
        awaited.filter(|_| !*self.restart.borrow()).unwrap_or_default()
    }
}

/// The generation whose probes decide, or will.
fn under_way(state: &State) -> Option<&Generation> {
    match state {
        State::Staging { next, .. }
        | State::Waiting { next, .. }
        | State::Switching { next, .. }
        | State::Probation { next, .. } => Some(next),
        _ => None,
    }
}

fn port(target: &ProbeTarget) -> Option<u16> {
    match target {
        ProbeTarget::Http { address, .. } | ProbeTarget::Tcp(address) => Some(address.port()),
        _ => None,
    }
}
