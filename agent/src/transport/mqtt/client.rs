//! What the appliance wants of a broker, whichever connection it has just now: bundles in, receipts and health out.
//!
//! Outlives connections. Knows no socket; asks the loop for what it needs by [`Want`]s.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use casemate_protocol::broker::{Announce, Ask, Presence, Scope, Topic, is_answer_topic};
use casemate_protocol::code::{Class, Code, Explain};
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::digest::Hasher;

use super::desk::{Answer, Desk, Step};
use super::fault::Fault;
use super::offers::{Offer, Offers};
use super::session::{Event, Message, Outgoing, Retained, Session};
use super::spool::{Spool, SpoolError, Spooled};
use super::transfer::{Transfer, Verdict};

/// Topics in one SUBSCRIBE packet.
const TOPICS: usize = 16;
/// Messages a minute that nobody asked for: announcements, requests, duplicates. More is a flood.
const STRAY: u32 = 240;
const MINUTE: Duration = Duration::from_secs(60);
/// Longest correlation data echoed, bytes.
const MAX_CORRELATION: usize = 256;

/// What is asked of the loop.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The health report.
    Health,
    /// Receipts after this one.
    Receipts(u64),
    /// A receipt is home.
    Delivered(u64),
    /// A bundle is whole.
    Import(PathBuf),
    /// Something is to be pulled.
    Look,
    /// The broker has answered what was sent then.
    RoundTrip(Instant),
    /// To be remembered of the broker.
    Noticed(Code),
}

/// What is to be done between two packets.
#[derive(Debug)]
pub(super) enum Work {
    /// This bundle is to be fetched.
    Open(Offer),
    /// Every chunk of this one is here.
    Check(Transfer, Spooled),
}

/// What the appliance wants of a broker.
#[derive(Debug)]
pub(super) struct Client {
    id: ApplianceId,
    scopes: Vec<Scope>,
    spool: Spool,
    offers: Offers,
    transfer: Option<(Transfer, Spooled)>,
    importing: Option<Offer>,
    desk: Desk,
    up: bool,
    /// This connection has brought a chunk, or taken a receipt.
    progress: bool,
    wants: VecDeque<Want>,
    stray: (u32, Instant),
}

impl Client {
    /// Nothing is known yet of what is announced.
    pub(super) fn new(id: ApplianceId, spool: Spool, now: Instant) -> Self {
        let offers = Offers::remembering(spool.had());
        let desk = Desk::new(id.clone(), now);
        let wants = VecDeque::new();
        Self {
            id,
            scopes: vec![],
            spool,
            offers,
            transfer: None,
            importing: None,
            desk,
            up: false,
            progress: false,
            wants,
            stray: (0, now),
        }
    }

    /// What the broker says once we are gone.
    pub(super) fn will(&self) -> Outgoing {
        self.desk.presence(Presence::Offline)
    }

    /// A connection begins, for an appliance in these groups.
    pub(super) fn begin(&mut self, groups: &[Name], now: Instant) {
        self.scopes = vec![Scope::Appliance(self.id.clone())];
        self.scopes.extend(groups.iter().cloned().map(Scope::Group));
        self.offers.begin(&self.scopes, now);
        self.stray = (0, now);
    }

    /// The connection has ended; whether it brought anything on.
    pub(super) fn end(&mut self) -> bool {
        self.up = false;
        self.desk.down();
        std::mem::take(&mut self.progress)
    }

    /// What is asked of the loop, oldest first.
    pub(super) fn want(&mut self) -> Option<Want> {
        self.wants.pop_front()
    }

    /// Takes in what happened.
    pub(super) fn event(&mut self, session: &mut Session, event: Event, now: Instant) -> Result<(), Fault> {
        match event {
            Event::Up => self.came_up(session, now),
            Event::Message(message) => self.message(&message, now),
            Event::Published(id, outcome) => {
                let home = self.desk.published(id, outcome, now);
                self.progress |= home.is_some();
                self.wants.extend(home.map(Want::Delivered));
                Ok(())
            }
            Event::Subscribed(granted) => {
                let refused = granted.iter().filter(|granted| !**granted).count();
                if refused > 0 {
                    tracing::warn!(count = refused, "the broker grants not every subscription");
                }
                Ok(())
            }
            Event::Answered(began) => {
                self.wants.push_back(Want::RoundTrip(began));
                Ok(())
            }
        }
    }

    fn came_up(&mut self, session: &mut Session, now: Instant) -> Result<(), Fault> {
        self.up = true;
        self.desk.up(now);
        session.subscribe(&[Topic::Requests(&self.id).to_string()], Retained::Unwanted, now)?;
        let announcements: Vec<_> = self.scopes.iter().map(|scope| Topic::Announce(scope).to_string()).collect();
        for topics in announcements.chunks(TOPICS) {
            session.subscribe(topics, Retained::Wanted, now)?;
        }
        if let Some((transfer, _)) = &mut self.transfer {
            transfer.reconnected(now);
        }
        Ok(())
    }

