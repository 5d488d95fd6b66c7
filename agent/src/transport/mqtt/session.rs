//! One connection with a broker, without I/O: bytes and time in, packets and events out.
//!
//! Our own state machine over rumqttc's codec, not its `MqttState`: that one queues publications behind packet ids it
//! chooses itself, clears them when a broker has forgotten its session, and can wait for ever for an id that is taken
//!. Here nothing is queued: whoever publishes waits for the one acknowledgement, and what has to
//! survive is in the outbox.
//!
//! ```text
//!  connecting ──CONNACK success──▶ up ──▶ any fault ends it: the next connection is another session
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use casemate_protocol::broker::CHUNK_LENGTH;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Connect, ConnectProperties, ConnectReturnCode, Filter, LastWill, Packet, PubAck, PubAckReason, Publish,
    PublishProperties, RetainForwardRule, SubAck, Subscribe, SubscribeReasonCode, Unsubscribe,
};
use rumqttc::v5::mqttbytes::{self, QoS};

use super::fault::{Fault, moved};
use super::wire;

/// Time between our packets, at most, unless the broker wants another: few wake-ups, and a NAT's entry survives.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
/// A broker that wants packets oftener than this is not served: an appliance sleeps.
const SHORTEST_KEEP_ALIVE: u16 = 10;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// PUBLISH packets the broker may send without our acknowledgement.
const RECEIVE_MAXIMUM: u16 = 16;
/// Longest packet: a chunk, its topic, and properties.
pub(super) const MAX_PACKET: u32 = CHUNK_LENGTH + 1024;
/// Longest packet before CONNACK, and CONNACK itself.
const MAX_CONNACK: u32 = 4096;
/// SUBSCRIBE, UNSUBSCRIBE and PUBLISH packets of ours without an answer.
const MAX_WAITING: usize = 64;
/// Buffer kept while nothing happens, bytes.
const IDLE_BUFFER: usize = 4096;

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The broker has accepted us.
    Up,
    /// A message.
    Message(Message),
    /// A publication of ours was acknowledged.
    Published(u16, Outcome),
    /// Subscriptions were answered: whether each was granted.
    Subscribed(Vec<bool>),
    /// The broker has answered something sent then: it is there, and it is who holds the pinned key.
    Answered(Instant),
}

/// What became of a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The broker has it.
    Taken,
    /// The broker has thrown it away: nobody subscribes to it, and it is not retained.
    NobodyThere,
    /// The broker does not want it.
    Refused,
}

/// A message to us.
#[derive(Debug)]
pub(super) struct Message {
    /// Where.
    pub(super) topic: String,
    /// What.
    pub(super) payload: Bytes,
    /// It was there before we subscribed.
    pub(super) retained: bool,
    /// Where an answer is wanted.
    pub(super) answer_to: Option<String>,
    /// What the answer is to repeat.
    pub(super) correlation: Option<Bytes>,
}

/// A message of ours.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Where to.
    pub(super) topic: String,
    /// What.
    pub(super) payload: Vec<u8>,
    /// The broker keeps it.
    pub(super) retain: bool,
    /// What an answer repeats.
    pub(super) correlation: Option<Bytes>,
}

#[derive(Debug)]
enum State {
    Connecting,
    Up,
}

/// What an answer is awaited for.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Publish,
    Subscribe(usize),
    Unsubscribe,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    state: State,
    input: BytesMut,
    output: BytesMut,
    events: VecDeque<Event>,
    waiting: BTreeMap<u16, (Kind, Instant)>,
    last_id: u16,
    keep_alive: Option<Duration>,
    /// Longest packet the broker takes.
    broker_limit: Option<u32>,
    sent: Instant,
    /// Since when CONNACK or PINGRESP is awaited.
    awaited: Option<Instant>,
}

