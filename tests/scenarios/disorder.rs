//! Bundles, reports, time, restarts and reboots in any order: every tree is whole, every bundle ends in one receipt.

use std::collections::{BTreeMap, BTreeSet};

use casemate_agent::local_api::answer::{ConsumerReport, Outcome, OwnerState};
use casemate_agent::local_api::call::{Call, ImportSource};
use casemate_agent::runtime::Agent;
use casemate_protocol::bundle::manifest::{Apply, Consumer};
use casemate_protocol::code::{Class, Code};
use casemate_protocol::evidence::receipt::Transport;
use casemate_tests::appliance::Appliance;
use casemate_tests::repository::Site;
use proptest::prelude::*;

const OWNERS: [(&str, &str, &str); 3] = [
    ("group.clinics", "groups/clinics", "synapse/homeserver.yaml"),
    ("group.labs", "groups/labs", "nftables/rules.nft"),
    ("tenant.north", "tenants/north", "app/config.toml"),
];

#[derive(Clone, Debug)]
enum Happening {
    /// The next bundle: for each owner whether it changes, and on which conditions.
    Bundle([Option<Conditions>; 3]),
    /// The newest bundle once more.
    Again,
    Report {
        owner: usize,
        back: u64,
        outcome: Outcome,
    },
    Passes(u64),
    Reboot,
    Restart,
}

#[derive(Clone, Copy, Debug)]
enum Conditions {
    Plain,
    Consumer,
    Window,
}

fn happening() -> impl Strategy<Value = Happening> {
    let conditions = || {
        prop_oneof![
            2 => Just(None),
            1 => Just(Some(Conditions::Plain)),
            3 => Just(Some(Conditions::Consumer)),
            1 => Just(Some(Conditions::Window)),
        ]
    };
    let outcome = prop_oneof![2 => Just(Outcome::Ready), 1 => Just(Outcome::Failed)];
    prop_oneof![
        4 => [conditions(), conditions(), conditions()].prop_map(Happening::Bundle),
        1 => Just(Happening::Again),
        6 => (0..3usize, 0..2u64, outcome).prop_map(|(owner, back, outcome)| Happening::Report { owner, back, outcome }),
        2 => prop_oneof![Just(60), Just(600), Just(86_400)].prop_map(Happening::Passes),
        1 => Just(Happening::Reboot),
        1 => Just(Happening::Restart),
    ]
}

/// The appliance, what was issued for it, and what was accepted of it.
struct Scene {
    appliance: Appliance,
    site: Site,
    newest: Vec<u8>,
    contents: BTreeMap<&'static str, BTreeSet<Vec<u8>>>,
    accepted: BTreeSet<u64>,
}

impl Scene {
    fn new() -> Self {
        let (appliance, mut site) = (Appliance::new(crate::AGENT), Site::sample());
        appliance.enrol(&mut site, "lux-002");
        // Nothing here is about bundles that have expired.
        site.expires = site.signed_at.plus_days(390);
        Self { appliance, site, newest: Vec::new(), contents: BTreeMap::new(), accepted: BTreeSet::new() }
    }

    fn issue(&mut self, changes: &[Option<Conditions>; 3]) {
        self.site.version += 1;
        let version = self.site.version;
        for ((owner, _, file), change) in OWNERS.into_iter().zip(changes) {
            let Some(conditions) = change else { continue };
            let subtree = self.site.owner(owner);
            subtree.version += 1;
            let content = format!("{owner} in {version}\n").into_bytes();
            subtree.files.insert(file.into(), content.clone());
            subtree.apply = match conditions {
                Conditions::Plain => Apply::default(),
                Conditions::Consumer => Apply { confirm: vec!["consumers".into()], ..Apply::default() },
                Conditions::Window => Apply { window: Some("Sun 02:00-05:00".into()), ..Apply::default() },
            };
            subtree.edit = |manifest| {
                let consumer = Consumer { unit: None, on_change: Default::default(), ready: None };
                manifest.consumers = BTreeMap::from([("it".parse().unwrap(), consumer)]);
            };
            self.contents.entry(owner).or_default().insert(content);
        }
        for (owner, _, file) in OWNERS {
            let content = self.site.owner(owner).files[file].clone();
            self.contents.entry(owner).or_default().insert(content);
        }
        self.newest = self.site.issue().bundle().bytes();
    }