    fn message(&mut self, message: &Message, now: Instant) -> Result<(), Fault> {
        if let Some((transfer, spooled)) = &mut self.transfer
            && let Some(index) = transfer.index(&message.topic)
        {
            match transfer.received(index, &message.payload, now) {
                Verdict::Good(offset) => {
                    if let Err(error) = spooled.put(offset, &message.payload) {
                        transfer.lost(index, now);
                        self.give_up(&error, now);
                    }
                    self.progress = true;
                    return Ok(());
                }
                Verdict::Again => {}
                Verdict::Wrong => self.misbehaved("wrong-chunk"),
                Verdict::Hopeless => {
                    self.misbehaved("wrong-chunk");
                    self.failed(now);
                }
            }
            return self.strayed(now);
        }
        self.strayed(now)?;
        if let Some(scope) = self.scopes.iter().find(|scope| Topic::Announce(scope).to_string() == message.topic) {
            let scope = scope.clone();
            self.announced(scope, message, now);
        } else if message.topic == Topic::Requests(&self.id).to_string() {
            self.requested(message, now);
        }
        Ok(())
    }

    /// One more message nobody asked for.
    fn strayed(&mut self, now: Instant) -> Result<(), Fault> {
        if now.saturating_duration_since(self.stray.1) >= MINUTE {
            self.stray = (0, now);
        }
        self.stray.0 += 1;
        if self.stray.0 > STRAY { Err(Fault::Protocol("a flood of messages")) } else { Ok(()) }
    }

    fn announced(&mut self, scope: Scope, message: &Message, now: Instant) {
        if message.payload.is_empty() {
            self.offers.withdrawn(&scope);
            return;
        }
        match Announce::parse(&message.payload) {
            Ok(announce) => self.offers.announced(scope, announce, !message.retained, now),
            Err(error) => {
                tracing::warn!(error = %error, "an announcement cannot be used");
                self.wants.push_back(Want::Noticed(error.code()));
            }
        }
    }

    fn requested(&mut self, message: &Message, now: Instant) {
        let topic = match &message.answer_to {
            None => Topic::Health(&self.id).to_string(),
            Some(topic) if is_answer_topic(&self.id, topic) => topic.clone(),
            Some(_) => return self.misbehaved("answer-elsewhere"),
        };
        let long = message.correlation.as_ref().is_some_and(|data| data.len() > MAX_CORRELATION);
        if message.retained || long || Ask::parse(&message.payload).is_err() {
            return self.misbehaved("no-request");
        }
        if !self.desk.ask(Answer { topic, correlation: message.correlation.clone() }, now) {
            tracing::debug!("requests come too often; not answered");
        }
    }

    fn misbehaved(&mut self, reason: &'static str) {
        tracing::warn!(reason, "thrown away what came from the broker");
        self.wants.push_back(Want::Noticed(Code::PeerMisbehaved));
    }

    /// Does what is due. What it answers is to be done now: [`Client::work`].
    pub(super) fn turn(&mut self, session: &mut Session, now: Instant) -> Result<Option<Work>, Fault> {
        if !self.up {
            return Ok(None);
        }
        self.offers.settle(now);
        self.speak(session, now)?;
        if self.offers.take_pull(now) {
            self.wants.push_back(Want::Look);
        }
        if self.importing.is_some() {
            return Ok(None);
        }
        if let Some((transfer, _)) = &self.transfer
            && transfer.is_stalled(now)
        {
            tracing::warn!(digest = %transfer.bundle().bundle, count = transfer.held(), "the rest of the bundle is not there");
            self.failed(now);
        }
        let Some((transfer, _)) = &mut self.transfer else { return Ok(self.offers.best(now).map(Work::Open)) };
        let replaced = !self.offers.stands(transfer.offer());
        // Other trees wait until this one is done with or has failed, whatever version they claim.
        if replaced || self.offers.rests(&transfer.offer().scope, now) {
            let leave = transfer.leave();
            if replaced {
                self.offers.replaced(transfer.offer(), now);
            }
            self.transfer = None;
            if !leave.is_empty() {
                session.unsubscribe(leave, now)?;
            }
            return Ok(self.offers.best(now).map(Work::Open));
        }
        let (ask, leave) = transfer.turn(now);
        let whole = transfer.is_whole();
        if !ask.is_empty() {
            session.subscribe(&ask, Retained::Wanted, now)?;
        }
        if !leave.is_empty() {
            session.unsubscribe(leave, now)?;
        }
        Ok(if whole { self.transfer.take().map(|(transfer, spooled)| Work::Check(transfer, spooled)) } else { None })
    }