impl Session {
    /// A connection that begins: CONNECT stands in the output. `will` is said by the broker once we are gone.
    pub(super) fn new(client_id: &str, will: &Outgoing, now: Instant) -> Result<Self, Fault> {
        let properties = ConnectProperties {
            // What has to survive is in the outbox and the spool; the broker need not remember us.
            session_expiry_interval: Some(0),
            receive_maximum: Some(RECEIVE_MAXIMUM),
            max_packet_size: Some(MAX_PACKET),
            topic_alias_max: None,
            request_response_info: None,
            request_problem_info: Some(1),
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
        };
        let connect = Connect {
            keep_alive: u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX),
            client_id: client_id.into(),
            clean_start: true,
            properties: Some(properties),
        };
        let will = LastWill {
            topic: Bytes::copy_from_slice(will.topic.as_bytes()),
            message: Bytes::copy_from_slice(&will.payload),
            qos: QoS::AtLeastOnce,
            retain: will.retain,
            properties: None,
        };
        let mut session = Self {
            state: State::Connecting,
            input: BytesMut::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            waiting: BTreeMap::new(),
            last_id: 0,
            keep_alive: Some(KEEP_ALIVE),
            broker_limit: None,
            sent: now,
            awaited: Some(now),
        };
        session.send(&Packet::Connect(connect, Some(will), None), now)?;
        Ok(session)
    }

    /// Where received bytes are appended.
    pub(super) fn input(&mut self) -> &mut BytesMut {
        if self.input.is_empty() && self.input.capacity() > 16 * IDLE_BUFFER && self.waiting.is_empty() {
            self.input = BytesMut::new();
        }
        if self.input.capacity() == self.input.len() {
            self.input.reserve(IDLE_BUFFER);
        }
        &mut self.input
    }

    /// What is to be sent; whoever takes it sends it.
    pub(super) fn output(&mut self) -> BytesMut {
        std::mem::take(&mut self.output)
    }

    /// What happened, oldest first.
    pub(super) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Takes one packet out of the received bytes; `false` if none is complete.
    pub(super) fn advance(&mut self, now: Instant) -> Result<bool, Fault> {
        let limit = if matches!(self.state, State::Up) { MAX_PACKET } else { MAX_CONNACK };
        let Some(packet) = wire::next(&mut self.input, limit)? else { return Ok(false) };
        match (&self.state, packet) {
            // An ending may stand for a refusal.
            (_, Packet::Disconnect(disconnect)) => return Err(wire::ended(&disconnect)),
            (State::Connecting, Packet::ConnAck(connack)) => self.accepted(&connack)?,
            (State::Connecting, _) => return Err(Fault::Protocol("a packet before CONNACK")),
            (State::Up, Packet::Publish(publish)) => self.published(publish, now)?,
            (State::Up, Packet::PubAck(ack)) => self.acknowledged(&ack)?,
            (State::Up, Packet::SubAck(ack)) => self.subscribed(&ack)?,
            (State::Up, Packet::UnsubAck(ack)) => self.settle(ack.pkid, |kind| *kind == Kind::Unsubscribe)?,
            (State::Up, Packet::PingResp(_)) => {
                let began = self.awaited.take().ok_or(Fault::Protocol("PINGRESP without PINGREQ"))?;
                self.events.push_back(Event::Answered(began));
            }
            (State::Up, _) => return Err(Fault::Protocol("a packet only clients send, or of another flow")),
        }
        Ok(true)
    }

    fn accepted(&mut self, connack: &ConnAck) -> Result<(), Fault> {
        let properties = connack.properties.as_ref();
        if moved(connack.code) || properties.is_some_and(|properties| properties.server_reference.is_some()) {
            return Err(Fault::Elsewhere);
        }
        if connack.code != ConnectReturnCode::Success {
            return Err(Fault::Refused(connack.code));
        }
        if connack.session_present {
            return Err(Fault::Protocol("a session that was not to be kept"));
        }
        if let Some(properties) = properties {
            if properties.max_qos == Some(0) {
                return Err(Fault::Lacking("no QoS 1"));
            }
            if properties.retain_available == Some(0) {
                return Err(Fault::Lacking("no retained messages"));
            }
            if properties.receive_max == Some(0) || properties.max_packet_size == Some(0) {
                return Err(Fault::Protocol("a maximum of zero"));
            }
            self.keep_alive = match properties.server_keep_alive {
                None => self.keep_alive,
                Some(0) => None,
                Some(seconds) if seconds < SHORTEST_KEEP_ALIVE => return Err(Fault::Lacking("keep-alive below 10 s")),
                Some(seconds) => Some(Duration::from_secs(seconds.into())),
            };
            self.broker_limit = properties.max_packet_size;
        }
        self.state = State::Up;
        self.awaited = None;
        self.events.push_back(Event::Up);
        Ok(())
    }

    fn published(&mut self, publish: Publish, now: Instant) -> Result<(), Fault> {
        let properties = publish.properties.unwrap_or_default();
        if properties.topic_alias.is_some() {
            return Err(Fault::Protocol("a topic alias, and none was offered"));
        }
        match publish.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.send(&Packet::PubAck(PubAck::new(publish.pkid, None)), now)?,
            QoS::ExactlyOnce => return Err(Fault::Protocol("QoS 2, and only QoS 1 was subscribed")),
        }
        let topic =
            String::from_utf8(publish.topic.to_vec()).map_err(|_| Fault::Protocol("a topic that is no text"))?;
        self.events.push_back(Event::Message(Message {
            topic,
            payload: publish.payload,
            retained: publish.retain,
            answer_to: properties.response_topic,
            correlation: properties.correlation_data,
        }));
        Ok(())
    }

    fn acknowledged(&mut self, ack: &PubAck) -> Result<(), Fault> {
        self.settle(ack.pkid, |kind| *kind == Kind::Publish)?;
        let outcome = match ack.reason {
            PubAckReason::Success => Outcome::Taken,
            PubAckReason::NoMatchingSubscribers => Outcome::NobodyThere,
            _ => Outcome::Refused,
        };
        self.events.push_back(Event::Published(ack.pkid, outcome));
        Ok(())
    }

    fn subscribed(&mut self, ack: &SubAck) -> Result<(), Fault> {
        let count = ack.return_codes.len();
        self.settle(ack.pkid, |kind| *kind == Kind::Subscribe(count))?;
        let granted = ack.return_codes.iter().map(|code| matches!(code, SubscribeReasonCode::Success(_)));
        self.events.push_back(Event::Subscribed(granted.collect()));
        Ok(())
    }

    /// An answer to what we sent, and to nothing else.
    fn settle(&mut self, id: u16, fits: impl Fn(&Kind) -> bool) -> Result<(), Fault> {
        match self.waiting.remove(&id) {
            Some((kind, began)) if fits(&kind) => {
                self.events.push_back(Event::Answered(began));
                Ok(())
            }
            _ => Err(Fault::Protocol("an acknowledgement of nothing")),
        }
    }

    /// Publishes at QoS 1; the id is that of [`Event::Published`]. `None`: longer than this broker takes.
    pub(super) fn publish(&mut self, message: &Outgoing, now: Instant) -> Result<Option<u16>, Fault> {
        let properties = message
            .correlation
            .as_ref()
            .map(|data| PublishProperties { correlation_data: Some(data.clone()), ..PublishProperties::default() });
        let payload = message.payload.clone();
        let mut publish = Publish::new(message.topic.clone(), QoS::AtLeastOnce, payload, properties);
        publish.retain = message.retain;
        let id = self.id()?;
        publish.pkid = id;
        let packet = Packet::Publish(publish);
        if self.broker_limit.is_some_and(|limit| packet.size() > limit as usize) {
            return Ok(None);
        }
        self.send(&packet, now)?;
        self.waiting.insert(id, (Kind::Publish, now));
        Ok(Some(id))
    }

    /// Subscribes at QoS 1.
    pub(super) fn subscribe(&mut self, topics: &[String], retained: Retained, now: Instant) -> Result<(), Fault> {
        let rule = match retained {
            Retained::Wanted => RetainForwardRule::OnEverySubscribe,
            Retained::Unwanted => RetainForwardRule::Never,
        };
        let filter =
            |topic: &String| Filter { retain_forward_rule: rule.clone(), ..Filter::new(topic, QoS::AtLeastOnce) };
        let mut subscribe = Subscribe::new_many(topics.iter().map(filter), None);
        let id = self.id()?;
        subscribe.pkid = id;
        self.send(&Packet::Subscribe(subscribe), now)?;
        self.waiting.insert(id, (Kind::Subscribe(topics.len()), now));
        Ok(())
    }

    /// Subscribes no longer.
    pub(super) fn unsubscribe(&mut self, topics: Vec<String>, now: Instant) -> Result<(), Fault> {
        let id = self.id()?;
        self.send(&Packet::Unsubscribe(Unsubscribe { pkid: id, filters: topics, properties: None }), now)?;
        self.waiting.insert(id, (Kind::Unsubscribe, now));
        Ok(())
    }

    /// Asks the broker whether it is there, unless it is being asked.
    pub(super) fn ping(&mut self, now: Instant) -> Result<(), Fault> {
        if self.awaited.is_none() {
            self.send(&Packet::PingReq(mqttbytes::v5::PingReq), now)?;
            self.awaited = Some(now);
        }
        Ok(())
    }

    /// When [`Session::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let oldest = self.waiting.values().map(|(_, since)| *since).chain(self.awaited).min();
        let ping = self.keep_alive.filter(|_| self.awaited.is_none()).map(|pause| self.sent + pause * 3 / 4);
        [oldest.map(|since| since + PATIENCE), ping].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Fault> {
        let late = |since: Instant| now.saturating_duration_since(since) >= PATIENCE;
        if self.awaited.is_some_and(late) {
            return Err(Fault::Silent("CONNACK or PINGRESP"));
        }
        if self.waiting.values().any(|(_, since)| late(*since)) {
            return Err(Fault::Silent("an acknowledgement"));
        }
        match self.keep_alive {
            Some(pause) if now.saturating_duration_since(self.sent) >= pause * 3 / 4 => self.ping(now),
            _ => Ok(()),
        }
    }

    fn send(&mut self, packet: &Packet, now: Instant) -> Result<(), Fault> {
        self.sent = now;
        packet.write(&mut self.output, self.broker_limit).map(drop).map_err(|error| match error {
            mqttbytes::Error::OutgoingPacketTooLarge { .. } => {
                Fault::Lacking("a maximum packet size below what is needed")
            }
            error => Fault::Malformed(error),
        })
    }

    /// The next packet id that is not in use.
    fn id(&mut self) -> Result<u16, Fault> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(Fault::Silent("acknowledgements"));
        }
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.waiting.contains_key(&self.last_id) {
                return Ok(self.last_id);
            }
        }
    }
}

/// Whether messages that were there before are to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retained {
    /// They are.
    Wanted,
    /// Only what comes from now on.
    Unwanted,
}