    async fn import(&mut self, agent: &Agent) {
        self.appliance.carry(&[("next.casemate", &self.newest)]);
        let source = ImportSource::Path(self.appliance.path("stick"));
        let answer = agent
            .call(Call::Import { source, transport: Transport::Local, wait: false, dry_run: false })
            .await
            .unwrap();
        let code: Code = answer["code"].as_str().unwrap().parse().unwrap();
        assert!(code.class() == Class::Done || code == Code::FailedBefore, "{answer}");
        self.accepted.insert(self.site.version);
    }

    /// Runs until the agent has to start anew; true if it was the last time.
    async fn run(&mut self, agent: &Agent, happenings: &mut impl Iterator<Item = Happening>) -> bool {
        for happening in happenings {
            match happening {
                Happening::Bundle(changes) => {
                    self.issue(&changes);
                    self.import(agent).await;
                }
                Happening::Again if self.newest.is_empty() => {}
                Happening::Again => self.import(agent).await,
                Happening::Report { owner, back, outcome } => {
                    let status = agent.call(Call::Status).await.unwrap();
                    let owner = OWNERS[owner].0;
                    let owners = status["owners"].as_array().unwrap();
                    let number = owners.iter().find(|status| status["id"] == owner);
                    let number = number.and_then(|status| status["current"]["number"].as_u64()).unwrap_or(1);
                    let generation = number.saturating_sub(back);
                    let report = ConsumerReport { owner: owner.parse().unwrap(), generation, outcome, reason: None };
                    let answer = agent.call(Call::Report { consumer: "it".parse().unwrap(), report }).await;
                    // Of a generation that is not on trial it may be refused, and in no other way.
                    assert!(answer.err().is_none_or(|failure| failure.code == Code::NotAwaited));
                }
                Happening::Passes(seconds) => {
                    self.appliance.pass(seconds);
                    agent.look_now().await;
                }
                Happening::Reboot => {
                    self.appliance.reboot();
                    return false;
                }
                Happening::Restart => return false,
            }
            self.check();
        }
        true
    }

    /// Every current tree is one that was issued, whole.
    fn check(&self) {
        for (owner, tree, file) in OWNERS {
            if let Some(content) = self.appliance.current(&format!("{tree}/{file}")) {
                let known = self.contents.get(owner).is_some_and(|known| known.contains(&content));
                assert!(known, "{owner}: {:?}", String::from_utf8_lossy(&content));
            }
        }
    }

    /// Once time has passed, nothing waits any more and every accepted bundle has its one receipt.
    fn end(&self) {
        let waited = self.appliance.host(async |agent: &Agent| {
            // Eight days, so that every window has been open.
            for _ in 0..8 * 24 {
                self.appliance.pass(3_600);
                agent.look_now().await;
            }
        });
        waited.unwrap();
        let status = self.appliance.status();
        for owner in &status.owners {
            assert!(matches!(owner.state, OwnerState::Committed | OwnerState::Idle), "{owner:?}");
        }
        self.check();
        let mut named: Vec<_> =
            self.appliance.receipts().iter().map(|statement| statement.subject[0].name.clone()).collect();
        named.sort();
        let mut expected: Vec<_> = self.accepted.iter().map(|version| format!("timestamp/{version}")).collect();
        expected.sort();
        assert_eq!(named, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_happens_in_whatever_order_each_bundle_has_one_receipt_and_each_tree_is_whole(
        happenings in proptest::collection::vec(happening(), 1..16)
    ) {
        let mut scene = Scene::new();
        let mut happenings = happenings.into_iter();
        let mut last = false;
        while !last {
            let config = scene.appliance.config();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            last = runtime.block_on(async {
                let agent = Agent::start(config).await.unwrap();
                let last = scene.run(&agent, &mut happenings).await;
                agent.stop().await.unwrap();
                last
            });
        }
        scene.end();
    }
}
