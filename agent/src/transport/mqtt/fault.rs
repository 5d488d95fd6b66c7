//! Why a connection with a broker ended.

use std::io;

use casemate_protocol::code::{Code, Explain};
use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use thiserror::Error;

/// Why a connection with a broker ended. Each is followed by another attempt, later.
#[derive(Debug, Error)]
pub(super) enum Fault {
    /// Nobody there, or not who is pinned.
    #[error("cannot connect")]
    Connect {
        /// Which of the two.
        code: Code,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The stream failed.
    #[error("the connection failed")]
    Stream(#[source] io::Error),
    /// The broker closed the stream.
    #[error("the broker closed the connection")]
    Closed,
    /// An answer did not come in time.
    #[error("the broker did not answer in time: {0}")]
    Silent(&'static str),
    /// CONNACK says no.
    #[error("the broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    /// DISCONNECT.
    #[error("the broker ended the connection: {0:?}")]
    Disconnected(DisconnectReasonCode),
    /// The broker names another one. It is not asked who.
    #[error("the broker sends the appliance elsewhere")]
    Elsewhere,
    /// Bytes that are no packet.
    #[error("the broker sent what is no packet")]
    Malformed(#[source] mqttbytes::Error),
    /// A packet nobody may send here and now.
    #[error("the broker broke the protocol: {0}")]
    Protocol(&'static str),
    /// The broker lacks what is needed.
    #[error("the broker cannot serve: {0}")]
    Lacking(&'static str),
    /// The appliance's own certificate, authorities or groups changed: connect anew, at once.
    #[error("the connection's settings changed")]
    Renewed,
}

impl Explain for Fault {
    fn code(&self) -> Code {
        match self {
            Self::Connect { code, .. } => *code,
            Self::Stream(_) | Self::Closed | Self::Silent(_) | Self::Renewed => Code::PeerUnreached,
            Self::Refused(code) if moved(*code) => Code::RedirectIgnored,
            Self::Refused(ConnectReturnCode::ServerUnavailable | ConnectReturnCode::ServerBusy) => Code::PeerUnreached,
            Self::Disconnected(
                DisconnectReasonCode::NormalDisconnection
                | DisconnectReasonCode::ServerBusy
                | DisconnectReasonCode::ServerShuttingDown
                | DisconnectReasonCode::AdministrativeAction
                | DisconnectReasonCode::ConnectionRateExceeded
                | DisconnectReasonCode::MaximumConnectTime,
            ) => Code::PeerUnreached,
            Self::Elsewhere => Code::RedirectIgnored,
            Self::Refused(_) | Self::Disconnected(_) | Self::Malformed(_) | Self::Protocol(_) | Self::Lacking(_) => {
                Code::PeerMisbehaved
            }
        }
    }
}

/// Whether CONNACK's code says "ask another broker".
pub(super) fn moved(code: ConnectReturnCode) -> bool {
    matches!(code, ConnectReturnCode::UseAnotherServer | ConnectReturnCode::ServerMoved)
}
