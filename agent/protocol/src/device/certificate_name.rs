//! The name in a certificate: `casemate://<jurisdiction>/<kind>/<id>`, a URI among its subject alternative names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::id::{Jurisdiction, Name};

/// What holders of certificates are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateKind {
    /// An appliance.
    Appliance,
    /// Runs appliances: everything that can be asked from outside.
    Operator,
    /// Brings bundles and takes receipts home.
    Publisher,
    /// Reads health, receipts and the boundary.
    Auditor,
    /// A service of the control plane, such as a repository or a broker: reads health.
    Service,
}

impl CertificateKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Appliance, Self::Operator, Self::Publisher, Self::Auditor, Self::Service];

    /// Its word in the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::Operator => "operator",
            Self::Publisher => "publisher",
            Self::Auditor => "auditor",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for CertificateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a kind of holder.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not appliance, operator, publisher, auditor or service")]
pub struct CertificateKindError(String);

impl FromStr for CertificateKind {
    type Err = CertificateKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || CertificateKindError(text.chars().take(120).collect());
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(refuse)
    }
}

/// Who holds a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateName {
    /// Where: a certificate of another jurisdiction opens nothing.
    pub jurisdiction: Jurisdiction,
    /// As what.
    pub kind: CertificateKind,
    /// Who: an opaque token for a person, the id for an appliance.
    pub id: Name,
}

/// Not a name a certificate has here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no name such as casemate://LU/operator/ops-1")]
pub struct CertificateNameError(String);

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "casemate://{}/{}/{}", self.jurisdiction, self.kind, self.id)
    }
}

impl FromStr for CertificateName {
    type Err = CertificateNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || CertificateNameError(text.chars().take(120).collect());
        let mut parts = text.strip_prefix("casemate://").ok_or_else(refuse)?.split('/');
        let (Some(jurisdiction), Some(kind), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let jurisdiction = jurisdiction.parse().map_err(|_| refuse())?;
        Ok(Self { jurisdiction, kind: kind.parse().map_err(|_| refuse())?, id: id.parse().map_err(|_| refuse())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for kind in CertificateKind::ALL {
            let text = format!("casemate://LU/{kind}/ops-1");
            let name: CertificateName = text.parse().unwrap();
            assert_eq!((name.kind, name.to_string()), (kind, text));
        }
    }

    #[test]
    fn what_is_no_kind_is_told_which_there_are() {
        let told = "pirate".parse::<CertificateKind>().unwrap_err().to_string();
        assert!(CertificateKind::ALL.iter().all(|kind| told.contains(kind.as_str())), "{told}");
    }

    #[test]
    fn everything_else_is_no_name() {
        for text in [
            "",
            "casemate://",
            "casemate://LU/operator",
            "casemate://LU/operator/",
            "casemate://LU/operator/a/b",
            "casemate://LU/Operator/a",
            "casemate://lu/operator/a",
            "casemate://LU/guest/a",
            "https://LU/operator/a",
            "casemate://LU/operator/a?b",
            "casemate://LU/operator/a#b",
            "casemate://u@LU/operator/a",
            " casemate://LU/operator/a",
        ] {
            assert!(text.parse::<CertificateName>().is_err(), "{text}");
        }
    }
}
