//! Brokers that mean no good, or know no better.

use std::time::Duration;

use casemate_protocol::broker::Topic;
use casemate_protocol::code::Code;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnAckProperties, ConnectReturnCode, Disconnect, DisconnectProperties, DisconnectReasonCode, Packet,
    PingReq, PubAck, PubRec, Publish, PublishProperties, SubAck, SubscribeReasonCode,
};
use tokio::time::sleep;

use super::super::session::{Outgoing, Session};
use super::broker::{Broker, Manner};
use super::stage::Stage;
use super::{content, leave, scope};

fn raw(packet: &Packet) -> Vec<u8> {
    let mut bytes = bytes::BytesMut::new();
    packet.write(&mut bytes, None).unwrap();
    bytes.to_vec()
}

/// A CONNACK whose properties are as `change` makes them.
fn connack(code: ConnectReturnCode, change: impl Fn(&mut ConnAckProperties)) -> Vec<u8> {
    let mut properties = ConnAckProperties {
        session_expiry_interval: None,
        receive_max: Some(20),
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    };
    change(&mut properties);
    raw(&Packet::ConnAck(ConnAck { session_present: false, code, properties: Some(properties) }))
}

fn publish(topic: &str, qos: QoS, payload: Vec<u8>, properties: Option<PublishProperties>) -> Vec<u8> {
    let mut publish = Publish::new(topic, qos, payload, properties);
    publish.pkid = 1;
    raw(&Packet::Publish(publish))
}

fn elsewhere(reason_code: DisconnectReasonCode) -> Vec<u8> {
    let properties = DisconnectProperties {
        session_expiry_interval: None,
        reason_string: None,
        user_properties: Vec::new(),
        server_reference: Some("192.0.2.66:8883".into()),
    };
    raw(&Packet::Disconnect(Disconnect { reason_code, properties: Some(properties) }))
}

