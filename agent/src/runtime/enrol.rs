//! The three steps of enrolment.

use casemate_protocol::device::enrolment::EnrolmentGrant;
use casemate_protocol::tuf::client::{Client, Rules, Stored};
use casemate_protocol::tuf::floors::{Floors, RootFloor};

use super::error::RuntimeError;
use super::keeper::{Keeper, identity_folder};
use crate::exit::Failure;
use crate::identity::Identity;
use crate::local_api::answer::{ConfirmedEnrolment, PendingEnrolment};
use crate::store::{self, Enrolment, Record};

impl Keeper {
    fn not_enrolled_yet(&self) -> Result<(), RuntimeError> {
        match &self.store.state().enrolment {
            Enrolment::Confirmed(identity) => {
                Err(RuntimeError::AlreadyEnrolled { appliance: identity.appliance.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// The request for this device's keys; makes the keys if there are none. The same request each time.
    pub(super) fn enrol_request(&mut self) -> Result<Vec<u8>, Failure> {
        self.writable()?;
        self.not_enrolled_yet()?;
        if self.identity.is_none() {
            self.identity = Some(Identity::create(&identity_folder(&self.config.state))?);
        }
        let identity = self.identity.as_ref().ok_or(RuntimeError::NoRequest)?;
        let (device, request) = (identity.public().fingerprint(), identity.request()?);
        if self.store.state().enrolment == Enrolment::None {
            self.commit(&[Record::Enrolled { enrolment: Enrolment::Requested { device } }])?;
        }
        Ok(request)
    }

    /// Reads a grant. Nothing is trusted yet: [`Self::enrol_words`] decides.
    pub(super) fn enrol_grant(&mut self, grant: &[u8]) -> Result<PendingEnrolment, Failure> {
        self.writable()?;
        self.not_enrolled_yet()?;
        let grant = EnrolmentGrant::parse(grant)?;
        let expected = self.identity.as_ref().ok_or(RuntimeError::NoRequest)?.public().fingerprint();
        if grant.device != expected {
            return Err(RuntimeError::OtherDevice { expected, found: grant.device }.into());
        }
        let root = grant.root_bytes()?;
        let client = self.trial(&root)?;
        if let Some(found) = client.jurisdiction()
            && found != grant.jurisdiction
        {
            return Err(RuntimeError::Jurisdiction { grant: grant.jurisdiction, root: found }.into());
        }
        let demo = client.is_demo();
        let words = grant.words(expected)?.lines();
        let (appliance, jurisdiction) = (grant.appliance, grant.jurisdiction);
        for root in self.store.objects().put(&[&root])? {
            let identity = store::Identity { appliance: appliance.clone(), jurisdiction, device: expected, root };
            self.commit(&[Record::Enrolled { enrolment: Enrolment::Pending(identity) }])?;
        }
        Ok(PendingEnrolment { appliance, jurisdiction, words, demo })
    }

    /// Confirms the pending grant, if somebody typed its words.
    pub(super) fn enrol_words(&mut self, typed: &str) -> Result<ConfirmedEnrolment, Failure> {
        self.writable()?;
        self.not_enrolled_yet()?;
        let Enrolment::Pending(identity) = self.store.state().enrolment.clone() else {
            return Err(RuntimeError::NothingPending.into());
        };
        let words = casemate_protocol::device::words::Words::new(
            identity.device,
            &identity.appliance,
            identity.jurisdiction,
            identity.root,
        );
        if !words.matches(typed) {
            return Err(RuntimeError::Words.into());
        }
        let root = self.store.objects().read(&identity.root)?;
        let client = self.trial(&root)?;
        let floor = RootFloor { version: client.root().get().version, content: client.root().content_digest() };
        let enrolled =
            ConfirmedEnrolment { appliance: identity.appliance.clone(), jurisdiction: identity.jurisdiction };
        let digest = identity.root;
        self.commit(&[Record::Enrolled { enrolment: Enrolment::Confirmed(identity) }, Record::Root { digest, floor }])?;
        Ok(enrolled)
    }

    /// A client that stands on `root` alone: it refuses a root that is not signed by itself or breaks the profile.
    fn trial(&self, root: &[u8]) -> Result<Client, RuntimeError> {
        let stored = Stored { root: root.to_vec(), floors: Floors::default(), cached: Default::default() };
        Client::new(stored, Rules::Casemate, self.clock()).map_err(RuntimeError::Root)
    }
}
