//! A real nginx, with the configuration of docs/pull.md.

use std::fs;
use std::path::Path;
use std::sync::mpsc;

use casemate_protocol::code::Code;
use casemate_tests::depot::{self, CONFIG, Nginx};
use casemate_tests::repository::{Site, target_file};

use super::stage::{Cast, Play, Said, limits, on_stage};

fn large(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7) as u8 ^ (index >> 11) as u8).collect()
}

#[test]
fn a_bundle_is_pulled_from_nginx_and_only_what_changed_the_next_time() {
    on_stage(async || {
        let cast = Cast::new();
        let nginx = Nginx::start(&cast.depot);
        let mut site = Site::sample();
        site.issue().publish(&nginx.tree());
        let mut play = Play::start(&cast, &site, nginx.port, limits());
        assert_eq!(play.next().await, Said::RoundTrip);
        assert_eq!(play.next().await, Said::Imported(Code::Applied));
        let first = nginx.requests().len();

        // Nothing new: the next root, the timestamp, and no more.
        play.look();
        assert_eq!(play.next().await, Said::RoundTrip);
        site.reissue("group.clinics", "synapse/homeserver.yaml", b"server_name: other.example\n");
        site.issue().publish(&nginx.tree());
        play.look();
        assert_eq!(play.outcome().await, Said::Imported(Code::Applied));
        let requests = nginx.requests();
        let paths: Vec<_> = requests.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
        let again = &paths[first..];
        assert_eq!(again[..3], ["/metadata/2.root.json", "/metadata/timestamp.json", "/metadata/2.root.json"]);
        let files = again.iter().filter(|path| path.contains("/files/")).count();
        assert_eq!(files, 1, "the other file is here: {again:?}");
        assert!(requests.iter().all(|line| line.ends_with("CN=lux-001")), "{requests:?}");
    });
}

#[test]
fn a_part_goes_on_at_the_same_byte_after_the_server_was_killed() {
    on_stage(async || {
        let cast = Cast::new();
        let mut nginx = Nginx::start(&cast.depot);
        let content = large(48 << 20);
        let site = Site::single(content.clone());
        site.issue().publish(&nginx.tree());
        let (reached, at_gate) = mpsc::channel();
        let (go, on) = mpsc::channel();
        let mut play = Play::start(&cast, &site, nginx.port, limits());
        // Before the first answer: nothing runs until somebody waits.
        play.desk.lock().unwrap().gate = Some(super::stage::Gate { after: 8 << 20, reached, on });
        let waiting = tokio::task::spawn_blocking(move || at_gate.recv().unwrap());
        waiting.await.unwrap();
        nginx.stop();
        nginx.run();
        go.send(()).unwrap();
        assert_eq!(play.outcome().await, Said::Imported(Code::Applied));
        assert!(play.desk.lock().unwrap().held.values().any(|held| *held == content));
        let requests = nginx.requests();
        let resumed: Vec<_> = requests.iter().filter(|line| line.starts_with("206 ")).collect();
        assert_eq!(resumed.len(), 1, "{requests:?}");
        let range = resumed[0].split(' ').nth(2).unwrap();
        let from: u64 = range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap();
        assert!(from >= 8 << 20, "nothing that had come was fetched again: {range}");
    });
}

#[test]
fn a_bad_file_is_named_and_holds_up_no_other_and_is_fetched_alone_once_it_is_repaired() {
    on_stage(async || {
        let cast = Cast::new();
        let nginx = Nginx::start(&cast.depot);
        let mut site = Site::sample();
        let (bad, good) = (large(3 << 20), large(2 << 20));
        site.owner("group.clinics").files.insert("a/bad".into(), bad.clone());
        site.owner("group.clinics").files.insert("b/good".into(), good);
        site.issue().publish(&nginx.tree());
        let path = nginx.tree().join(target_file("groups/clinics/files/a/bad", &bad));
        let mut flipped = bad.clone();
        flipped[1 << 20] ^= 4;
        fs::write(&path, flipped).unwrap();
        let mut play = Play::start(&cast, &site, nginx.port, limits());
        assert_eq!(play.outcome().await, Said::Noticed(Code::ObjectMismatch));
        assert_eq!(play.outcome().await, Said::Imported(Code::ObjectMismatch));
        // At once again, without it: the other one stays.
        assert_eq!(play.outcome().await, Said::Noticed(Code::ObjectMismatch));
        assert_eq!(play.outcome().await, Said::Imported(Code::Missing));
        assert_eq!(play.outcome().await, Said::Noticed(Code::ObjectMismatch), "what the look came to");
        // Still bad: nobody is bothered with a bundle that lacks it.
        play.look();
        assert_eq!(play.outcome().await, Said::Noticed(Code::ObjectMismatch));
        assert_eq!(play.outcome().await, Said::Noticed(Code::ObjectMismatch));
        let before = nginx.requests().len();
        fs::write(&path, &bad).unwrap();
        play.look();
        assert_eq!(play.outcome().await, Said::Imported(Code::Applied));
        let requests = nginx.requests();
        let fetched: Vec<_> = requests[before..].iter().filter(|line| line.contains("/files/")).collect();
        assert_eq!(fetched.len(), 1, "{fetched:?}");
        assert!(fetched[0].contains("/a/") && fetched[0].contains(&format!(" {} ", bad.len())), "{fetched:?}");
    });
}

#[test]
fn who_shows_no_certificate_of_the_site_gets_nothing() {
    on_stage(async || {
        let (cast, other) = (Cast::new(), Cast::new());
        let nginx = Nginx::start(&cast.depot);
        let site = Site::sample();
        site.issue().publish(&nginx.tree());
        let Cast { depot: other, appliance } = other;
        let depot = depot::Cast { server: cast.depot.server.clone(), ..other };
        let stranger = Cast { depot, appliance };
        let mut play = Play::start(&stranger, &site, nginx.port, limits());
        // nginx lets the handshake end, and answers with a page.
        assert_eq!(play.outcome().await, Said::Noticed(Code::PeerMisbehaved));
        // A bundle has brought the right certificate: taken without a restart.
        play.credentials.send_replace(cast.credentials(3600));
        play.look();
        assert_eq!(play.outcome().await, Said::Imported(Code::Applied));
    });
}

#[test]
fn the_page_shows_the_configuration_that_is_tried_here() {
    let folder = Path::new(CONFIG).parent().unwrap().parent().unwrap();
    let page = fs::read_to_string(folder.join("pull.md")).unwrap();
    assert!(page.contains(&fs::read_to_string(CONFIG).unwrap()), "docs/pull.md shows docs/pull/nginx.conf as it is");
}
