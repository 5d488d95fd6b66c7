//! A plan on its way to be published: holds the repository's lock from reading to writing.

use std::collections::BTreeMap;

use casemate_protocol::code::{Code, Explain};
use casemate_protocol::tuf::role::{RoleName, Version};
use casemate_protocol::tuf::time::UtcTime;
use thiserror::Error;

use super::request::Request;
use crate::exit::Failure;
use crate::plan::Plan;
use crate::repository::editor::Draft;
use crate::repository::{Editor, Lock, Place, RepositoryError, State, Writer};
use crate::signer::Keyring;
use crate::site::Layout;
use crate::site::settings::{self, Settings};

/// There is nothing to sign.
#[derive(Debug, Error)]
#[error("nothing differs from the last signed state")]
pub(crate) struct NothingToDo;

impl Explain for NothingToDo {
    fn code(&self) -> Code {
        Code::NothingToDo
    }

    fn remedy(&self) -> String {
        "Nothing to do; to issue everything again before it expires, run `casemate plan --renew`.".into()
    }
}

/// A plan, its site and the repository, under lock.
#[derive(Debug)]
pub(crate) struct Publication {
    layout: Layout,
    lock: Lock,
    state: State,
    settings: Settings,
    /// The plan.
    pub(crate) plan: Plan,
    /// Signing time.
    now: UtcTime,
}

impl Publication {
    /// Takes the lock and reads plan and repository.
    ///
    /// # Errors
    /// Somebody else writes, or the plan is stale or absent.
    pub(crate) fn open(layout: Layout, now: UtcTime) -> Result<Self, Failure> {
        let place = Place::new(layout.repository());
        let lock = Lock::take(&place)?;
        let state = State::read(place)?;
        let settings = Settings::parse(&layout.text(settings::FILE)?)?;
        let plan = Plan::read(&layout, &state)?;
        Ok(Self { layout, lock, state, settings, plan, now })
    }

    /// The request for everybody's signatures.
    ///
    /// # Errors
    /// Nothing is to be signed.
    pub(crate) fn request(&self) -> Result<Request, Failure> {
        let drafts = self.editor().drafts(&self.plan.content, self.plan.renewal)?;
        if drafts.is_empty() {
            return Err(NothingToDo.into());
        }
        let signers = self.editor().all_signers(&drafts);
        Ok(Request::new(self.plan.digest()?, self.plan.summary.clone(), drafts, signers))
    }

    /// Publishes `documents`, the signed `drafts`; snapshot and timestamp are signed with `keyring`.
    ///
    /// # Errors
    /// Too few have signed, or writing fails; nothing is published then.
    pub(crate) fn publish(
        self,
        drafts: &[Draft],
        documents: &BTreeMap<RoleName, Vec<u8>>,
        keyring: &Keyring,
    ) -> Result<Vec<(RoleName, Version)>, Failure> {
        let issue = self.editor().issue(drafts, documents, keyring)?;
        let targets = self.plan.new_targets(&self.layout, &self.state.place)?;
        Writer::new(&self.state.place, &self.lock).publish(&targets, &issue)?;
        Plan::discard(&self.layout)?;
        Ok(issue.metadata.into_iter().map(|(role, version, _)| (role, version)).collect())
    }

    /// Where the site is.
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn editor(&self) -> Editor<'_> {
        Editor { state: &self.state, settings: &self.settings, now: self.now }
    }
}

/// Checks that site.toml and the root agree.
///
/// # Errors
/// The jurisdictions differ.
pub(crate) fn same_jurisdiction(settings: &Settings, state: &State) -> Result<(), RepositoryError> {
    let bound = state.profile()?.jurisdiction;
    if settings.jurisdiction == bound {
        return Ok(());
    }
    Err(RepositoryError::Jurisdiction {
        file: settings::FILE,
        line: settings.jurisdiction_line,
        written: settings.jurisdiction.to_string(),
        bound: bound.to_string(),
    })
}