    fn speak(&mut self, session: &mut Session, now: Instant) -> Result<(), Fault> {
        while let Some(step) = self.desk.next(now) {
            match step {
                Step::Publish(message, flight) => {
                    let id = session.publish(&message, now)?;
                    self.desk.sent(flight, id);
                }
                Step::Health => self.wants.push_back(Want::Health),
                Step::Receipts(after) => self.wants.push_back(Want::Receipts(after)),
            }
        }
        Ok(())
    }

    /// What takes longer than a packet: hashes what lies on the disk, a chunk at a time.
    pub(super) async fn work(&mut self, work: Work, now: Instant) {
        match work {
            Work::Open(offer) => self.open(offer, now).await,
            Work::Check(transfer, spooled) => self.check(&transfer, &spooled, now).await,
        }
    }

    /// Begins to fetch `offer`: what the spool holds of it is hashed first.
    async fn open(&mut self, offer: Offer, now: Instant) {
        let spooled = match self.spool.keep(&offer.mark(), &offer.bundle) {
            Ok(spooled) => spooled,
            Err(error) => {
                tracing::warn!(code = %error.code(), error = %error, "the bundle announced is not fetched now");
                self.offers.failed(&offer, now);
                return;
            }
        };
        let mut here = Vec::new();
        if !spooled.is_fresh() {
            let mut buffer = Vec::new();
            for index in 0..offer.bundle.chunks.len() {
                here.push(spooled.holds(&offer.bundle, index, &mut buffer));
                tokio::task::yield_now().await;
            }
        }
        let transfer = Transfer::new(offer, &here, now);
        tracing::info!(digest = %transfer.bundle().bundle, bytes = transfer.bundle().length, count = transfer.held(),
            "fetching a bundle");
        self.transfer = Some((transfer, spooled));
    }

    /// Every chunk is what was announced; whether they are the bundle that was announced is another matter. Only one
    /// that is may be judged, and remembered by its name.
    async fn check(&mut self, transfer: &Transfer, spooled: &Spooled, now: Instant) {
        let bundle = transfer.bundle();
        let mut hasher = Hasher::new();
        let mut buffer = Vec::new();
        for index in 0..bundle.chunks.len() {
            if spooled.read(bundle, index, &mut buffer).is_err() {
                // The next attempt finds out which chunks are missing.
                return self.offers.failed(transfer.offer(), now);
            }
            hasher.update(&buffer);
            tokio::task::yield_now().await;
        }
        if hasher.finish() != bundle.bundle {
            self.misbehaved("wrong-bundle");
            self.spool.discard(&transfer.offer().mark());
            return self.offers.refused(transfer.offer(), now);
        }
        tracing::info!(digest = %bundle.bundle, bytes = bundle.length, "bundle fetched");
        self.importing = Some(transfer.offer().clone());
        self.wants.push_back(Want::Import(spooled.path().into()));
    }

    /// The bundle on its way is put aside for a while.
    fn failed(&mut self, now: Instant) {
        if let Some((transfer, _)) = &self.transfer {
            self.offers.failed(transfer.offer(), now);
        }
    }

    fn give_up(&mut self, error: &SpoolError, now: Instant) {
        tracing::warn!(code = %error.code(), error = %error, "a chunk cannot be kept");
        self.failed(now);
    }

    /// What became of the bundle that was whole. Chunks of one that may yet be accepted stay: they are not fetched again.
    pub(super) fn imported(&mut self, code: Code, now: Instant) {
        let Some(offer) = self.importing.take() else { return };
        match code.class() {
            Class::Done => self.offers.done(&offer),
            // Older than what was accepted: nothing makes it newer.
            Class::Refused if code == Code::MetadataRollback => self.offers.outdated(&offer, now),
            Class::Refused | Class::Usage => return self.offers.refused(&offer, now),
            Class::Environment | Class::Damaged => return self.offers.failed(&offer, now),
        }
        self.spool.discard(&offer.mark());
        if let Err(error) = self.spool.remember(self.offers.all_had()) {
            tracing::warn!(code = %error.code(), error = %error, "what was fetched is not remembered");
        }
    }

    /// The health report, if there is one to be had.
    pub(super) fn health(&mut self, report: Option<&[u8]>, now: Instant) {
        self.desk.health(report, now);
    }

    /// Receipts, if they can be had.
    pub(super) fn receipts(&mut self, receipts: Option<Vec<(u64, Vec<u8>)>>, now: Instant) {
        self.desk.receipts(receipts, now);
    }

    /// Health has changed.
    pub(super) fn health_changed(&mut self, now: Instant) {
        self.desk.health_changed(now);
    }

    /// There are new receipts.
    pub(super) fn receipts_changed(&mut self) {
        self.desk.receipts_changed();
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        if !self.up {
            return None;
        }
        let transfer = self.transfer.as_ref().and_then(|(transfer, _)| transfer.deadline());
        [transfer, self.offers.deadline(now), self.desk.deadline(now)].into_iter().flatten().min()
    }
}
