//! `casemate appliance`.

mod confirm;
mod enrol;
mod list;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::ApplianceId;

use crate::cli::Context;
use crate::exit::{Exit, Failure};

/// What can be done with appliances.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Answer an appliance's request with a grant; it stays pending until somebody has compared the words
    Enrol(enrol::Args),
    /// Say that the words on the appliance are these: from the next plan on it is addressed
    Confirm(confirm::Args),
    /// List appliances, their groups, how far their enrolment is, and their words
    List(list::Args),
}

/// Runs a verb.
pub(crate) fn run(context: &Context, verb: &Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Enrol(args) => enrol::run(context, args),
        Verb::Confirm(args) => confirm::run(context, args),
        Verb::List(args) => list::run(context, args),
    }
}

/// Why an enrolment goes no further.
#[derive(Debug, thiserror::Error)]
enum EnrolError {
    /// The id is taken by other keys.
    #[error("{0} is enrolled already, with other keys")]
    Taken(ApplianceId),
    /// The keys belong to another id.
    #[error("this device is enrolled already, as {0}")]
    Known(ApplianceId),
    /// The file's name is no id.
    #[error("the file name {0:?} gives no id")]
    NoId(String),
    /// The line in appliances.csv says otherwise.
    #[error("appliances.csv:{line}: {id} serves {written}, the command says {given}")]
    Groups {
        /// Where.
        line: usize,
        /// Whom.
        id: ApplianceId,
        /// As written.
        written: String,
        /// As given.
        given: String,
    },
    /// No group was named.
    #[error("{0} has no line in appliances.csv and no --group was given")]
    NoGroup(ApplianceId),
    /// No such appliance.
    #[error("no appliance {0} has asked to join this site")]
    Unknown(ApplianceId),
    /// The words are others.
    #[error("these are not the words of {0}")]
    Words(ApplianceId),
    /// The request cannot be believed.
    #[error("{0} is no enrolment request")]
    Request(String, #[source] casemate_protocol::device::enrolment::EnrolmentError),
}

impl Explain for EnrolError {
    fn code(&self) -> Code {
        match self {
            Self::Taken(_) | Self::Known(_) => Code::AlreadyEnrolled,
            Self::NoId(_) | Self::NoGroup(_) => Code::UsageInvalid,
            Self::Groups { .. } => Code::SiteInvalid,
            Self::Unknown(_) => Code::UnknownAppliance,
            Self::Words(_) => Code::WordsDiffer,
            Self::Request(_, source) => source.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Taken(id) => {
                format!(
                    "Choose another --id; or, if the old device is gone for good, remove appliances/{id}.json first."
                )
            }
            Self::Known(id) => format!("Use {id}, or remove appliances/{id}.json first."),
            Self::NoId(_) => "Give one with --id: a-z, 0-9 and '-'.".into(),
            Self::NoGroup(_) => "Say --group GROUP, or write the line first.".into(),
            Self::Groups { line, .. } => format!("Correct line {line}, or leave out --group."),
            Self::Unknown(_) => "Run `casemate appliance list` to see who has.".into(),
            other => other.code().remedy().into(),
        }
    }
}
