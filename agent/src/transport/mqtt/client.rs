//! What the appliance wants of a broker, whichever connection it has just now: bundles in, receipts and health out.
//!
//! Outlives connections. Knows no socket; asks the loop for what it needs by [`Want`]s.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use casemate_protocol::broker::{Announce, Ask, Presence, Scope, Topic, is_answer_topic};
use casemate_protocol::code::{Class, Code, Explain};
use casemate_protocol::device::id::{ApplianceId, Name};
use casemate_protocol::digest::Digest;

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
    /// The version in force.
    Standing,
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

/// What the appliance wants of a broker.
#[derive(Debug)]
pub(super) struct Client {
    id: ApplianceId,
    scopes: Vec<Scope>,
    spool: Spool,
    offers: Offers,
    transfer: Option<(Transfer, Spooled)>,
    importing: Option<Digest>,
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
        self.wants.push_back(Want::Standing);
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
                    self.rest(now);
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

    /// Does what is due. Answers the bundle that is to be opened now: [`Client::open`].
    pub(super) fn turn(&mut self, session: &mut Session, now: Instant) -> Result<Option<Offer>, Fault> {
        if !self.up {
            return Ok(None);
        }
        self.offers.settle(now);
        self.speak(session, now)?;
        if self.offers.take_pull() {
            self.wants.push_back(Want::Look);
        }
        if self.importing.is_some() {
            return Ok(None);
        }
        if let Some((transfer, _)) = &self.transfer
            && transfer.is_stalled(now)
        {
            tracing::warn!(digest = %transfer.bundle().bundle, count = transfer.held(), "the rest of the bundle is not there");
            self.rest(now);
        }
        let best = self.offers.best(now);
        if self.transfer.as_ref().is_some_and(|(transfer, _)| self.is_wanted(transfer, best.as_ref(), now)) {
            self.fetch(session, now)?;
            return Ok(None);
        }
        if let Some((mut transfer, _)) = self.transfer.take() {
            let leave = transfer.leave();
            if !leave.is_empty() {
                session.unsubscribe(leave, now)?;
            }
        }
        Ok(best)
    }

    /// Still announced, nothing newer is, and it does not rest.
    fn is_wanted(&self, transfer: &Transfer, best: Option<&Offer>, now: Instant) -> bool {
        let newest = best.is_none_or(|best| best.bundle.timestamp <= transfer.bundle().timestamp);
        newest && self.offers.stands(transfer.offer()) && !self.offers.rests(&transfer.bundle().bundle, now)
    }

    fn fetch(&mut self, session: &mut Session, now: Instant) -> Result<(), Fault> {
        let Some((transfer, spooled)) = &mut self.transfer else { return Ok(()) };
        let (ask, leave) = transfer.turn(now);
        if !ask.is_empty() {
            session.subscribe(&ask, Retained::Wanted, now)?;
        }
        if !leave.is_empty() {
            session.unsubscribe(leave, now)?;
        }
        if transfer.is_whole() {
            let bundle = transfer.bundle();
            tracing::info!(digest = %bundle.bundle, bytes = bundle.length, "bundle fetched");
            self.importing = Some(bundle.bundle);
            self.wants.push_back(Want::Import(spooled.path().into()));
            self.transfer = None;
        }
        Ok(())
    }

    fn speak(&mut self, session: &mut Session, now: Instant) -> Result<(), Fault> {
        while let Some(step) = self.desk.next(now) {
            match step {
                Step::Publish(message, flight) => {
                    let id = session.publish(&message, now)?;
                    self.desk.sent(flight, id, now);
                }
                Step::Health => self.wants.push_back(Want::Health),
                Step::Receipts(after) => self.wants.push_back(Want::Receipts(after)),
            }
        }
        Ok(())
    }

    /// Begins to fetch `offer`: what the spool holds of it is hashed first, a chunk at a time.
    pub(super) async fn open(&mut self, offer: Offer, now: Instant) {
        let spooled = match self.spool.keep(&offer.bundle) {
            Ok(spooled) => spooled,
            Err(error) => {
                tracing::warn!(code = %error.code(), error = %error, "the bundle announced is not fetched now");
                self.offers.rest(offer.bundle.bundle, now);
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

    /// The bundle on its way is put aside for a while.
    fn rest(&mut self, now: Instant) {
        if let Some((transfer, _)) = &self.transfer {
            self.offers.rest(transfer.bundle().bundle, now);
        }
    }

    fn give_up(&mut self, error: &SpoolError, now: Instant) {
        tracing::warn!(code = %error.code(), error = %error, "a chunk cannot be kept");
        self.rest(now);
    }

    /// The version in force, once known.
    pub(super) fn stands_at(&mut self, version: Option<u64>) {
        self.offers.stand_at(version.unwrap_or(0));
    }

    /// What became of the bundle that was whole.
    pub(super) fn imported(&mut self, code: Code, now: Instant) {
        let Some(bundle) = self.importing.take() else { return };
        self.wants.push_back(Want::Standing);
        if matches!(code.class(), Class::Environment | Class::Damaged) {
            // The chunks stay: nothing is fetched again.
            self.offers.rest(bundle, now);
            return;
        }
        self.offers.done(bundle);
        self.spool.discard(&bundle);
        if let Err(error) = self.spool.remember(self.offers.had()) {
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
