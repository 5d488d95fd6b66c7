//! What comes into force, of what was handed over and what was accepted before. Pure.

use casemate_protocol::boundary::offer::Accepted;
use casemate_protocol::boundary::{Policy, in_force};
use casemate_protocol::code::Code;

use super::kept::Last;

/// What was handed over, each taken and judged by itself.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The agent's offer; none if there is none.
    pub offer: Result<Option<Accepted>, Code>,
    /// What the agent leaves of it; none if nothing is handed over that says so.
    pub own: Result<Option<Policy>, Code>,
    /// What the site leaves of it; none = all.
    pub site: Result<Option<Policy>, Code>,
}

/// What comes into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The offer it comes from; none if none was ever accepted: then nothing is allowed.
    pub accepted: Option<Accepted>,
    /// The policy.
    pub policy: Policy,
    /// Why something handed over was not taken.
    pub refused: Option<Code>,
}

/// Decides. A refused offer leaves the last one in force; a narrowing that cannot be read takes away whatever was not
/// in force already, and so does the lack of the agent's, which stands beside every offer. So nothing that is refused
/// or lost makes the policy wider.
#[must_use]
pub fn decide(last: Option<&Last>, handed: Handed) -> Decision {
    let Handed { offer, own, site } = handed;
    // Taken away by whoever may write there, or lost: either is told.
    let offer = match (offer, last) {
        (Ok(None), Some(_)) => Err(Code::Missing),
        (offer, _) => offer,
    };
    let own = match own {
        Ok(None) if last.is_some() || matches!(offer, Ok(Some(_))) => Err(Code::Missing),
        own => own,
    };
    let refused = [offer.as_ref().err(), own.as_ref().err(), site.as_ref().err()].into_iter().flatten().next().copied();
    let accepted = offer.ok().flatten().or_else(|| last.map(|last| last.accepted.clone()));
    let allow = accepted.as_ref().map(|accepted| accepted.policy.clone()).unwrap_or_default();
    let before = last.map(|last| last.in_force.clone()).unwrap_or_default();
    let own = own.unwrap_or_else(|_| Some(before.clone()));
    let site = site.unwrap_or(Some(before));
    Decision { accepted, policy: in_force(&allow, own.as_ref(), site.as_ref()), refused }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::boundary::{Direction, Flow, FlowProtocol};
    use casemate_protocol::digest::Digest;
    use casemate_protocol::tuf::floors::Floors;
    use casemate_protocol::tuf::time::UtcTime;

    use super::*;

    fn policy(networks: &[&str]) -> Policy {
        let flow = |network: &&str| Flow {
            purpose: "any".parse().unwrap(),
            direction: Direction::Out,
            protocol: FlowProtocol::Udp,
            network: network.parse().unwrap(),
            ports: Some("514".parse().unwrap()),
            owner: None,
        };
        Policy { flows: networks.iter().map(flow).collect(), ..Policy::default() }
    }

    fn accepted(networks: &[&str]) -> Accepted {
        Accepted {
            offer: Digest::of(networks.join(" ").as_bytes()),
            root_version: serde_json::from_str("1").unwrap(),
            demo: false,
            timestamp: serde_json::from_str("1").unwrap(),
            signed_at: UtcTime::EPOCH,
            floors: Floors::default(),
            name: None,
            version: None,
            document: None,
            policy: policy(networks),
        }
    }

    fn nothing() -> Handed {
        Handed { offer: Ok(None), own: Ok(None), site: Ok(None) }
    }

    /// An agent that takes nothing away of what was accepted.
    fn whole() -> Result<Option<Policy>, Code> {
        Ok(Some(policy(&OLD)))
    }

    const OLD: [&str; 2] = ["10.20.0.0/16", "10.30.0.0/16"];

    fn last() -> Last {
        Last { accepted: accepted(&OLD), in_force: policy(&["10.20.1.0/24"]) }
    }

    #[test]
    fn nothing_accepted_and_nothing_handed_over_allows_nothing_and_is_no_refusal() {
        let decision = decide(None, nothing());
        assert_eq!(decision, Decision { accepted: None, policy: Policy::default(), refused: None });
    }

    #[test]
    fn a_good_offer_comes_into_force_as_far_as_the_agent_and_the_site_leave_it() {
        let offer = accepted(&["10.20.0.0/16", "10.40.0.0/16"]);
        let own = policy(&["10.20.0.0/17", "10.40.0.0/16", "10.50.0.0/16"]);
        let site = policy(&["10.20.0.0/16"]);
        let decision =
            decide(Some(&last()), Handed { offer: Ok(Some(offer.clone())), own: Ok(Some(own)), site: Ok(Some(site)) });
        assert_eq!(decision.policy, policy(&["10.20.0.0/17"]));
        assert_eq!((decision.accepted, decision.refused), (Some(offer), None));
    }

    #[test]
    fn a_refused_or_lost_offer_leaves_the_last_one() {
        for (offer, code) in [(Err(Code::MetadataRollback), Code::MetadataRollback), (Ok(None), Code::Missing)] {
            let decision = decide(Some(&last()), Handed { offer, own: whole(), site: Ok(None) });
            assert_eq!((decision.accepted, decision.refused), (Some(accepted(&OLD)), Some(code)));
            assert_eq!(decision.policy, policy(&OLD));
        }
    }

    #[test]
    fn a_refused_offer_does_not_keep_a_narrowing_from_coming_into_force() {
        let own = Ok(Some(policy(&["10.30.7.0/24"])));
        let decision = decide(Some(&last()), Handed { offer: Err(Code::MetadataExpired), own, site: Ok(None) });
        assert_eq!(decision.policy, policy(&["10.30.7.0/24"]));
    }

    #[test]
    fn a_narrowing_that_cannot_be_read_makes_nothing_wider_than_it_was() {
        let garbage = || Err(Code::BoundaryInvalid);
        for (own, site) in [(garbage(), Ok(None)), (whole(), garbage()), (garbage(), garbage())] {
            let decision = decide(Some(&last()), Handed { offer: Ok(Some(accepted(&OLD))), own, site });
            assert_eq!(decision.policy, policy(&["10.20.1.0/24"]));
            assert_eq!(decision.refused, Some(Code::BoundaryInvalid));
        }
        let decision = decide(None, Handed { offer: Ok(Some(accepted(&OLD))), own: garbage(), site: Ok(None) });
        assert_eq!(decision.policy, Policy::default());
    }

    #[test]
    fn a_lost_narrowing_of_the_agents_gives_nothing_back() {
        for offer in [Ok(Some(accepted(&OLD))), Ok(None), Err(Code::MetadataRollback)] {
            let told = offer.as_ref().err().copied().unwrap_or(Code::Missing);
            let decision = decide(Some(&last()), Handed { offer, ..nothing() });
            assert_eq!((decision.policy, decision.refused), (policy(&["10.20.1.0/24"]), Some(told)));
        }
        let wider = accepted(&["10.20.0.0/16", "10.40.0.0/16"]);
        let decision = decide(Some(&last()), Handed { offer: Ok(Some(wider.clone())), ..nothing() });
        assert_eq!((decision.policy, decision.refused), (policy(&["10.20.1.0/24"]), Some(Code::Missing)));
        let first = decide(None, Handed { offer: Ok(Some(wider)), ..nothing() });
        assert_eq!((first.policy, first.refused), (Policy::default(), Some(Code::Missing)));
    }

    #[test]
    fn the_site_gives_back_what_it_took_away() {
        let decision = decide(Some(&last()), Handed { offer: Ok(Some(accepted(&OLD))), own: whole(), site: Ok(None) });
        assert_eq!((decision.policy, decision.refused), (policy(&OLD), None));
    }

    #[test]
    fn a_narrowing_that_multiplies_what_was_signed_takes_it_away_on_both_sides() {
        let flow = |purpose: String, ports: String| Flow {
            purpose: purpose.parse().unwrap(),
            ports: Some(ports.parse().unwrap()),
            ..policy(&["10.20.0.0/16"]).flows[0].clone()
        };
        let flows = |one: &dyn Fn(u32) -> Flow| Policy { flows: (1..=256).map(one).collect(), ..Policy::default() };
        let signed = flows(&|index| flow("any".into(), format!("{index}-{}", 1000 + index)));
        let offer = Accepted { policy: signed.clone(), ..accepted(&OLD) };
        let last = Last { accepted: offer.clone(), in_force: signed.clone() };
        let many = flows(&|index| flow(format!("any-{index}"), "1-65535".into()));
        let decide = |own| decide(Some(&last), Handed { offer: Ok(Some(offer.clone())), own: Ok(own), site: Ok(None) });
        let left = decide(Some(many.clone())).policy;
        assert!(left.is_empty(), "65,536 pieces are no policy");
        assert_eq!(left, in_force(&signed, Some(&many), None));
        // As many, of which each is in one that was signed, or all of it, is no multiplication.
        assert_eq!(decide(Some(signed.clone())).policy, signed.normal());
    }

    #[test]
    fn the_digest_is_that_of_an_agent_that_knows_the_same_three() {
        let (offer, own, site) = (accepted(&OLD), policy(&["10.20.0.0/16", "10.20.0.0/16"]), policy(&OLD));
        let agent = in_force(&offer.policy, Some(&own), Some(&site)).digest();
        let handed = Handed { offer: Ok(Some(offer)), own: Ok(Some(own)), site: Ok(Some(site)) };
        assert_eq!(decide(None, handed).policy.digest(), agent);
    }
}
