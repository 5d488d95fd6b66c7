//! Who asks.

use std::fmt;
use std::sync::Arc;

use casemate_protocol::device::certificate_name::{CertificateKind, CertificateName};

use super::routes::Route;
use crate::config::Role;

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody on this machine, by the socket he came through.
    Local(Role),
    /// Somebody elsewhere, by the certificate he showed.
    Remote(Arc<CertificateName>),
}

impl Caller {
    /// Whether the route is for him.
    pub(super) fn may(&self, route: &Route) -> bool {
        match self {
            Self::Local(role) => route.roles.contains(role),
            Self::Remote(name) => route.kinds.contains(&name.kind),
        }
    }

    /// The certificate he showed, if he is elsewhere.
    pub(super) fn certificate(&self) -> Option<&CertificateName> {
        match self {
            Self::Local(_) => None,
            Self::Remote(name) => Some(name),
        }
    }

    /// Whether he is told who sent what beyond the boundary.
    pub(super) fn sees_drops(&self) -> bool {
        match self {
            Self::Local(role) => *role == Role::Admin,
            Self::Remote(name) => name.kind == CertificateKind::Operator,
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(role) => write!(f, "the {role} socket"),
            Self::Remote(name) => write!(f, "the certificate of {} {}", article(name.kind), name.kind),
        }
    }
}

const fn article(kind: CertificateKind) -> &'static str {
    match kind {
        CertificateKind::Appliance | CertificateKind::Operator | CertificateKind::Auditor => "an",
        CertificateKind::Publisher | CertificateKind::Service => "a",
    }
}
