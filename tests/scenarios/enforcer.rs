//! The host's enforcer, with a real kernel and `nft` in a network namespace of the test's own.

mod attacks;
mod machine;
mod observing;
mod wire;

use casemate_agent::boundary::enforce::{EnforceError, Wish};
use casemate_agent::boundary::status::EnforcerMode;
use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_tests::namespace::{in_namespace, run};
use casemate_tests::repository::{Site, flow};

use self::machine::{Machine, narrowing, offer, rules};

#[test]
fn what_was_signed_is_loaded_and_a_newer_one_replaces_it() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        let first = machine.enforce();
        assert_eq!((first.boundary.as_ref().unwrap().as_str(), first.version, first.refused), ("lan", Some(1), None));
        assert_eq!(
            (first.mode, first.policy),
            (EnforcerMode::Enforce, site.lan().clone().intersection(site.lan()).digest())
        );
        let before = rules();
        assert!(before.contains("10.20.1.0/24 tcp dport 8448") && before.contains("skuid 4242"), "{before}");
        site.refence(|policy| policy.flows.clear());
        machine.offer(&site);
        let second = machine.enforce();
        assert_eq!((second.version, second.refused), (Some(2), None));
        assert_ne!(second.policy, first.policy);
        assert!(!rules().contains("10.20.1.0/24") && rules().contains("10.20.0.5"));
        assert_eq!(machine.status(), second);
    });
}

#[test]
fn before_anything_is_pinned_only_nothing_at_all_can_be_enforced() {
    in_namespace(|| {
        let machine = Machine::new();
        assert!(matches!(machine.enforcer().enforce(Wish::Signed), Err(EnforceError::NotPinned(_))));
        assert_eq!(rules(), "");
        let status = machine.enforcer().enforce(Wish::DenyAll).unwrap();
        assert_eq!((status.policy, status.boundary), (Policy::default().digest(), None));
        assert!(rules().contains("policy drop") && !rules().contains("comment"));
    });
}

#[test]
fn a_pin_without_an_offer_closes_the_machine() {
    in_namespace(|| {
        let machine = Machine::pinned(&Site::fenced());
        let status = machine.enforce();
        assert_eq!((status.policy, status.boundary, status.refused), (Policy::default().digest(), None, None));
        assert!(rules().contains("policy drop"));
    });
}

#[test]
fn checking_loads_and_writes_nothing() {
    in_namespace(|| {
        let site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        let ruleset = machine.enforcer().check(Wish::Signed).unwrap();
        assert!(ruleset.text().contains("10.20.1.0/24"));
        assert_eq!(rules(), "");
        assert!(!machine.run().exists());
    });
}

#[test]
fn tables_of_others_are_not_touched_and_counters_go_on_until_something_changes() {
    in_namespace(|| {
        let _made =
            run("nft", &["add table inet foreign; add chain inet foreign kept { counter packets 7 bytes 77 drop; }"]);
        let foreign = run("nft", &["list table inet foreign"]);
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        machine.enforce();
        let handle = || run("nft", &["--handle", "--stateless", "list table inet casemate"]);
        let first = handle();
        machine.enforce();
        assert_eq!(handle(), first, "what stands is left alone");
        // By hand, and back.
        let _flushed = run("nft", &["flush chain inet casemate out"]);
        machine.enforce();
        assert_eq!(without_handles(&handle()), without_handles(&first));
        site.refence(|policy| policy.flows.clear());
        machine.offer(&site);
        machine.enforce();
        assert_ne!(without_handles(&handle()), without_handles(&first));
        assert_eq!(run("nft", &["list table inet foreign"]), foreign);
    });
}

fn without_handles(listing: &str) -> Vec<&str> {
    listing.lines().map(|line| line.split(" # handle").next().unwrap_or(line)).collect()
}

#[test]
fn an_accepted_boundary_stays_when_it_expires_and_no_expired_one_is_newly_accepted() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        let first = machine.enforce();
        let before = rules();
        let later = machine.later(120);
        assert_eq!(later.enforce(), first, "the same offer, its timestamp long expired");
        site.refence(|policy| policy.peers.clear());
        later.hand(&offer(&site, "lux-002"));
        assert_eq!(later.enforce().refused.unwrap().code.as_str(), "metadata-expired");
        assert_eq!(rules(), before);
        // The machine starts anew: nothing is loaded, and the last good one is.
        let _flushed = run("nft", &["flush ruleset"]);
        std::fs::remove_dir_all(later.run()).unwrap();
        assert_eq!(later.enforce().policy, first.policy);
        assert_eq!(rules(), before);
    });
}

#[test]
fn what_agent_and_site_take_away_is_gone_at_once_and_comes_back_with_them() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        let whole = machine.enforce().policy;
        let all = narrowing(site.lan());
        for (narrow, back) in [(Machine::narrow as fn(&Machine, _), Some(&*all)), (Machine::narrow_site, None)] {
            narrow(&machine, Some(br#"{"format":1,"allow":{"flows":[]}}"#));
            let status = machine.enforce();
            assert_eq!((status.policy, status.refused), (Policy::default().digest(), None));
            assert!(!rules().contains("comment"));
            narrow(&machine, back);
            assert_eq!(machine.enforce().policy, whole);
        }
    });
}

#[test]
fn what_the_agent_took_away_stays_away_when_its_file_is_lost() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        let whole = machine.enforce().policy;
        site.lan().flows.clear();
        machine.narrow(Some(&narrowing(site.lan())));
        let (narrow, before) = (machine.enforce().policy, rules());
        assert_ne!(narrow, whole);
        machine.narrow(None);
        let stays = || {
            let status = machine.enforce();
            assert_eq!((status.policy, status.refused.map(|refusal| refusal.code)), (narrow, Some(Code::Missing)));
            assert_eq!(rules(), before);
        };
        stays();
        // Nor does a newer offer without one bring anything.
        let mut wider = Site::fenced();
        wider.refence(|policy| policy.flows.push(flow("10.20.77.0/24", "1-65535", None)));
        machine.hand(&offer(&wider, "lux-002"));
        stays();
        machine.narrow(Some(&narrowing(Site::fenced().lan())));
        assert_eq!((machine.enforce().policy, machine.enforce().refused), (whole, None));
    });
}
