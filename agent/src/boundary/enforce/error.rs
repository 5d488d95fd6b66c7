//! Why the enforcer cannot do its work. What is wrong with an *offer* is no error of this kind: it is refused, and the
//! last good one stays.

use std::path::PathBuf;

use casemate_protocol::boundary::offer::OfferError;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::enrolment::EnrolmentError;
use thiserror::Error;

use super::nft::NftError;
use crate::consumer::trusted::TrustError;

/// What keeps the enforcer from its work.
#[derive(Debug, Error)]
pub enum EnforceError {
    /// Somebody else than root asks.
    #[error("this is uid {0}, root is needed")]
    NotRoot(u32),
    /// Nobody pinned the boundary's root.
    #[error("nothing is pinned in {0}: it is not known whose boundary this machine has")]
    NotPinned(PathBuf),
    /// Pinned to another grant.
    #[error("{0} holds another pin")]
    Pinned(PathBuf),
    /// The enforcer's folder is open to others, or cannot be used.
    #[error("the enforcer's folder cannot be used")]
    Folder(#[from] TrustError),
    /// A file operation failed.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What the enforcer keeps is torn or rotten, in every copy.
    #[error("{path} is damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The anchor cannot be read.
    #[error("the pin is damaged")]
    Anchor(#[source] OfferError),
    /// The grant cannot be read.
    #[error("the grant is refused")]
    Grant(#[from] EnrolmentError),
    /// The grant's root cannot be used.
    #[error("the grant cannot be pinned")]
    Root(#[source] OfferError),
    /// The typed words are others.
    #[error("the words differ")]
    Words,
    /// The kernel did not take the rules.
    #[error("the kernel did not take the rules; those loaded before are still in force")]
    Nft(#[from] NftError),
}

impl Explain for EnforceError {
    fn code(&self) -> Code {
        match self {
            Self::NotRoot(_) => Code::WrongUser,
            Self::NotPinned(_) => Code::NotEnrolled,
            Self::Pinned(_) => Code::AlreadyEnrolled,
            Self::Folder(_) | Self::File { .. } => Code::StateUnavailable,
            Self::Damaged { .. } | Self::Anchor(_) => Code::StateDamaged,
            Self::Grant(error) => error.code(),
            Self::Root(error) => error.code(),
            Self::Words => Code::WordsDiffer,
            Self::Nft(_) => Code::BoundaryNotEnforced,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NotRoot(_) => "Run it as root, as casemate-boundary.service does.".into(),
            Self::NotPinned(_) => "Run `casemate-agent boundary pin GRANT` with the appliance's grant; `--deny-all` \
                                   closes the machine until then."
                .into(),
            Self::Pinned(folder) => format!(
                "Nothing to do if that is right. To pin anew, move {} away first: then older boundaries are accepted \
                 once more.",
                folder.display()
            ),
            Self::Damaged { .. } | Self::Anchor(_) => {
                "What is loaded stays. Move the enforcer's folder away and run `casemate-agent boundary pin` again."
                    .into()
            }
            Self::Nft(_) => {
                "Check that the package nftables is installed and the kernel has nf_tables with inet, arp, \
                             conntrack and log; the message above is from `nft`."
                    .into()
            }
            other => other.code().remedy().into(),
        }
    }
}
