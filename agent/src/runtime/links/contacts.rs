//! What is known of those the agent talks to: when they last answered, and what there was to notice.

use std::collections::BTreeMap;

use casemate_protocol::boundary::{Peer, PeerProtocol, Policy, Purpose};
use casemate_protocol::code::Code;
use casemate_protocol::device::id::Name;
use casemate_protocol::evidence::health::{TransportHealth, TransportsHealth};
use casemate_protocol::evidence::receipt::Transport;
use casemate_protocol::tuf::time::UtcTime;

use crate::exit::Failure;
use crate::local_api::answer::{PeerStatus, RefusalCount};
use crate::runtime::keeper::Keeper;
use crate::store::{Notice, Record};

/// Seconds of the period in which one peer's notices of one code count together.
const PERIOD_SECONDS: u64 = 86_400;

/// What stands in the journal in place of a peer's name where certificates were not let in.
const LISTENER: &str = "listener";

/// What this process has seen of its peers. It ends with the process; what was noticed stands in the journal too.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Contacts {
    peers: BTreeMap<Name, Contact>,
    /// Exactly; the journal knows them to the next power of two.
    notices: BTreeMap<(Name, Code), Notice>,
    listener: Option<Listener>,
}

#[derive(Debug, Default)]
struct Contact {
    /// By uptime, seconds, and by the wall clock of then.
    answered: Option<(u64, UtcTime)>,
    is_up: bool,
    last: Option<Code>,
}

#[derive(Debug, Default)]
struct Listener {
    is_up: bool,
    /// By uptime, seconds.
    came: Option<u64>,
}

/// By what `peer` is talked to; `None` where nothing does yet.
pub(super) fn transport(peer: &Peer) -> Option<Transport> {
    match (peer.protocol, peer.purpose) {
        (PeerProtocol::Https, Purpose::Repository) => Some(Transport::Pull),
        (PeerProtocol::Mqtts, Purpose::Broker) => Some(Transport::Mqtt),
        _ => None,
    }
}

impl Contacts {
    /// What the journal knows.
    pub(in crate::runtime) fn new(noticed: &BTreeMap<Name, BTreeMap<Code, Notice>>) -> Self {
        let of = |(peer, codes): (&Name, &BTreeMap<Code, Notice>)| {
            let peer = peer.clone();
            codes.iter().map(move |(code, notice)| ((peer.clone(), *code), *notice)).collect::<Vec<_>>()
        };
        Self { notices: noticed.iter().flat_map(of).collect(), ..Self::default() }
    }

    fn health(&self, policy: &Policy, kind: Transport, uptime: u64, day: u64) -> Option<TransportHealth> {
        let peers: Vec<&Peer> = policy.peers.iter().filter(|peer| transport(peer) == Some(kind)).collect();
        if peers.is_empty() {
            return None;
        }
        let contacts: Vec<&Contact> = peers.iter().filter_map(|peer| self.peers.get(&peer.id)).collect();
        let up = contacts.iter().filter(|contact| contact.is_up).count();
        let newest = contacts.iter().filter_map(|contact| contact.answered).map(|(at, _)| at).max();
        let notices = self
            .notices
            .iter()
            .filter(|((name, _), notice)| notice.day == day && peers.iter().any(|peer| peer.id == *name));
        let noticed = notices.map(|(_, notice)| notice.count).sum();
        Some(TransportHealth {
            up: count(up),
            down: count(peers.len() - up),
            hours_since: newest.map(|at| hours(at, uptime)),
            noticed,
        })
    }

    fn listener_health(&self, policy: &Policy, uptime: u64, day: u64) -> Option<TransportHealth> {
        policy.listen.as_ref()?;
        let up = self.listener.as_ref().is_some_and(|listener| listener.is_up);
        let came = self.listener.as_ref().and_then(|listener| listener.came);
        let refused = self.notices.iter().filter(|((name, _), notice)| notice.day == day && name.as_str() == LISTENER);
        Some(TransportHealth {
            up: u32::from(up),
            down: u32::from(!up),
            hours_since: came.map(|at| hours(at, uptime)),
            noticed: refused.map(|(_, notice)| notice.count).sum(),
        })
    }
}

