//! A broker in memory, as good or bad as a test wants it; and a loop that serves orders.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::BytesMut;
use casemate_protocol::code::Code;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, Filter, LastWill, Packet, PingResp, PubAck, PubAckReason, Publish, RetainForwardRule,
    SubAck, SubscribeReasonCode, UnsubAck, UnsubAckReason,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::super::fault::Fault;
use super::super::link::Connect;
use crate::transport::tls::Credentials;

/// Packet ids of what it sends.
const CHUNK: u16 = 8;
const OTHER: u16 = 7;

/// How the broker treats one connection.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// As the protocol says.
    Good,
    /// Not there.
    Absent,
    /// These bytes in answer to CONNECT, then nothing.
    Raw(Vec<u8>),
    /// CONNACK, then these bytes, then nothing.
    Accepting(Vec<u8>),
    /// As the protocol says, but sends so many chunks and is dead as soon as they were acknowledged.
    Dies(usize),
    /// As the protocol says, but what is published gets this answer.
    Acknowledges(PubAckReason),
}

/// What a test sees of it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) attempts: u64,
    pub(super) retained: BTreeMap<String, Vec<u8>>,
    pub(super) published: Vec<(String, Vec<u8>)>,
    /// How often each topic was sent to the appliance.
    pub(super) sent: BTreeMap<String, u32>,
    /// Acknowledgements of chunks.
    pub(super) acknowledged: usize,
    pub(super) wills: Vec<LastWill>,
    manners: VecDeque<Manner>,
    last: Option<Manner>,
}

/// A broker in memory. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Broker(Arc<Mutex<Seen>>);

impl Broker {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap()
    }

    /// Connections to come are treated so, one after the other, the last of them for ever.
    pub(super) fn behaves(&self, manners: impl IntoIterator<Item = Manner>) {
        let mut seen = self.seen();
        seen.manners = manners.into_iter().collect();
        seen.last = None;
    }

    fn manner(&self) -> Manner {
        let mut seen = self.seen();
        let next = seen.manners.pop_front().or_else(|| seen.last.clone()).unwrap_or(Manner::Good);
        seen.last = Some(next.clone());
        next
    }
}

impl Connect for Broker {
    type Stream = DuplexStream;

    async fn connect(&mut self, _: &Credentials) -> Result<DuplexStream, Fault> {
        self.seen().attempts += 1;
        let manner = self.manner();
        if matches!(manner, Manner::Absent) {
            return Err(Fault::Connect { code: Code::PeerUnreached, source: "nobody there".into() });
        }
        let (ours, theirs) = duplex(1 << 20);
        tokio::spawn(serve(self.clone(), theirs, manner));
        Ok(ours)
    }
}

async fn serve(broker: Broker, mut stream: DuplexStream, manner: Manner) -> Option<()> {
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    // Chunks sent, and acknowledged.
    let mut counted = (0, 0);
    loop {
        while let Ok(packet) = Packet::read(&mut input, None) {
            if let (Packet::Connect(..), Manner::Raw(bytes)) = (&packet, &manner) {
                stream.write_all(bytes).await.ok()?;
                continue;
            }
            answer(&broker, packet, &manner, &mut output, &mut counted);
            stream.write_all(&output.split()).await.ok()?;
            if matches!(manner, Manner::Dies(after) if counted.1 >= after) {
                return None;
            }
        }
        if stream.read_buf(&mut input).await.ok()? == 0 {
            return None;
        }
    }
}

fn answer(broker: &Broker, packet: Packet, manner: &Manner, output: &mut BytesMut, counted: &mut (usize, usize)) {
    let mut seen = broker.seen();
    let mut say = |packet: Packet| packet.write(output, None).unwrap();
    match packet {
        Packet::Connect(connect, will, _) => {
            assert!(connect.clean_start);
            seen.wills.extend(will);
            let code = ConnectReturnCode::Success;
            say(Packet::ConnAck(ConnAck { session_present: false, code, properties: None }));
            if let Manner::Accepting(bytes) = manner {
                output.extend_from_slice(bytes);
            }
        }
        Packet::Subscribe(subscribe) => {
            let granted = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); subscribe.filters.len()];
            say(Packet::SubAck(SubAck { pkid: subscribe.pkid, return_codes: granted, properties: None }));
            for Filter { path, retain_forward_rule, .. } in subscribe.filters {
                if let (Some(payload), true) =
                    (seen.retained.get(&path).cloned(), retain_forward_rule != RetainForwardRule::Never)
                {
                    let chunk = path.rsplit('/').next().unwrap().parse::<u32>().is_ok();
                    if chunk && matches!(manner, Manner::Dies(after) if counted.0 >= *after) {
                        continue;
                    }
                    counted.0 += usize::from(chunk);
                    *seen.sent.entry(path.clone()).or_default() += 1;
                    let mut publish = Publish::new(path, QoS::AtLeastOnce, payload, None);
                    publish.pkid = if chunk { CHUNK } else { OTHER };
                    publish.retain = true;
                    say(Packet::Publish(publish));
                }
            }
        }
        Packet::Publish(publish) => {
            let mut ack = PubAck::new(publish.pkid, None);
            if let Manner::Acknowledges(reason) = manner {
                ack.reason = *reason;
            }
            let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
            seen.published.push((topic, publish.payload.to_vec()));
            say(Packet::PubAck(ack));
        }
        Packet::Unsubscribe(unsubscribe) => {
            let reasons = vec![UnsubAckReason::Success; unsubscribe.filters.len()];
            say(Packet::UnsubAck(UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None }));
        }
        Packet::PingReq(_) => {
            say(Packet::PingResp(PingResp));
        }
        Packet::PubAck(ack) => {
            seen.acknowledged += usize::from(ack.pkid == CHUNK);
            counted.1 += usize::from(ack.pkid == CHUNK);
        }
        other => panic!("{other:?}"),
    }
}
