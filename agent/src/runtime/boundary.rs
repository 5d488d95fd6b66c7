//! How the boundary stands, for whoever asks.

use std::collections::BTreeSet;

use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_protocol::evidence::health::{BoundaryHealth, Enforcement, Layers};

use super::keeper::Keeper;
use crate::boundary::drops::Drops;
use crate::config;
use crate::local_api::answer::BoundaryReport;

impl Keeper {
    /// The whole of it; `drops`: with who sent what beyond it.
    pub(super) fn boundary_report(&self, drops: bool) -> BoundaryReport {
        let health = self.boundary_health().0;
        let seen = Drops::read(&self.config.boundary.watch).ok();
        let allow = Policy::default();
        BoundaryReport {
            policy: health.policy,
            allow,
            signed: None,
            narrowed_by: Vec::new(),
            trial: None,
            enforcement: health.enforcement,
            layers: health.layers,
            enforcer: None,
            last_change: None,
            attempts: health.attempts,
            drops: seen.filter(|_| drops),
        }
    }

    /// What health says of it, and what is lacking.
    pub(super) fn boundary_health(&self) -> (BoundaryHealth, BTreeSet<Code>) {
        let enforcement = match self.config.enforcement {
            config::Enforcement::Host => Enforcement::None,
            config::Enforcement::ProcessOnly => Enforcement::ProcessOnly,
        };
        let health = BoundaryHealth {
            enforcement,
            policy: Policy::default().digest(),
            name: None,
            version: None,
            trial: false,
            layers: Layers { door: true, ..Layers::default() },
            attempts: 0,
            units: Vec::new(),
        };
        (health, BTreeSet::new())
    }
}