fn hours(at: u64, now: u64) -> u32 {
    u32::try_from(now.saturating_sub(at) / 3_600).unwrap_or(u32::MAX)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl Keeper {
    fn uptime(&self) -> u64 {
        self.config.clock.moment().uptime_seconds
    }

    fn names(&self, peer: &Name) -> bool {
        self.door.policy().peers.iter().any(|known| known.id == *peer)
    }

    /// A peer with a pinned key has answered.
    pub(super) fn answered(&mut self, peer: &Name) {
        if !self.names(peer) {
            return;
        }
        let now = (self.uptime(), self.stamp().wall);
        let contact = self.contacts.peers.entry(peer.clone()).or_default();
        contact.answered = Some(now);
        contact.is_up = true;
    }

    /// Something of a peer of the policy is to be remembered. It is journalled to the next power of two a day: whoever
    /// misbehaves does not fill the journal.
    pub(super) fn noticed(&mut self, peer: &Name, code: Code) -> Result<(), Failure> {
        if !self.names(peer) {
            return Ok(());
        }
        let contact = self.contacts.peers.entry(peer.clone()).or_default();
        contact.last = Some(code);
        contact.is_up &= !matches!(code, Code::PeerUnreached | Code::PeerUntrusted | Code::CertificateRefused);
        if self.count_notice(peer, code, 1)? == 1 {
            tracing::warn!(%peer, %code, "a peer is not as it should be");
        }
        Ok(())
    }

    /// Counts in the journal what was noticed, to the next power of two; says how often it was today.
    fn count_notice(&mut self, peer: &Name, code: Code, more: u64) -> Result<u64, Failure> {
        let day = self.stamp().wall.unix() / PERIOD_SECONDS;
        let before = match self.contacts.notices.get(&(peer.clone(), code)) {
            Some(notice) if notice.day == day => notice.count,
            _ => 0,
        };
        let count = before.saturating_add(more);
        let notice = Notice { day, count };
        self.contacts.notices.insert((peer.clone(), code), notice);
        if count.checked_ilog2() != before.checked_ilog2() {
            self.writable()?;
            self.commit(&[Record::Noticed { peer: peer.clone(), code, notice }])?;
        }
        Ok(count)
    }

    /// So many certificates were not let in.
    pub(super) fn turned_away(&mut self, count: u64) {
        let Ok(listener) = LISTENER.parse() else { return };
        if let Err(failure) = self.count_notice(&listener, Code::CertificateRefused, count) {
            tracing::warn!(code = %failure.code, error = %failure.told(), "refused certificates cannot be journalled");
        }
    }

    /// The listener takes connections, or no longer does.
    pub(super) fn listens(&mut self, is_up: bool) {
        self.contacts.listener.get_or_insert_default().is_up = is_up;
    }

    /// Somebody with a certificate has connected.
    pub(super) fn visited(&mut self) {
        let now = self.uptime();
        self.contacts.listener.get_or_insert_default().came = Some(now);
    }

    /// How the transports stand, in counts; `None` where the policy names nobody.
    pub(in crate::runtime) fn transports_health(&self) -> Option<TransportsHealth> {
        let (policy, uptime) = (self.door.policy(), self.uptime());
        let day = self.stamp().wall.unix() / PERIOD_SECONDS;
        let of = |kind| self.contacts.health(&policy, kind, uptime, day);
        let health = TransportsHealth {
            pull: of(Transport::Pull),
            push: self.contacts.listener_health(&policy, uptime, day),
            mqtt: of(Transport::Mqtt),
        };
        (health != TransportsHealth::default()).then_some(health)
    }

    /// The peers of the policy in force, one by one.
    pub(in crate::runtime) fn peers_status(&self) -> Vec<PeerStatus> {
        let policy = self.door.policy();
        let nobody = Contact::default();
        let status = |peer: &Peer| {
            let contact = self.contacts.peers.get(&peer.id).unwrap_or(&nobody);
            let notices = self.contacts.notices.iter().filter(|((name, _), _)| *name == peer.id);
            PeerStatus {
                id: peer.id.clone(),
                up: contact.is_up,
                answered: contact.answered.map(|(_, at)| at),
                last: contact.last,
                noticed: notices.map(|((_, code), notice)| RefusalCount { code: *code, count: notice.count }).collect(),
            }
        };
        policy.peers.iter().map(status).collect()
    }
}
