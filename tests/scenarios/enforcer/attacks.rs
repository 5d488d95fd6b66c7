//! An agent in an attacker's hands: whatever it hands over, the last good rules stay, and the status says why.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_tests::namespace::in_namespace;
use casemate_tests::repository::{Site, flow};

use super::machine::{AGENT, Machine, offer, rules};

type Attack = fn(&Machine, &mut Site);

/// Every attack by what is handed over, and the code it is refused with.
const ATTACKS: &[(&str, Attack, Code)] = &[
    ("a link", |machine, _| relink(machine, "offer", "../elsewhere"), Code::InputUnreadable),
    ("a link to a device", |machine, _| relink(machine, "offer", "/dev/zero"), Code::InputUnreadable),
    ("a linked folder", linked_folder, Code::InputUnreadable),
    ("a pipe", pipe, Code::InputUnreadable),
    ("a second name of a file", hard_link, Code::InputUnreadable),
    (
        "root's own file",
        |machine, _| chown(machine.handed().join("offer"), Some(0), None).unwrap(),
        Code::InputUnreadable,
    ),
    ("nothing", |machine, _| fs::remove_file(machine.handed().join("offer")).unwrap(), Code::Missing),
    ("garbage", |machine, _| machine.hand(&[0x55; 4096]), Code::ArchiveMalformed),
    ("an empty file", |machine, _| machine.hand(b""), Code::ArchiveTruncated),
    ("half an offer", half, Code::ArchiveTruncated),
    ("100 MB", hundred_megabytes, Code::TooLarge),
    ("an older policy", older, Code::MetadataRollback),
    ("beyond the envelope", wider, Code::BoundaryWider),
    ("one person's signature", one_person, Code::MetadataUnsigned),
    ("a stranger's keys", stranger, Code::MetadataUnsigned),
    ("another root", another_root, Code::RootBroken),
    ("another appliance's", |machine, site| machine.hand(&offer(&newer(site), "lux-001")), Code::NotAddressed),
    ("no narrowing", |machine, _| machine.narrow(None), Code::Missing),
    ("a narrowing of garbage", |machine, _| machine.narrow(Some(b"{")), Code::BoundaryInvalid),
    ("an endless narrowing", |machine, _| machine.narrow(Some(&[b' '; 300 * 1024])), Code::TooLarge),
    ("a linked narrowing", |machine, _| relink(machine, "narrowing.json", "offer"), Code::InputUnreadable),
    ("a site's narrowing of garbage", |machine, _| machine.narrow_site(Some(b"[]")), Code::BoundaryInvalid),
];

fn newer(site: &mut Site) -> Site {
    site.refence(|policy| policy.flows.push(flow("10.20.77.0/24", "1-65535", None)));
    site.clone()
}

fn relink(machine: &Machine, name: &str, to: &str) {
    let path = machine.handed().join(name);
    let elsewhere = machine.handed().join("../elsewhere");
    if path.exists() {
        fs::rename(&path, elsewhere).unwrap();
    }
    symlink(to, path).unwrap();
}

fn linked_folder(machine: &Machine, _: &mut Site) {
    let elsewhere = machine.handed().with_file_name("elsewhere");
    fs::rename(machine.handed(), &elsewhere).unwrap();
    symlink(elsewhere, machine.handed()).unwrap();
}

fn pipe(machine: &Machine, _: &mut Site) {
    let path = machine.handed().join("offer");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    chown(&path, Some(AGENT), None).unwrap();
}

fn hard_link(machine: &Machine, site: &mut Site) {
    machine.offer(&newer(site));
    fs::hard_link(machine.handed().join("offer"), machine.handed().join("held open")).unwrap();
}

fn half(machine: &Machine, site: &mut Site) {
    let whole = offer(&newer(site), "lux-002");
    machine.hand(&whole[..whole.len() / 2 / 512 * 512]);
}

