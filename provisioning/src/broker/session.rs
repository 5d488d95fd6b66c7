//! MQTT 5 as a publisher speaks it: over any stream, one thing after the other, everything acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectProperties, ConnectReturnCode, Disconnect, DisconnectReasonCode, Filter, Packet, PingReq, PubAck,
    PubAckReason, Publish, PublishProperties, Subscribe, SubscribeReasonCode, check,
};
use rumqttc::v5::mqttbytes::{Error, QoS};

use super::connect::failed;
use super::error::BrokerError;

/// Publications without an acknowledgement.
const WINDOW: usize = 8;
/// Longest packet the broker may send.
const MAX_PACKET: u32 = 512 * 1024;

/// A connection to a broker that has accepted us.
#[derive(Debug)]
pub(crate) struct Session<S> {
    stream: S,
    at: SocketAddr,
    input: BytesMut,
    waiting: BTreeMap<u16, String>,
    window: usize,
    limit: Option<u32>,
    last_id: u16,
}

impl<S: Read + Write> Session<S> {
    /// Introduces us over `stream`.
    ///
    /// # Errors
    /// The broker does not accept us, or lacks what is needed.
    pub(crate) fn open(stream: S, at: SocketAddr, client_id: &str) -> Result<Self, BrokerError> {
        let waiting = BTreeMap::new();
        let mut session = Self { stream, at, input: BytesMut::new(), waiting, window: WINDOW, limit: None, last_id: 0 };
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(MAX_PACKET);
        properties.session_expiry_interval = Some(0);
        let client_id = client_id.to_owned();
        let connect = Connect { keep_alive: 60, client_id, clean_start: true, properties: Some(properties) };
        session.send(&Packet::Connect(connect, None, None))?;
        let Packet::ConnAck(connack) = session.receive()? else {
            return Err(BrokerError::Protocol("a packet before CONNACK"));
        };
        if connack.code != ConnectReturnCode::Success {
            return Err(BrokerError::Refused(connack.code));
        }
        if let Some(properties) = connack.properties {
            if properties.max_qos == Some(0) {
                return Err(BrokerError::Lacking("no QoS 1"));
            }
            if properties.retain_available == Some(0) {
                return Err(BrokerError::Lacking("no retained messages"));
            }
            session.window = properties.receive_max.map_or(WINDOW, |most| WINDOW.min(most.into())).max(1);
            session.limit = properties.max_packet_size;
        }
        Ok(session)
    }

    /// Leaves `payload` under `topic` for `expiry` seconds; an empty one clears the topic. Acknowledged by the time
    /// [`Session::settle`] returns.
    ///
    /// # Errors
    /// The connection fails, or the broker did not take an earlier one.
    pub(crate) fn retain(&mut self, topic: &str, payload: Bytes, expiry: Option<u32>) -> Result<(), BrokerError> {
        while self.waiting.len() >= self.window {
            self.acknowledged()?;
        }
        let properties =
            expiry.map(|_| PublishProperties { message_expiry_interval: expiry, ..PublishProperties::default() });
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload, properties);
        publish.retain = true;
        publish.pkid = self.id();
        self.waiting.insert(publish.pkid, topic.to_owned());
        self.send(&Packet::Publish(publish))
    }

    /// Waits until the broker has acknowledged everything.
    ///
    /// # Errors
    /// The connection fails, or the broker did not take something.
    pub(crate) fn settle(&mut self) -> Result<(), BrokerError> {
        while !self.waiting.is_empty() {
            self.acknowledged()?;
        }
        Ok(())
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// The connection fails.
    pub(crate) fn close(mut self) -> Result<(), BrokerError> {
        self.settle()?;
        self.send(&Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)))
    }

    /// Topics under which something is retained that `filter` finds. The broker sends what is there, then answers a
    /// question asked after it: messages of QoS 0 stay in order with that answer.
    ///
    /// # Errors
    /// The connection fails, or the broker does not grant the subscription.
    pub(crate) fn retained(&mut self, filter: &str) -> Result<BTreeSet<String>, BrokerError> {
        self.settle()?;
        let mut subscribe = Subscribe::new(Filter::new(filter, QoS::AtMostOnce), None);
        subscribe.pkid = self.id();
        self.send(&Packet::Subscribe(subscribe))?;
        let mut found = BTreeSet::new();
        let mut answers = 0;
        // The first question may overtake what is still being gathered; nothing was seen to overtake the second.
        while answers < 3 {
            match self.receive()? {
                Packet::SubAck(ack) => {
                    if !ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))) {
                        return Err(BrokerError::Lacking("it does not let this certificate read what it holds"));
                    }
                    answers += 1;
                    self.send(&Packet::PingReq(PingReq))?;
                }
                Packet::PingResp(_) => {
                    answers += 1;
                    if answers < 3 {
                        self.send(&Packet::PingReq(PingReq))?;
                    }
                }
                Packet::Publish(publish) => {
                    if publish.qos == QoS::AtLeastOnce {
                        self.send(&Packet::PubAck(PubAck::new(publish.pkid, None)))?;
                    }
                    if publish.retain
                        && let Ok(topic) = String::from_utf8(publish.topic.to_vec())
                    {
                        found.insert(topic);
                    }
                }
                _ => return Err(BrokerError::Protocol("an answer to nothing")),
            }
        }
        Ok(found)
    }

    /// Takes in one acknowledgement.
    fn acknowledged(&mut self) -> Result<(), BrokerError> {
        match self.receive()? {
            Packet::PubAck(ack) => {
                let topic = self.waiting.remove(&ack.pkid);
                let topic = topic.ok_or(BrokerError::Protocol("an acknowledgement of nothing"))?;
                match ack.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
                    reason => Err(BrokerError::NotTaken { topic, reason }),
                }
            }
            // What is cleared is shown to us while we are subscribed to it.
            Packet::Publish(publish) if publish.qos == QoS::AtMostOnce => Ok(()),
            Packet::Publish(publish) => self.send(&Packet::PubAck(PubAck::new(publish.pkid, None))),
            _ => Err(BrokerError::Protocol("an answer to nothing")),
        }
    }

    fn send(&mut self, packet: &Packet) -> Result<(), BrokerError> {
        let mut output = BytesMut::new();
        packet.write(&mut output, self.limit).map_err(|error| match error {
            Error::OutgoingPacketTooLarge { .. } => BrokerError::Lacking("its maximum packet size is below a chunk"),
            error => BrokerError::Malformed(error),
        })?;
        let sent = self.stream.write_all(&output).and_then(|()| self.stream.flush());
        sent.map_err(|error| failed(self.at, error))
    }

    fn receive(&mut self) -> Result<Packet, BrokerError> {
        loop {
            match check(self.input.iter(), Some(MAX_PACKET)) {
                Ok(_) => break,
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(BrokerError::Malformed(error)),
            }
            let mut block = [0; 16 * 1024];
            match self.stream.read(&mut block).map_err(|error| failed(self.at, error))? {
                0 => return Err(failed(self.at, io::ErrorKind::UnexpectedEof.into())),
                count => self.input.extend_from_slice(&block[..count]),
            }
        }
        match Packet::read(&mut self.input, Some(MAX_PACKET)).map_err(BrokerError::Malformed)? {
            Packet::Disconnect(disconnect) => Err(BrokerError::Ended(disconnect.reason_code)),
            packet => Ok(packet),
        }
    }

    fn id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        while self.waiting.contains_key(&self.last_id) {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        }
        self.last_id
    }
}
