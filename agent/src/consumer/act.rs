//! One task: links, validation, unit.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::id::{Name, Owner};
use thiserror::Error;

use super::allow_list::{Link, Rule, Validate, Verb};
use super::child::{self, ChildError};
use super::link::{self, LinkError};
use super::memory::{Memory, Taken};
use super::task::{Permitted, Refusal, Task};
use super::unit::{Systemctl, UnitError};
use crate::exit::Failure;

/// Why a consumer does not work with a generation.
#[derive(Debug, Error)]
pub enum ActError {
    /// The image does not allow it.
    #[error("the image does not allow what the manifest asks")]
    Refused(#[from] Refusal),
    /// A link cannot be set.
    #[error("a target link cannot be set")]
    Link(#[from] LinkError),
    /// The links would lead into somebody else's folder.
    #[error("{root} does not belong to the user who serves the agent's socket, uid {server}")]
    Foreign {
        /// The folder `current`, as the agent names it.
        root: std::path::PathBuf,
        /// Who serves the socket.
        server: u32,
    },
    /// Another owner's file is in use there.
    #[error("{to} belongs to {holder}, whose current generation has a file for it")]
    Held {
        /// The link.
        to: std::path::PathBuf,
        /// Who has it.
        holder: Owner,
    },
    /// The validate command says no.
    #[error("{program} refuses the content ({status}): {output}")]
    Invalid {
        /// Which.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        output: String,
    },
    /// The validate command gave no answer.
    #[error("the validate command has no result")]
    NotValidated(#[source] ChildError),
    /// The unit does not take it up.
    #[error("the unit does not take the change up")]
    Unit(#[from] UnitError),
}

impl ActError {
    /// The word reported as the reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Foreign { .. } => "path-refused",
            Self::Link(LinkError::Taken { .. }) | Self::Held { .. } => "link-taken",
            Self::Link(LinkError::Unsafe { .. }) => "link-unsafe",
            Self::Link(LinkError::Failed { .. }) => "link-failed",
            Self::Invalid { .. } | Self::NotValidated(ChildError::Start { .. }) => "validate-failed",
            Self::NotValidated(ChildError::Slow { .. }) => "validate-timeout",
            Self::Unit(UnitError::NoResult { source: ChildError::Slow { .. }, .. }) => "unit-timeout",
            Self::Unit(_) => "unit-failed",
        }
    }
}

impl Explain for ActError {
    fn code(&self) -> Code {
        Code::ConsumerFailed
    }

    fn remedy(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.remedy(),
            Self::Link(LinkError::Taken { .. }) => {
                "Move away what stands there, or let the image name another place.".into()
            }
            Self::Link(_) => "Name a folder that, with all above it, is no link and belongs to root alone.".into(),
            Self::Foreign { .. } => {
                "Find out who answers on the consumer socket: it is not the agent of this state.".into()
            }
            Self::Held { holder, .. } => format!("Let only one of the owners have the file; {holder} has it now."),
            Self::Invalid { .. } => "Correct the content the command names and sign it again.".into(),
            Self::NotValidated(_) => "Correct validate or validate_within in the image's file.".into(),
            Self::Unit(_) => "See the unit's own log; correct the content and sign it again.".into(),
        }
    }
}

/// What came of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// The unit runs with these very files already and was not touched.
    Unchanged,
    /// The unit took them up, or needs nothing to.
    TakenUp,
}

/// What acting needs beside the task.
#[derive(Debug)]
pub struct Hands {
    /// What each unit runs with.
    pub memory: Memory,
    /// How units are touched.
    pub systemctl: Systemctl,
    /// The user who serves the agent's socket: links lead only into what is his.
    pub server: u32,
}

impl Hands {
    /// Makes `task` true. `others` are the owners that hold links of this consumer by right.
    ///
    /// What fails before the unit is touched leaves links as they were.
    ///
    /// # Errors
    /// It cannot be made true; the unit runs with what it had, unless the reason is the unit's own.
    pub async fn act(&mut self, task: &Task, rule: Option<&Rule>, others: &[&Task]) -> Result<Done, ActError> {
        let permitted = task.permit(rule)?;
        let rule = permitted.rule;
        let taken = Taken::Up(task.fingerprint(rule));
        let mut changes = Vec::new();
        let linked = self.owns(&permitted).and_then(|()| links(task, &permitted, others, &mut changes));
        if linked.is_ok() && changes.is_empty() && self.memory.of(&task.consumer, &task.owner) == Some(taken) {
            return Ok(Done::Unchanged);
        }
        let valid = match (linked, &rule.validate) {
            (Ok(()), Some(command)) => validate(command).await,
            (linked, _) => linked,
        };
        if let Err(error) = valid {
            for change in changes.iter().rev() {
                if let Err(error) = change.undo() {
                    tracing::error!(%error, "a link could not be put back");
                }
            }
            return Err(error);
        }
        if let Some(verb) = permitted.verb {
            self.touch(&task.consumer, &task.owner, rule, verb).await?;
        }
        self.memory.note(&task.consumer, &task.owner, Some(taken));
        Ok(Done::TakenUp)
    }

