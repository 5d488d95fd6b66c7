//! What the store thread keeps: the state folder, the generations, the device's keys.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use casemate_engine::time::Now;
use casemate_engine::update::State;
use casemate_protocol::boundary::Policy;
use casemate_protocol::code::Code;
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::health::HealthState;
use casemate_protocol::evidence::receipt::JournalPosition;
use casemate_protocol::tuf::role::RoleName;
use casemate_protocol::tuf::time::{Clock, UtcTime};
use tokio::sync::watch;

use super::boundary::{Handed, narrowing};
use super::duties::Duties;
use super::error::RuntimeError;
use super::links::{Contacts, Expectations};
use super::news;
use crate::apply::Trees;
use crate::boundary::connect::Door;
use crate::config::Config;
use crate::exit::Failure;
use crate::identity::Identity;
use crate::local_api::event::EventKind;
use crate::local_api::hub::Hub;
use crate::store::{self, Enrolment, Options, Record, Recovery, Refusal, Stamp, Store, StoreError};
use crate::transport::backend::News;
use crate::transport::tls::{Credentials, SignedTime};

/// The hidden first argument that makes the program read the store's second copy in a process of its own.
pub const PROBE_ARGUMENT: &str = "store-probe";

/// Everything that is owned by one thread alone.
pub(super) struct Keeper {
    pub(super) config: Config,
    pub(super) store: Store,
    pub(super) trees: Trees,
    pub(super) identity: Option<Identity>,
    /// A root that was in force when it was asked, and whether it says `demo`.
    pub(super) demo: Cell<Option<(Digest, bool)>>,
    /// Why changes are refused, if they are.
    pub(super) damage: Option<String>,
    /// Refusals of input that never verified, exactly; the journal knows them to the next power of two.
    pub(super) refusals: BTreeMap<Code, Refusal>,
    /// Where changes are told.
    pub(super) hub: Hub,
    /// What is told together with the next change of an owner.
    pub(super) ahead: Vec<EventKind>,
    /// What has to be watched, told to the loop's vigil.
    pub(super) duties: watch::Sender<Duties>,
    /// Journal size at which duties were told last; none if they have to be told again.
    pub(super) told: Option<u64>,
    /// What was due could not be done: it is tried again.
    pub(super) stuck: Option<Code>,
    /// What the site takes away from every boundary; read once.
    pub(super) site: Option<Policy>,
    /// The way to peers of the policy in force.
    pub(super) door: Door,
    /// What was handed over last.
    pub(super) handed: Option<Handed>,
    /// This process has to be started anew before it can do what the state asks.
    pub(super) restart: watch::Sender<bool>,
    /// What is known of peers and of the listener.
    pub(super) contacts: Contacts,
    /// What waits for the control plane.
    pub(super) expectations: Expectations,
    /// What connections are made with, told to the transports.
    pub(super) credentials: watch::Sender<Option<Arc<Credentials>>>,
    /// The same for all of them.
    pub(super) signed_time: SignedTime,
    /// Why the signed settings of the transports cannot be used, if they cannot.
    pub(super) transports_fault: Option<Code>,
    /// The state of health that was told to the transports last.
    pub(super) told_health: Option<(HealthState, Vec<Code>)>,
    /// What there is to say to peers, told to the transports.
    pub(super) news: watch::Sender<News>,
    /// A bundle is being read: objects that nothing leads to yet may be part of it.
    pub(super) importing: bool,
    /// A bundle from the network gave way to another: what was staged of it waits for it to come again.
    pub(super) gave_way: bool,
    /// Objects may be there that nothing leads to any more.
    pub(super) untidy: bool,
}

