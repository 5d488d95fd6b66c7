//! Why a bundle was not left with a broker.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use casemate_protocol::broker::AnnounceError;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, PubAckReason};
use thiserror::Error;

/// Why a bundle was not left with a broker.
#[derive(Debug, Error)]
pub(crate) enum BrokerError {
    /// Nobody there.
    #[error("the broker at {at} was not reached")]
    Unreached {
        /// Where.
        at: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It holds another key.
    #[error("the broker at {at} holds the key {found}, expected {expected}")]
    Untrusted {
        /// Where.
        at: SocketAddr,
        /// SHA-256 of the key it holds.
        found: Digest,
        /// As asked for.
        expected: Digest,
    },
    /// The handshake failed otherwise.
    #[error("the TLS handshake failed")]
    Tls(#[source] rustls::Error),
    /// The publisher's own certificate or key.
    #[error("{} holds no usable {what}", path.display())]
    Material {
        /// Which file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// CONNACK says no.
    #[error("the broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    /// DISCONNECT.
    #[error("the broker ended the connection: {0:?}")]
    Ended(DisconnectReasonCode),
    /// The broker does not want a message.
    #[error("the broker did not take {topic}: {reason:?}")]
    NotTaken {
        /// Which topic.
        topic: String,
        /// Why.
        reason: PubAckReason,
    },
    /// The broker cannot hold bundles.
    #[error("the broker cannot hold a bundle: {0}")]
    Lacking(&'static str),
    /// Bytes that are no packet.
    #[error("the broker sent what is no packet")]
    Malformed(#[source] mqttbytes::Error),
    /// A packet nobody may send here and now.
    #[error("the broker broke the protocol: {0}")]
    Protocol(&'static str),
    /// The bundle cannot be announced.
    #[error("the bundle cannot be announced")]
    Announce(#[from] AnnounceError),
}

impl Explain for BrokerError {
    fn code(&self) -> Code {
        match self {
            Self::Unreached { .. } => Code::PeerUnreached,
            Self::Untrusted { .. } => Code::PeerUntrusted,
            Self::Material { .. } => Code::UsageInvalid,
            Self::Announce(error) => error.code(),
            Self::Refused(ConnectReturnCode::NotAuthorized | ConnectReturnCode::BadUserNamePassword)
            | Self::NotTaken { reason: PubAckReason::NotAuthorized, .. }
            | Self::Tls(_) => Code::CertificateRefused,
            _ => Code::PeerMisbehaved,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreached { .. } => "Check that a broker with TLS listens there.".into(),
            Self::Untrusted { .. } => {
                "Find out who answers there. If the broker changed its key, name the new one with --pin.".into()
            }
            Self::Material { .. } => "Name a PEM file as `casemate ca issue` writes it.".into(),
            Self::Refused(_) | Self::NotTaken { .. } => {
                "Check what the broker's access list lets this certificate publish: docs/mqtt.md has an example. \
                 Chunks already left expire by themselves; publishing again is harmless."
                    .into()
            }
            Self::Lacking(_) => "Allow the broker retained messages, QoS 1 and packets of 264 KiB.".into(),
            other => other.code().remedy().into(),
        }
    }
}