    fn owns(&self, permitted: &Permitted<'_>) -> Result<(), ActError> {
        let root = permitted.root();
        let found = std::fs::symlink_metadata(root);
        if found.is_ok_and(|found| found.is_dir() && found.uid() == self.server) {
            return Ok(());
        }
        Err(ActError::Foreign { root: root.into(), server: self.server })
    }

    /// Owners that have something of `consumer`: a link, or a unit that took their files up.
    #[must_use]
    pub fn holders(&self, consumer: &Name, rule: &Rule) -> BTreeSet<Owner> {
        let linked = |link: &Link| link::owner_of(&std::fs::read_link(&link.to).ok()?, &link.from);
        let noted = self.memory.pairs().into_iter().filter(|(name, _)| name == consumer).map(|(_, owner)| owner);
        rule.links.iter().filter_map(linked).chain(noted).collect()
    }

    /// Takes away what `gone` owners have of `consumer`: links, and what its unit still runs with. Nobody waits for it,
    /// so what fails is only said.
    pub async fn clear(&mut self, consumer: &Name, rule: &Rule, gone: &BTreeSet<Owner>) {
        for link in &rule.links {
            let stale = |found: &Path| link::owner_of(found, &link.from).is_some_and(|owner| gone.contains(&owner));
            match link::remove(&link.to, stale) {
                Ok(Some(_)) => tracing::info!(%consumer, path = %link.to.display(), "a link was taken away"),
                Ok(None) => {}
                Err(error) => tracing::error!(%consumer, %error, "a link cannot be taken away"),
            }
        }
        for owner in gone {
            if self.memory.of(consumer, owner).is_some() {
                match self.without(consumer, owner, rule).await {
                    Ok(()) => tracing::info!(%consumer, %owner, unit = rule.unit, "the unit runs without what left"),
                    Err(error) => {
                        let (reason, error) = (error.reason(), Failure::of(&error).told());
                        tracing::error!(%consumer, %owner, unit = rule.unit, reason, error, "the unit may still use what left");
                    }
                }
                self.memory.note(consumer, owner, None);
            }
        }
    }

    async fn without(&mut self, consumer: &Name, owner: &Owner, rule: &Rule) -> Result<(), ActError> {
        let Some(verb) = rule.verbs.first() else { return Ok(()) };
        if let Some(command) = &rule.validate {
            validate(command).await?;
        }
        self.touch(consumer, owner, rule, *verb).await
    }

    async fn touch(&mut self, consumer: &Name, owner: &Owner, rule: &Rule, verb: Verb) -> Result<(), ActError> {
        // First: killed in the middle, the helper must not believe that the unit still has what it had.
        self.memory.note(consumer, owner, Some(Taken::Unknown));
        Ok(self.systemctl.take_up(&rule.unit, verb, rule.unit_within).await?)
    }
}

fn links(
    task: &Task,
    permitted: &Permitted<'_>,
    others: &[&Task],
    changes: &mut Vec<link::Change>,
) -> Result<(), ActError> {
    for link in &permitted.rule.links {
        let owner = |found: &Path| link::owner_of(found, &link.from);
        if !task.has(&link.from) {
            changes.extend(link::remove(&link.to, |found| owner(found).as_ref() == Some(&task.owner))?);
            continue;
        }
        let holder = |found: &Path| {
            let holder = owner(found).filter(|holder| *holder != task.owner)?;
            others.iter().any(|other| other.owner == holder && other.has(&link.from)).then_some(holder)
        };
        let gives_way = |found: &Path| owner(found).is_some() && holder(found).is_none();
        match link::set(&link.to, &permitted.target(link), gives_way) {
            Ok(change) => changes.extend(change),
            Err(error @ LinkError::Taken { .. }) => {
                let held = std::fs::read_link(&link.to).ok().and_then(|found| holder(&found));
                let held = held.map(|holder| ActError::Held { to: link.to.clone(), holder });
                return Err(held.unwrap_or_else(|| error.into()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn validate(command: &Validate) -> Result<(), ActError> {
    let ended = child::run(&command.program, &command.arguments, command.within).await;
    let ended = ended.map_err(ActError::NotValidated)?;
    if ended.status.success() {
        return Ok(());
    }
    let program = command.program.display().to_string();
    Err(ActError::Invalid { program, status: ended.status, output: ended.output })
}
