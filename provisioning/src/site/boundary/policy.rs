//! `boundary/<name>.toml`: what appliances with this boundary may exchange with whom.

use std::net::IpAddr;

use casemate_protocol::boundary::{
    Boundary, BoundaryError, Direction, Envelope, FORMAT, Flow, FlowProtocol, Link, Listen, Peer, PeerProtocol, Pins,
    Policy, Ports, Purpose,
};
use casemate_protocol::device::id::{Jurisdiction, Name, Owner};
use serde::Deserialize;
use toml::Spanned;

use super::reading::Reading;
use crate::site::finding::{SiteError, parse_toml};

const NAME: &str = "write a-z, 0-9 and '-'";
const PURPOSES: [&str; 4] = ["repository", "broker", "control-plane", "witness"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: Option<Spanned<u32>>,
    #[serde(default)]
    peer: Vec<Spanned<PeerWritten>>,
    #[serde(default)]
    flow: Vec<Spanned<FlowWritten>>,
    listen: Option<Spanned<ListenWritten>>,
    #[serde(default)]
    link: LinkWritten,
    observe_until: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerWritten {
    id: Spanned<String>,
    protocol: Spanned<String>,
    address: Spanned<String>,
    port: Spanned<u16>,
    pin: Spanned<String>,
    next_pin: Option<Spanned<String>>,
    purpose: Spanned<String>,
    #[serde(default)]
    required: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowWritten {
    purpose: Spanned<String>,
    direction: Spanned<String>,
    protocol: Spanned<String>,
    to: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    ports: Option<Spanned<String>>,
    tenant: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenWritten {
    port: Spanned<u16>,
    from: Vec<Spanned<String>>,
    /// As [`LinkWritten::observe_until`].
    observe_until: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkWritten {
    #[serde(default)]
    gateways: Vec<Spanned<String>>,
    dhcp: Option<Spanned<bool>>,
    /// Known only to say where it belongs: what follows a table's head is the table's.
    observe_until: Option<Spanned<String>>,
}

/// The path of the boundary `name` in the site.
pub(crate) fn file(name: &Name) -> String {
    format!("boundary/{name}.toml")
}

/// Reads the text of `boundary/<name>.toml`; inside `envelope`, where that is known.
///
/// # Errors
/// Everything wrong in it.
pub(crate) fn parse(
    name: &Name,
    text: &str,
    jurisdiction: Jurisdiction,
    envelope: Option<&Envelope>,
) -> Result<Boundary, SiteError> {
    let file = file(name);
    let written: Written = parse_toml(&file, text)?;
    let empty = Boundary { format: FORMAT, name: name.clone(), jurisdiction, allow: Policy::default() };
    let mut judging = Judging { reading: Reading::new(&file, text), envelope, boundary: empty, full: false };
    judging.reading.format(written.format.as_ref());
    for entry in &written.peer {
        judging.peer(entry);
    }
    judging.full = false;
    for entry in &written.flow {
        judging.flow(entry);
    }
    judging.full = false;
    if let Some(listen) = &written.listen {
        judging.listen(listen);
    }
    judging.link(&written.link);
    if let Some(at) = &written.observe_until
        && let Some(until) = judging.reading.value(at, "write it as \"2026-12-01T00:00:00Z\"")
    {
        judging.admit(at, |allow| allow.observe_until = Some(until));
    }
    judging.reading.findings.none()?;
    let mut boundary = judging.boundary;
    // The order of entries means nothing: moving one is no change.
    boundary.allow.peers.sort_by(|one, two| one.id.cmp(&two.id));
    boundary.allow.link.gateways.sort();
    // As agent and enforcer compare policies: a flow that another of its purpose covers is not said twice.
    boundary.allow = boundary.allow.normal();
    Ok(boundary)
}

struct Judging<'a> {
    reading: Reading<'a>,
    envelope: Option<&'a Envelope>,
    boundary: Boundary,
    /// Whether it was said that there are too many entries of the kind at hand.
    full: bool,
}

impl Judging<'_> {
    /// Adds one entry, unless it breaks a rule beside those before it or goes beyond the envelope.
    fn admit<T>(&mut self, at: &Spanned<T>, add: impl FnOnce(&mut Policy)) {
        let mut with = self.boundary.clone();
        add(&mut with.allow);
        let inside = |with: &Boundary| self.envelope.map_or(Ok(()), |envelope| envelope.admit(with));
        match with.allow.check().and_then(|()| inside(&with)) {
            Ok(()) => self.boundary = with,
            // Said once: all that follow are too many as well.
            Err(BoundaryError::TooMany { .. }) if std::mem::replace(&mut self.full, true) => {}
            Err(error) => self.reading.refused(at, &error),
        }
    }

    fn address(&mut self, at: &Spanned<String>) -> Option<IpAddr> {
        let parsed = at.get_ref().parse();
        let what = format!("{:?} is no IP address", at.get_ref());
        parsed.map_err(|_| self.reading.wrong(at, what, "write the address itself: names are never resolved")).ok()
    }

    fn peer(&mut self, entry: &Spanned<PeerWritten>) {
        let written = entry.get_ref();
        let id = self.reading.value::<Name>(&written.id, NAME);
        let protocol = self.reading.word::<PeerProtocol>(&written.protocol, "peer's protocol", &["https", "mqtts"]);
        let address = self.address(&written.address);
        let current = self.reading.digest(&written.pin);
        let next = written.next_pin.as_ref().map(|pin| self.reading.digest(pin));
        let purpose = self.reading.word::<Purpose>(&written.purpose, "purpose of a peer", &PURPOSES);
        let (Some(id), Some(protocol), Some(address), Some(current), Some(purpose)) =
            (id, protocol, address, current, purpose)
        else {
            return;
        };
        let (port, required) = (*written.port.get_ref(), written.required);
        let pins = Pins { current, next: next.flatten() };
        let peer = Peer { id, protocol, address, port, pins, purpose, required };
        self.admit(entry, |allow| allow.peers.push(peer));
    }

    fn flow(&mut self, entry: &Spanned<FlowWritten>) {
        let written = entry.get_ref();
        let purpose = self.reading.value::<Name>(&written.purpose, NAME);
        let direction = self.reading.word::<Direction>(&written.direction, "direction", &["in", "out"]);
        let protocol = self.reading.word::<FlowProtocol>(&written.protocol, "flow's protocol", &["tcp", "udp", "echo"]);
        let network = direction.and_then(|direction| self.network(entry, direction));
        let ports = written.ports.as_ref().map(|ports| self.reading.value::<Ports>(ports, "write it so, in quotes"));
        let tenant = written.tenant.as_ref().map(|tenant| self.reading.value::<Name>(tenant, NAME));
        let (Some(purpose), Some(direction), Some(protocol), Some(network)) = (purpose, direction, protocol, network)
        else {
            return;
        };
        if ports == Some(None) {
            return;
        }
        let owner = tenant.flatten().map(Owner::Tenant);
        let flow = Flow { purpose, direction, protocol, network, ports: ports.flatten(), owner };
        if self.boundary.allow.flows.contains(&flow) {
            return self.reading.wrong(entry, format!("{flow} stands there twice"), "keep one of them");
        }
        self.admit(entry, |allow| allow.flows.push(flow));
    }

    /// `to` of an out-flow, `from` of an in-flow, and never the other.
    fn network(
        &mut self,
        entry: &Spanned<FlowWritten>,
        direction: Direction,
    ) -> Option<casemate_protocol::boundary::Network> {
        let FlowWritten { to, from, .. } = entry.get_ref();
        let (right, wrong, key) = match direction {
            Direction::In => (from, to, "from"),
            Direction::Out => (to, from, "to"),
        };
        let what = match direction {
            Direction::In => "a flow in says from where",
            Direction::Out => "a flow out says to where",
        };
        let suggestion = format!("write {key} = \"10.20.1.0/24\"");
        if let Some(wrong) = wrong {
            self.reading.wrong(wrong, what, suggestion);
            return None;
        }
        match right {
            Some(network) => self.reading.network(network),
            None => {
                self.reading.wrong(entry, what, suggestion);
                None
            }
        }
    }

    fn listen(&mut self, entry: &Spanned<ListenWritten>) {
        let written = entry.get_ref();
        let networks: Vec<_> = written.from.iter().map(|network| self.reading.network(network)).collect();
        if let Some(mut from) = networks.into_iter().collect::<Option<Vec<_>>>() {
            // The order means nothing, and neither does saying one twice.
            from.sort();
            from.dedup();
            let port = *written.port.get_ref();
            self.admit(entry, |allow| allow.listen = Some(Listen { port, from }));
        }
        if let Some(at) = &written.observe_until {
            self.misplaced(at, "listen");
        }
    }

    fn misplaced(&mut self, at: &Spanned<String>, table: &str) {
        let what = format!("observe_until stands in [{table}]");
        self.reading.wrong(at, what, "write it at the top, before the first [");
    }

    fn link(&mut self, written: &LinkWritten) {
        for at in &written.gateways {
            let known = |link: &Link, address| link.gateways.contains(&address);
            match self.address(at) {
                Some(address) if known(&self.boundary.allow.link, address) => {
                    self.reading.wrong(at, format!("gateway {address} stands there twice"), "keep one of them");
                }
                Some(address) => self.admit(at, |allow| allow.link.gateways.push(address)),
                None => {}
            }
        }
        if let Some(at) = written.dhcp.as_ref().filter(|dhcp| *dhcp.get_ref()) {
            self.admit(at, |allow| allow.link.dhcp = true);
        }
        if let Some(at) = &written.observe_until {
            self.misplaced(at, "link");
        }
    }
}

#[cfg(test)]
mod tests;
