//! Rows grouped into flows, each held against the envelope and what is allowed already.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use casemate_protocol::boundary::{Boundary, Direction, Envelope, FORMAT, Flow, FlowProtocol, Network, Policy, Ports};
use casemate_protocol::device::id::Name;
use casemate_protocol::tuf::time::UtcTime;
use serde::Serialize;

use super::row::Row;

/// So many addresses of one network, or more, and the network is proposed instead of each of them.
const MANY: usize = 4;

/// A flow that would allow what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Seen {
    /// The flow.
    pub(crate) flow: Flow,
    /// Whose packets: units, or users where no unit is known; as the appliance says.
    pub(crate) senders: BTreeSet<String>,
    /// How many.
    pub(crate) count: u64,
    /// When the first was seen.
    pub(crate) first_seen: UtcTime,
    /// When the last was seen.
    pub(crate) last_seen: UtcTime,
    /// How many addresses of the network were seen.
    pub(crate) addresses: usize,
}

/// A row no flow can stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Impossible {
    /// The row, in words.
    pub(crate) what: String,
    /// The rule.
    pub(crate) why: String,
}

/// What could be allowed, for somebody to judge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Proposal {
    /// Inside the envelope and new.
    pub(crate) flows: Vec<Seen>,
    /// Beyond the envelope: no signature here can allow these.
    pub(crate) outside: Vec<Seen>,
    /// What the boundary asked about allows already.
    pub(crate) known: Vec<Seen>,
    /// What no boundary can allow.
    pub(crate) impossible: Vec<Impossible>,
}

/// What rows must share to be one flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    direction: Direction,
    protocol: FlowProtocol,
    port: Option<u16>,
    purpose: Name,
}

impl Proposal {
    /// The flows that would allow `rows`.
    pub(crate) fn of(rows: &[Row], envelope: Option<&Envelope>, known: Option<&Policy>) -> Self {
        let (mut proposal, mut groups) = (Self::default(), BTreeMap::<Key, BTreeMap<IpAddr, Vec<&Row>>>::new());
        for row in rows {
            match key(row) {
                Ok(key) => groups.entry(key).or_default().entry(row.address).or_default().push(row),
                Err(why) => proposal.impossible.push(Impossible { what: words(row), why }),
            }
        }
        for (key, addresses) in &groups {
            for (network, count) in networks(addresses.keys().copied(), envelope) {
                let inside = addresses.iter().filter(|(address, _)| network.contains(**address));
                let rows: Vec<_> = inside.flat_map(|(_, rows)| rows).copied().collect();
                let Some(seen) = Seen::of(key, network, &rows, count) else { continue };
                let is_known = known.is_some_and(|known| known.flows.iter().any(|flow| flow.covers(&seen.flow)));
                match is_inside(&seen.flow, envelope) {
                    _ if is_known => proposal.known.push(seen),
                    true => proposal.flows.push(seen),
                    false => proposal.outside.push(seen),
                }
            }
        }
        proposal
    }
}

impl Seen {
    fn of(key: &Key, network: Network, rows: &[&Row], addresses: usize) -> Option<Self> {
        let ports = key.port.map(|port| port.to_string().parse::<Ports>()).transpose().ok()?;
        let (direction, protocol, purpose) = (key.direction, key.protocol, key.purpose.clone());
        Some(Self {
            flow: Flow { purpose, direction, protocol, network, ports, owner: None },
            senders: rows.iter().map(|row| sender(row)).collect(),
            count: rows.iter().fold(0, |sum, row| sum.saturating_add(row.count)),
            first_seen: rows.iter().map(|row| row.first_seen).min()?,
            last_seen: rows.iter().map(|row| row.last_seen).max()?,
            addresses,
        })
    }
}

/// What a row would be as a flow, or the rule against it.
fn key(row: &Row) -> Result<Key, String> {
    let direction = match row.direction.as_str() {
        "in" => Direction::In,
        "out" => Direction::Out,
        _ => return Err("no boundary lets an appliance forward packets".into()),
    };
    let protocol = match row.protocol.as_str() {
        "tcp" => FlowProtocol::Tcp,
        "udp" => FlowProtocol::Udp,
        "icmp" | "icmpv6" => FlowProtocol::Echo,
        _ => return Err("no flow is of this protocol".into()),
    };
    let port = row.port.filter(|port| *port != 0 && protocol != FlowProtocol::Echo);
    if port.is_none() && protocol != FlowProtocol::Echo {
        return Err("it has no port".into());
    }
    Network::host(row.address).map_err(|error| error.to_string())?;
    Ok(Key { direction, protocol, port, purpose: purpose(row) })
}

/// The networks that hold `addresses`, each with how many of them: the address itself, or the network around several,
/// where the envelope has it.
fn networks(addresses: impl Iterator<Item = IpAddr>, envelope: Option<&Envelope>) -> Vec<(Network, usize)> {
    let mut around: BTreeMap<Option<Network>, Vec<IpAddr>> = BTreeMap::new();
    for address in addresses {
        around.entry(neighbourhood(address)).or_default().push(address);
    }
    let mut networks = Vec::new();
    for (network, addresses) in around {
        let is_allowed = |network: &Network| {
            envelope.is_some_and(|envelope| envelope.networks.iter().any(|outer| outer.covers(network)))
        };
        match network.filter(is_allowed).filter(|_| addresses.len() >= MANY) {
            Some(network) => networks.push((network, addresses.len())),
            None => networks.extend(addresses.into_iter().filter_map(|one| Some((Network::host(one).ok()?, 1)))),
        }
    }
    networks
}

/// The /24 or /64 around an address.
fn neighbourhood(address: IpAddr) -> Option<Network> {
    let text = match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    };
    text.parse().ok()
}

fn is_inside(flow: &Flow, envelope: Option<&Envelope>) -> bool {
    let Some(envelope) = envelope else { return false };
    let allow = Policy { flows: vec![flow.clone()], ..Policy::default() };
    let (name, jurisdiction) = (flow.purpose.clone(), envelope.jurisdiction);
    envelope.admit(&Boundary { format: FORMAT, name, jurisdiction, allow }).is_ok()
}

/// A unit's name as a purpose: `chronyd.service` is `chronyd`.
fn purpose(row: &Row) -> Name {
    let unit = row.unit.as_deref().unwrap_or("").rsplit_once('.').map_or("", |(stem, _)| stem);
    let plain = |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '-' };
    let stem: String = unit.chars().take(63).map(plain).collect();
    let user = row.uid.map_or_else(|| "unknown".to_owned(), |uid| format!("uid-{uid}"));
    #[expect(
        clippy::expect_used,
        reason = "lower-case letters, digits and inner hyphens, at most 14 of them, are a name"
    )]
    stem.trim_matches('-').parse().or_else(|_| user.parse()).expect("a name")
}

fn sender(row: &Row) -> String {
    match (&row.unit, row.uid) {
        (Some(unit), _) => unit.clone(),
        (None, Some(uid)) => format!("uid {uid}, unit unknown"),
        (None, None) => "sender unknown".into(),
    }
}

fn words(row: &Row) -> String {
    let port = row.port.map_or_else(String::new, |port| format!(" port {port}"));
    format!("{} {} {}{port}, {}", row.direction, row.protocol, row.address, sender(row))
}
