//! Boundaries of a sample site.

use std::collections::BTreeMap;

use casemate_protocol::boundary::{
    Boundary, Direction, Envelope, Flow, FlowProtocol, Peer, PeerProtocol, Pins, Policy, Purpose, TenantFlows,
};
use casemate_protocol::canonical;
use casemate_protocol::device::id::Name;
use casemate_protocol::digest::Digest;
use casemate_protocol::tuf::profile::boundary_role;
use casemate_protocol::tuf::role::SPEC_VERSION;
use casemate_protocol::tuf::targets::{DelegatedRole, Delegations, Targets};
use casemate_protocol::tuf::time::UtcTime;
use serde::Serialize;

use super::{Key, Site, signed_at, target, version};

/// What role `boundary` signs.
#[derive(Clone, Debug)]
pub struct Boundaries {
    /// Version of the role.
    pub version: u64,
    /// When the role expires.
    pub expires: UtcTime,
    /// Whose keys the delegation names.
    pub keys: Vec<&'static str>,
    /// How many must sign.
    pub threshold: u32,
    /// Who signs.
    pub signers: Vec<&'static str>,
    /// How far any of them may go.
    pub envelope: Envelope,
    /// What each allows.
    pub policies: BTreeMap<Name, Policy>,
    /// Changes every boundary just before it is signed.
    pub edit: fn(&mut Boundary),
    /// Changes the role's targets just before they are signed.
    pub edit_targets: fn(&mut Targets),
}

fn document(content: &impl Serialize) -> Vec<u8> {
    canonical::encode(&serde_json::to_value(content).unwrap())
}

/// A peer that speaks HTTPS, known by a key made from its name.
#[must_use]
pub fn peer(id: &str, address: &str, port: u16) -> Peer {
    Peer {
        id: id.parse().unwrap(),
        protocol: PeerProtocol::Https,
        address: address.parse().unwrap(),
        port,
        pins: Pins { current: Digest::of(id.as_bytes()), next: None },
        purpose: Purpose::Repository,
        required: false,
    }
}

/// An outbound TCP flow, of `tenant` if one is given.
#[must_use]
pub fn flow(network: &str, ports: &str, tenant: Option<&str>) -> Flow {
    Flow {
        purpose: "federation".parse().unwrap(),
        direction: Direction::Out,
        protocol: FlowProtocol::Tcp,
        network: network.parse().unwrap(),
        ports: Some(ports.parse().unwrap()),
        owner: tenant.map(|tenant| format!("tenant.{tenant}").parse().unwrap()),
    }
}

/// What a tenant signs to leave `flows` of its own.
#[must_use]
pub fn tenant_flows(flows: &[Flow]) -> Vec<u8> {
    document(&TenantFlows { format: 1, flows: flows.to_vec() })
}

impl Site {
    /// [`Self::sample`] inside an envelope of `10.20.0.0/16`. Both appliances live in boundary `lan`: peer `control` at
    /// 10.20.0.5:8443, an operator's flow to 10.20.1.0/24 port 8448, and one of tenant `north` to 10.20.9.0/24 ports
    /// 443-450.
    #[must_use]
    pub fn fenced() -> Self {
        let mut site = Self::sample();
        let policy = Policy {
            peers: vec![peer("control", "10.20.0.5", 8443)],
            flows: vec![flow("10.20.1.0/24", "8448", None), flow("10.20.9.0/24", "443-450", Some("north"))],
            ..Policy::default()
        };
        site.fence(policy);
        site
    }

    /// Binds an envelope of `10.20.0.0/16` and has every appliance live in boundary `lan`, which allows `policy`.
    pub fn fence(&mut self, policy: Policy) {
        let envelope = Envelope {
            format: 1,
            jurisdiction: self.jurisdiction,
            networks: vec!["10.20.0.0/16".parse().unwrap()],
            pins: None,
            dhcp: false,
            observe: false,
        };
        self.envelope = Some(Digest::of(&document(&envelope)));
        self.boundary = Some(Boundaries {
            version: 1,
            expires: signed_at().plus_days(400),
            keys: vec!["alice", "bob"],
            threshold: 2,
            signers: vec!["alice", "bob"],
            envelope,
            policies: BTreeMap::from([("lan".parse().unwrap(), policy)]),
            edit: |_| {},
            edit_targets: |_| {},
        });
        for assignment in self.assignments.values_mut() {
            assignment.boundary = Some("lan".parse().unwrap());
        }
    }

    /// What role `boundary` signs.
    ///
    /// # Panics
    /// The site has no boundary.
    pub fn boundaries(&mut self) -> &mut Boundaries {
        self.boundary.as_mut().expect("the site is fenced")
    }

    /// The policy of boundary `lan`.
    ///
    /// # Panics
    /// There is none.
    pub fn lan(&mut self) -> &mut Policy {
        self.boundaries().policies.get_mut(&"lan".parse::<Name>().unwrap()).expect("the site is fenced")
    }

    /// The next version of everything, with other content of boundary `lan`.
    pub fn refence(&mut self, edit: impl FnOnce(&mut Policy)) {
        self.version += 1;
        self.boundaries().version += 1;
        edit(self.lan());
    }
}

impl Boundaries {
    /// The role's targets, and their contents.
    pub(super) fn sign(&self, site: &Site) -> (Targets, BTreeMap<String, Vec<u8>>) {
        let mut contents = BTreeMap::from([(Envelope::TARGET.to_owned(), document(&self.envelope))]);
        for (name, allow) in &self.policies {
            let (name, allow) = (name.clone(), allow.clone());
            let target = Boundary::target_path(&name);
            let mut boundary = Boundary { format: 1, name, jurisdiction: site.jurisdiction, allow };
            (self.edit)(&mut boundary);
            contents.insert(target, document(&boundary));
        }
        let mut targets = Targets {
            kind: "targets".into(),
            spec_version: SPEC_VERSION.into(),
            version: version(self.version),
            expires: self.expires,
            targets: contents.iter().map(|(path, content)| (path.clone(), target(content))).collect(),
            delegations: None,
        };
        (self.edit_targets)(&mut targets);
        (targets, contents)
    }

    pub(super) fn delegate(&self, delegations: &mut Delegations) {
        let keys: Vec<_> = self.keys.iter().map(|word| Key::of(word)).collect();
        delegations.keys.extend(keys.iter().map(|key| (key.id(), key.document.clone())));
        delegations.roles.push(DelegatedRole {
            name: boundary_role(),
            keyids: keys.iter().map(Key::id).collect(),
            threshold: self.threshold,
            terminating: true,
            paths: Some(vec!["boundary/*".into()]),
            path_hash_prefixes: None,
        });
    }
}