fn hundred_megabytes(machine: &Machine, _: &mut Site) {
    machine.hand(b"");
    fs::File::options().write(true).open(machine.handed().join("offer")).unwrap().set_len(100_000_000).unwrap();
}

fn older(machine: &Machine, _: &mut Site) {
    machine.offer(&Site::fenced());
}

fn wider(machine: &Machine, site: &mut Site) {
    site.refence(|policy| policy.flows.push(flow("192.0.2.0/24", "1-65535", None)));
    machine.offer(site);
}

fn one_person(machine: &Machine, site: &mut Site) {
    let mut site = newer(site);
    site.boundaries().signers = vec!["alice"];
    machine.offer(&site);
}

fn stranger(machine: &Machine, site: &mut Site) {
    let mut site = newer(site);
    site.online = "mallory";
    machine.offer(&site);
}

/// A second root that the first one's persons did not sign: the attacker's own site, from its root on.
fn another_root(machine: &Machine, site: &mut Site) {
    let mut site = newer(site);
    site.root = 3;
    let whole = offer(&site, "lux-002");
    // Without root 2: root 3 hangs in the air.
    let member = 512 + site.root(2).len().next_multiple_of(512);
    machine.hand(&whole[member..]);
}

#[test]
fn nothing_an_agent_hands_over_makes_more_of_what_was_signed() {
    in_namespace(|| ATTACKS.iter().for_each(|(what, attack, code)| withstands(what, *attack, *code)));
}

fn withstands(what: &str, attack: Attack, code: Code) {
    let mut site = Site::fenced();
    let machine = Machine::pinned(&site);
    machine.offer(&site);
    machine.enforce();
    // The second version is the last good one, and the first is older.
    site.refence(|policy| policy.flows.truncate(1));
    machine.offer(&site);
    let good = machine.enforce();
    let before = rules();
    attack(&machine, &mut site);
    let after = machine.enforce();
    assert_eq!(after.refused.map(|refusal| refusal.code), Some(code), "{what}");
    assert_eq!((after.policy, after.version), (good.policy, good.version), "{what}");
    assert_eq!(rules(), before, "{what}");
    assert_eq!(machine.status(), after, "{what}");
    // Once more, as after a restart of the machine.
    let _flushed = casemate_tests::namespace::run("nft", &["flush", "ruleset"]);
    machine.enforce();
    assert_eq!(rules(), before, "{what}");
}

#[test]
fn the_same_attacks_without_the_fault_change_the_rules() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        machine.enforce();
        let before = rules();
        machine.offer(&newer(&mut site));
        assert_eq!(machine.enforce().refused, None);
        assert_ne!(rules(), before);
        assert!(rules().contains("10.20.77.0/24"));
    });
}

#[test]
fn files_swapped_while_they_are_read_bring_nothing_but_what_was_signed() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let old = offer(&site, "lux-002");
        let machine = Machine::pinned(&site);
        site.refence(|policy| policy.flows.clear());
        machine.offer(&site);
        let (good, before) = (machine.enforce(), rules());
        site.refence(|policy| policy.flows.push(flow("192.0.2.0/24", "1-65535", None)));
        let (wide, over) = (offer(&site, "lux-002"), AtomicBool::new(false));
        let refused = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    for content in [old.as_slice(), &wide, &wide[..wide.len() / 2], b"", &[0; 1024]] {
                        machine.hand(content);
                        // In place too, under whoever has it open.
                        fs::write(machine.handed().join("offer"), &wide).unwrap();
                    }
                }
            });
            let rounds = (0..40).map(|_| {
                let status = machine.enforce();
                assert_eq!((status.policy, rules()), (good.policy, before.clone()));
                status.refused.map(|refusal| refusal.code)
            });
            let refused: std::collections::BTreeSet<_> = rounds.collect();
            over.store(true, Ordering::Relaxed);
            refused
        });
        assert!(!refused.contains(&None), "{refused:?}");
    });
}

