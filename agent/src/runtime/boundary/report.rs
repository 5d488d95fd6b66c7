//! How the boundary stands, for whoever asks.

use std::collections::BTreeSet;

use casemate_engine::boundary::{self, State};
use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_protocol::evidence::health::{BoundaryHealth, Enforcement};
use casemate_protocol::tuf::time::UtcTime;

use crate::boundary::drops::Drops;
use crate::boundary::status::{EnforcerMode, EnforcerStatus};
use crate::config;
use crate::local_api::answer::{BoundaryChange, BoundaryReport, BoundarySource, BoundaryTrial, Narrower};
use crate::runtime::keeper::Keeper;
use crate::runtime::ledger::manifest;

impl Keeper {
    /// The whole of it; `drops`: with who sent what beyond it.
    pub(in crate::runtime) fn boundary_report(&self, drops: bool) -> BoundaryReport {
        let allow = self.policy_in_force();
        let (enforcer, seen) = (self.enforcer(), self.drops());
        let enforcement = self.enforcement(&allow, enforcer.as_ref());
        let standing = self.store.state().boundary.as_deref();
        let last = standing.and_then(|standing| standing.last.clone());
        BoundaryReport {
            policy: allow.digest(),
            signed: self.source(),
            narrowed_by: self.narrowers(&allow),
            trial: standing.and_then(|standing| self.boundary_trial(&standing.state)),
            enforcement,
            layers: self.config.confined.layers(enforcement == Enforcement::Host),
            enforcer,
            last_change: last.map(|last| BoundaryChange {
                time: last.time,
                code: last.code,
                before: last.before,
                after: last.after,
                changes: last.changes.into_iter().map(Into::into).collect(),
            }),
            attempts: seen.as_ref().map_or(0, |seen| seen.total),
            drops: seen.filter(|_| drops),
            allow,
        }
    }

    /// What health says of it, and what is lacking.
    pub(in crate::runtime) fn boundary_health(&self) -> (BoundaryHealth, BTreeSet<Code>) {
        let allow = self.policy_in_force();
        let (enforcer, seen) = (self.enforcer(), self.drops().unwrap_or_default());
        let enforcement = self.enforcement(&allow, enforcer.as_ref());
        let layers = self.config.confined.layers(enforcement == Enforcement::Host);
        let guarded = self.config.enforcement == config::Enforcement::Host;
        let differs =
            enforcer.as_ref().is_some_and(|status| status.policy != allow.digest() || status.refused.is_some());
        let lacks = [
            (guarded && enforcer.is_none(), Code::BoundaryNotEnforced),
            (guarded && differs, Code::BoundaryDiffers),
            (enforcement == Enforcement::Observe, Code::BoundaryObserved),
            (seen.total > 0, Code::BoundaryAttempts),
            (layers.landlock && !layers.landlock_tcp, Code::KernelTooOld),
        ];
        let source = self.source();
        let health = BoundaryHealth {
            enforcement,
            policy: allow.digest(),
            version: source.as_ref().map(|source| source.version),
            name: source.map(|source| source.name),
            trial: self.is_boundary_on_trial(),
            layers,
            attempts: seen.total,
            units: self.known_units(&seen),
        };
        (health, lacks.into_iter().filter(|(lacking, _)| *lacking).map(|(_, code)| code).collect())
    }

    /// Who sees to it, by the enforcer's own word.
    fn enforcement(&self, allow: &Policy, enforcer: Option<&EnforcerStatus>) -> Enforcement {
        if self.config.enforcement == config::Enforcement::ProcessOnly {
            return Enforcement::ProcessOnly;
        }
        let over = |until: UtcTime| self.clock().wall >= until;
        match enforcer {
            Some(status) if status.mode == EnforcerMode::Observe && !status.observe_until.is_some_and(over) => {
                Enforcement::Observe
            }
            Some(status) if status.policy == allow.digest() => Enforcement::Host,
            _ => Enforcement::None,
        }
    }

    /// What the enforcer says, if it is to be there.
    fn enforcer(&self) -> Option<EnforcerStatus> {
        match EnforcerStatus::read(&self.config.boundary.run) {
            Ok(status) => Some(status),
            Err(error) => {
                if !error.is_absent() {
                    tracing::warn!(%error, "what the enforcer says counts for nothing");
                }
                None
            }
        }
    }

    fn drops(&self) -> Option<Drops> {
        Drops::read(&self.config.boundary.watch).ok()
    }

    fn source(&self) -> Option<BoundarySource> {
        let standing = self.store.state().boundary.as_deref()?;
        let (signed, documents) = (standing.state.signed()?, standing.documents?);
        Some(BoundarySource {
            name: signed.name.clone()?,
            version: signed.version?,
            document: documents.boundary,
            envelope: documents.envelope,
            policy: signed.policy.digest(),
        })
    }

    fn narrowers(&self, allow: &Policy) -> Vec<Narrower> {
        let fell_back = self
            .store
            .state()
            .boundary
            .as_ref()
            .is_some_and(|standing| matches!(standing.state, State::FellBack { .. }));
        let site = self.own_policy().normal() != *allow;
        let all = [(site, Narrower::Site), (fell_back, Narrower::Fallback)];
        all.into_iter().filter(|(narrows, _)| *narrows).map(|(_, narrower)| narrower).collect()
    }

    fn boundary_trial(&self, state: &State) -> Option<BoundaryTrial> {
        let deadline_in_s = boundary::due_in_seconds(state, &self.now())?;
        Some(BoundaryTrial { awaited: state.awaited().into_iter().collect(), deadline_in_s })
    }

    /// Of the units that went beyond it those that signed manifests name: no other name leaves the appliance.
    fn known_units(&self, seen: &Drops) -> Vec<String> {
        let units: BTreeSet<&str> = seen.rows.iter().filter_map(|row| row.unit.as_deref()).collect();
        if units.is_empty() {
            return Vec::new();
        }
        let mut known = BTreeSet::new();
        for (owner, state) in &self.store.state().owners {
            let manifest = state.current().and_then(|current| manifest(&self.store, owner, current).ok());
            let consumers = manifest.map(|manifest| manifest.consumers).unwrap_or_default();
            known.extend(consumers.into_values().filter_map(|consumer| consumer.unit));
        }
        known.into_iter().filter(|unit| units.contains(unit.as_str())).collect()
    }
}
