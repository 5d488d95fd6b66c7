//! The policy in force: one computation, for the agent and for the host's enforcer.

use super::policy::Policy;

/// What is in force where the signed boundary gives this appliance `allow`
/// ([`SignedBoundary::allow`](crate::bundle::appraisal::SignedBoundary::allow),
/// [`Accepted::policy`](super::offer::Accepted::policy)), the agent leaves `own` of it and the site `site`. Whoever has
/// the same three comes to the same [`Policy::digest`]; an `own` in its normal form and within `allow` comes out as it
/// is where the site takes nothing away. Where a site cuts flows into more pieces than one policy holds, the owners of
/// those flows lose them ([`Policy::intersection`]): the result passes [`Policy::check`] wherever `allow` and `own` do.
#[must_use]
pub fn in_force(allow: &Policy, own: Option<&Policy>, site: Option<&Policy>) -> Policy {
    let left = own.unwrap_or(allow).intersection(allow);
    site.map_or_else(|| left.clone(), |site| left.intersection(site))
}