#[test]
fn torn_memory_never_opens_a_way_back() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let old = offer(&site, "lux-002");
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        machine.enforce();
        site.refence(|policy| policy.flows.clear());
        machine.offer(&site);
        let (good, before) = (machine.enforce(), rules());
        let tear = |name: &str| {
            let path = machine.kept().join(name);
            let content = fs::read(&path).unwrap();
            fs::write(&path, &content[..content.len() / 2]).unwrap();
            content
        };
        // One copy of the floors: the older offer is still older.
        let whole = tear("floors-a.json");
        machine.hand(&old);
        assert_eq!(machine.enforce().refused.unwrap().code, Code::MetadataRollback);
        // Both: nothing new is judged at all.
        let other = tear("floors-b.json");
        tear_free(&machine, "floors-a.json");
        machine.hand(&offer(&newer(&mut site.clone()), "lux-002"));
        let status = machine.enforce();
        assert_eq!((status.refused.unwrap().code, status.policy), (Code::StateDamaged, good.policy));
        assert_eq!(rules(), before);
        fs::write(machine.kept().join("floors-a.json"), whole).unwrap();
        fs::write(machine.kept().join("floors-b.json"), other).unwrap();
        // The anchor.
        let whole = tear("anchor.json");
        assert_eq!(machine.enforce().refused.unwrap().code, Code::StateDamaged);
        assert_eq!(rules(), before);
        fs::write(machine.kept().join("anchor.json"), whole).unwrap();
        // What was accepted: judged anew if it can be, otherwise the loaded rules are left alone.
        tear("accepted.json");
        machine.hand(&old);
        assert!(machine.enforcer().enforce(casemate_agent::boundary::enforce::Wish::Signed).is_err());
        assert_eq!(rules(), before);
        // With nothing loaded either, nothing is allowed.
        let _flushed = casemate_tests::namespace::run("nft", &["flush", "ruleset"]);
        let status = machine.enforce();
        assert_eq!((status.refused.unwrap().code, status.policy), (Code::StateDamaged, Policy::default().digest()));
        machine.offer(&site);
        assert_eq!((machine.enforce().policy, rules()), (good.policy, before));
    });
}

/// Torn beyond what one half was.
fn tear_free(machine: &Machine, name: &str) {
    fs::write(machine.kept().join(name), b"{").unwrap();
}

/// A folder of the enforcer's own on which nothing more can be written.
fn full(machine: &Machine) {
    let files: Vec<_> = fs::read_dir(machine.kept()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<_> = files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    let at = machine.kept();
    // Mounts of this thread's own: they end with it.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let _private = casemate_tests::namespace::run("mount", &["--make-rprivate", "/"]);
    let mounted = ["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", at.to_str().unwrap()];
    let _mounted = casemate_tests::namespace::run("mount", &mounted);
    for (path, content) in files {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    // As much as there is room for.
    assert!(fs::write(at.join("filler"), vec![0x55; 1024 * 1024]).is_err());
}

#[test]
fn a_full_disk_leaves_the_last_good_rules_also_after_a_restart_of_the_machine() {
    in_namespace(|| {
        let mut site = Site::fenced();
        let machine = Machine::pinned(&site);
        machine.offer(&site);
        let (good, before) = (machine.enforce(), rules());
        full(&machine);
        for newer_offer in [false, true] {
            if newer_offer {
                machine.offer(&newer(&mut site));
            }
            let _flushed = casemate_tests::namespace::run("nft", &["flush", "ruleset"]);
            let status = machine.enforce();
            assert_eq!((status.policy, status.version), (good.policy, good.version));
            assert_eq!(status.refused.map(|refusal| refusal.code), newer_offer.then_some(Code::StateUnavailable));
            assert_eq!(rules(), before);
        }
        let _unmounted = casemate_tests::namespace::run("umount", &[machine.kept().to_str().unwrap()]);
    });
}
