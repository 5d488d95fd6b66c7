//! Packets out of bytes, by rumqttc's codec, without what trips it.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{Disconnect, DisconnectReasonCode, Packet, check};
use rumqttc::v5::mqttbytes::{Error, v5};

use super::fault::Fault;

/// The next packet of at most `limit` bytes; `None` if it is not here whole.
///
/// Framed first: the codec says "more bytes are needed" also of a packet that is here and broken, and whoever believes
/// that waits for ever.
pub(super) fn next(input: &mut BytesMut, limit: u32) -> Result<Option<Packet>, Fault> {
    match check(input.iter(), Some(limit)) {
        Ok(_) => {}
        Err(Error::InsufficientBytes(more)) => {
            input.reserve(more);
            return Ok(None);
        }
        Err(error) => return Err(Fault::Malformed(error)),
    }
    // The codec wants a reason, and properties after it, where the protocol does not.
    if input.starts_with(&[0xE0, 0]) {
        return Ok(Some(Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection))));
    }
    if let [0xE0, 1, reason, ..] = **input {
        let mut whole = BytesMut::from([0xE0, 2, reason, 0].as_slice());
        return v5::Packet::read(&mut whole, Some(limit)).map(Some).map_err(Fault::Malformed);
    }
    v5::Packet::read(input, Some(limit)).map(Some).map_err(Fault::Malformed)
}

/// What a DISCONNECT of the broker comes to.
pub(super) fn ended(disconnect: &Disconnect) -> Fault {
    let referred = disconnect.properties.as_ref().is_some_and(|properties| properties.server_reference.is_some());
    match disconnect.reason_code {
        DisconnectReasonCode::UseAnotherServer | DisconnectReasonCode::ServerMoved => Fault::Elsewhere,
        _ if referred => Fault::Elsewhere,
        reason => Fault::Disconnected(reason),
    }
}