/// What it does, and what that is called.
fn mischief() -> Vec<(&'static str, Manner, Code)> {
    use ConnectReturnCode::{NotAuthorized, ServerBusy, ServerMoved, Success, UseAnotherServer};
    let moved = |code| connack(code, |properties| properties.server_reference = Some("192.0.2.66:8883".into()));
    let flood = publish(&Topic::Announce(&scope()).to_string(), QoS::AtLeastOnce, b"{}".to_vec(), None).repeat(1000);
    let alias = PublishProperties { topic_alias: Some(1), ..PublishProperties::default() };
    let suback =
        SubAck { pkid: 1, return_codes: vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); 9], properties: None };
    let misbehaved = Code::PeerMisbehaved;
    vec![
        ("sends elsewhere, temporarily", Manner::Raw(moved(UseAnotherServer)), Code::RedirectIgnored),
        ("sends elsewhere, for ever", Manner::Raw(moved(ServerMoved)), Code::RedirectIgnored),
        ("sends elsewhere though it accepts", Manner::Raw(moved(Success)), Code::RedirectIgnored),
        ("sends elsewhere later", Manner::Accepting(vec![0xE0, 1, 0x9D]), Code::RedirectIgnored),
        ("sends elsewhere for a while", Manner::Accepting(vec![0xE0, 2, 0x9C, 0]), Code::RedirectIgnored),
        (
            "sends elsewhere in passing",
            Manner::Accepting(elsewhere(DisconnectReasonCode::QuotaExceeded)),
            Code::RedirectIgnored,
        ),
        ("refuses", Manner::Raw(connack(NotAuthorized, |_| {})), misbehaved),
        ("is busy", Manner::Raw(connack(ServerBusy, |_| {})), Code::PeerUnreached),
        ("has no QoS 1", Manner::Raw(connack(Success, |properties| properties.max_qos = Some(0))), misbehaved),
        (
            "retains nothing",
            Manner::Raw(connack(Success, |properties| properties.retain_available = Some(0))),
            misbehaved,
        ),
        ("receives nothing", Manner::Raw(connack(Success, |properties| properties.receive_max = Some(0))), misbehaved),
        (
            "takes tiny packets",
            Manner::Raw(connack(Success, |properties| properties.max_packet_size = Some(8))),
            misbehaved,
        ),
        (
            "wants a packet a second",
            Manner::Raw(connack(Success, |properties| properties.server_keep_alive = Some(1))),
            misbehaved,
        ),
        ("remembers what was not to be kept", Manner::Raw(vec![0x20, 3, 1, 0, 0]), misbehaved),
        ("publishes before CONNACK", Manner::Raw(publish("a", QoS::AtMostOnce, vec![], None)), misbehaved),
        ("asks for authentication", Manner::Accepting(vec![0xF0, 2, 0x18, 0]), misbehaved),
        ("never ends a length", Manner::Accepting(vec![0x30, 0xff, 0xff, 0xff, 0xff, 0xff]), misbehaved),
        ("announces 256 MiB", Manner::Accepting(vec![0x30, 0xff, 0xff, 0xff, 0x7f]), misbehaved),
        ("has a long CONNACK", Manner::Raw(vec![0x20, 0xff, 0xff, 0x7f]), misbehaved),
        ("acknowledges nothing", Manner::Accepting(raw(&Packet::PubAck(PubAck::new(999, None)))), misbehaved),
        ("grants more than was asked", Manner::Accepting(raw(&Packet::SubAck(suback))), misbehaved),
        ("answers no question", Manner::Accepting(vec![0xD0, 0]), misbehaved),
        ("plays client", Manner::Accepting(raw(&Packet::PingReq(PingReq))), misbehaved),
        ("speaks QoS 2", Manner::Accepting(publish("a", QoS::ExactlyOnce, vec![], None)), misbehaved),
        ("receives what was not sent", Manner::Accepting(raw(&Packet::PubRec(PubRec::new(1, None)))), misbehaved),
        ("has aliases", Manner::Accepting(publish("", QoS::AtMostOnce, vec![], Some(alias))), misbehaved),
        ("names no text", Manner::Accepting(vec![0x30, 4, 0, 1, 0xff, 0]), misbehaved),
        ("floods", Manner::Accepting(flood), misbehaved),
        ("shuts down", Manner::Accepting(vec![0xE0, 1, 0x8B]), Code::PeerUnreached),
        ("says goodbye", Manner::Accepting(vec![0xE0, 0]), Code::PeerUnreached),
        ("says nothing", Manner::Raw(vec![]), Code::PeerUnreached),
        ("says half a word", Manner::Raw(vec![0x20]), Code::PeerUnreached),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_a_broker_does_has_a_code_and_the_next_connection_works() {
    for (what, manner, code) in mischief() {
        let broker = Broker::default();
        leave(&broker, &content(2), 2);
        broker.behaves([manner, Manner::Good]);
        let stage = Stage::new(&broker);
        sleep(Duration::from_secs(120)).await;
        let kept = stage.kept();
        assert_eq!(kept.noticed.last(), Some(&code), "{what}: {:?}", kept.noticed);
        assert_eq!(broker.seen().attempts, 2, "{what}");
        assert_eq!(kept.imported.len(), 1, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_misbehaves_for_a_month_is_asked_seldom() {
    for manner in [Manner::Raw(vec![0]), Manner::Accepting(vec![0xE0, 1, 0x8E])] {
        let broker = Broker::default();
        broker.behaves([manner]);
        let _stage = Stage::new(&broker);
        sleep(30 * super::DAY).await;
        let attempts = broker.seen().attempts;
        assert!(attempts <= 9_500, "{attempts}");
    }
}

/// Numbers that look like chance and are always the same (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }
}

#[test]
fn ten_thousand_malformed_packets_break_nothing() {
    let mut chance = Chance(0x5eed);
    let samples = [
        connack(ConnectReturnCode::Success, |properties| properties.reason_string = Some("x".into())),
        publish("casemate/v1/groups/clinics/bundles/announce", QoS::AtLeastOnce, vec![1; 40], None),
        raw(&Packet::PubAck(PubAck::new(1, None))),
        elsewhere(DisconnectReasonCode::QuotaExceeded),
        raw(&Packet::SubAck(SubAck { pkid: 1, return_codes: vec![SubscribeReasonCode::Failure], properties: None })),
    ];
    let accepted = connack(ConnectReturnCode::Success, |_| {});
    let now = std::time::Instant::now();
    let will = Outgoing { topic: "a".into(), payload: vec![], retain: true, correlation: None };
    let mut faults = 0;
    for _ in 0..10_000 {
        let mut bytes = samples[chance.below(samples.len())].clone();
        for _ in 0..=chance.below(4) {
            let at = chance.below(bytes.len());
            match chance.below(4) {
                0 => bytes[at] = chance.next().to_le_bytes()[0],
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, chance.next().to_le_bytes()[0]),
                _ => bytes[at] ^= 1 << chance.below(8),
            }
        }
        let mut session = Session::new("clinic-7", &will, now).unwrap();
        if chance.below(8) > 0 {
            session.input().extend_from_slice(&accepted);
        }
        session.input().extend_from_slice(&bytes);
        let ended = loop {
            match session.advance(now) {
                Ok(true) => {}
                Ok(false) => break false,
                Err(_) => break true,
            }
        };
        faults += usize::from(ended);
        // No more is kept, or asked for, than one packet.
        assert!(session.input().capacity() <= 600_000, "{}", session.input().capacity());
    }
    assert!(faults > 3_000, "{faults}");
}
