//! What one bundle means for all owners together.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::device::id::Owner;
use thiserror::Error;

use super::event::{Event, Offer};
use super::state::State;

/// A bundle that cannot be planned now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// An earlier bundle is not finished.
    #[error("{owner} is still busy with an earlier bundle")]
    UnderWay {
        /// Whose part.
        owner: Owner,
    },
}

/// The first event of each owner a bundle concerns: its content for those it brings, departure for those that are
/// no longer `assigned`. An assigned owner without an offer (its role did not verify) stays as it is.
///
/// # Errors
/// Some owner is not settled: finish what is under way first.
pub fn plan(
    states: &BTreeMap<Owner, State>,
    assigned: &BTreeSet<Owner>,
    offers: &BTreeMap<Owner, Offer>,
) -> Result<Vec<(Owner, Event)>, PlanError> {
    if let Some((owner, _)) = states.iter().find(|(_, state)| !state.is_settled()) {
        return Err(PlanError::UnderWay { owner: owner.clone() });
    }
    let departures = states
        .iter()
        .filter(|(owner, state)| !assigned.contains(owner) && state.current().is_some())
        .map(|(owner, _)| (owner.clone(), Event::Left));
    let arrivals = offers
        .iter()
        .filter(|(owner, _)| assigned.contains(owner))
        .map(|(owner, offer)| (owner.clone(), Event::Offered(offer.clone())));
    Ok(departures.chain(arrivals).collect())
}