impl Keeper {
    /// Opens the state and finishes what a crash interrupted: lock → journal → identity → copy → objects → pending
    /// effects → pending receipt.
    pub(super) fn open(config: Config) -> Result<Self, Failure> {
        let probe = Some((config.program.clone(), vec![PROBE_ARGUMENT.into()]));
        let (store, recovery) = Store::open(&config.state, &Options { probe })?;
        match &recovery {
            Recovery::Fresh | Recovery::Clean => {}
            Recovery::Replayed { records, cut } => tracing::info!(records, cut, "the last run did not end in order"),
            Recovery::Quarantine { damage } => tracing::error!(%damage, "the state is damaged"),
        }
        let damage = match recovery {
            Recovery::Quarantine { damage } => Some(damage.to_string()),
            _ => None,
        };
        let identity = Identity::open(&identity_folder(&config.state))?;
        let trees = Trees::new(&config.state);
        let refusals = store.state().refusals.clone();
        let contacts = Contacts::new(&store.state().notices);
        let hub = Hub::new(store.position().size);
        let site = narrowing(&config.boundary.site);
        let mut keeper = Self {
            site,
            door: Door::new(Arc::default()),
            handed: None,
            restart: watch::Sender::new(false),
            config,
            store,
            trees,
            identity,
            demo: Cell::default(),
            damage,
            refusals,
            hub,
            ahead: Vec::new(),
            duties: watch::Sender::new(Duties::default()),
            told: None,
            stuck: None,
            contacts,
            expectations: Expectations::default(),
            credentials: watch::Sender::new(None),
            signed_time: SignedTime::default(),
            transports_fault: None,
            told_health: None,
            news: watch::Sender::new(News::default()),
            importing: false,
            gave_way: false,
            untidy: false,
        };
        keeper.check_keys()?;
        if keeper.damage.is_none()
            && let Err(failure) = keeper.recover()
        {
            tracing::error!(code = %failure.code, "what the last run left undone cannot be done now");
            keeper.stuck = Some(failure.code);
        }
        keeper.tell_duties();
        Ok(keeper)
    }

    /// Closes in order.
    pub(super) fn close(self) -> Result<(), Failure> {
        let stamp = self.stamp();
        if self.damage.is_some() {
            return Ok(());
        }
        Ok(self.store.close(stamp)?)
    }

    fn check_keys(&self) -> Result<(), RuntimeError> {
        let expected = match &self.store.state().enrolment {
            Enrolment::None => return Ok(()),
            Enrolment::Requested { device } => *device,
            Enrolment::Pending(identity) | Enrolment::Confirmed(identity) => identity.device,
        };
        let found = self.identity.as_ref().map(|identity| identity.public().fingerprint());
        if found == Some(expected) {
            return Ok(());
        }
        Err(RuntimeError::OtherKeys { expected, found: found.map_or_else(|| "none".into(), |found| found.to_string()) })
    }

    /// The time as TUF judges it.
    pub(super) fn clock(&self) -> Clock {
        self.config.clock.read()
    }

    /// The newest signed time accepted.
    pub(super) fn signed_at(&self) -> Option<UtcTime> {
        self.store.state().floors.floors.time.as_ref().map(|floor| floor.at)
    }

    /// The time as the update engine judges it.
    pub(super) fn now(&self) -> Now {
        let judged = self.clock().judge(self.signed_at());
        Now { moment: self.config.clock.moment(), wall: judged.now, clock: judged.quality }
    }

    /// Nothing is under way for any owner, nor for the boundary.
    pub(super) fn is_settled(&self) -> bool {
        !self.is_boundary_on_trial() && self.store.state().owners.values().all(State::is_settled)
    }

    pub(super) fn stamp(&self) -> Stamp {
        let clock = self.clock();
        Stamp { wall: clock.wall, clock: clock.judge(self.signed_at()).quality }
    }

    pub(super) fn commit(&mut self, records: &[Record]) -> Result<JournalPosition, StoreError> {
        let stamp = self.stamp();
        let position = self.store.commit(stamp, records)?;
        self.hub.publish(position.size, news::of_all(records));
        Ok(position)
    }

    /// Refuses if nothing may change.
    pub(super) fn writable(&self) -> Result<(), RuntimeError> {
        match &self.damage {
            Some(damage) => Err(RuntimeError::Damaged { damage: damage.clone() }),
            None => Ok(()),
        }
    }

    /// As whom the appliance is enrolled.
    pub(super) fn confirmed(&self) -> Result<store::Identity, RuntimeError> {
        match &self.store.state().enrolment {
            Enrolment::Confirmed(identity) => Ok(identity.clone()),
            _ => Err(RuntimeError::NotEnrolled),
        }
    }

    /// Digest of the snapshot in force.
    pub(super) fn snapshot(&self) -> Option<Digest> {
        self.store.state().trust.roles.get(&RoleName::snapshot()).copied()
    }

    /// Version of the newest accepted timestamp.
    pub(super) fn timestamp_version(&self) -> Option<u64> {
        self.store.state().floors.floors.timestamp.as_ref().map(|floor| floor.version.get())
    }
}

/// Where the device's keys stand.
pub(super) fn identity_folder(state: &Path) -> PathBuf {
    state.join("identity")
}
