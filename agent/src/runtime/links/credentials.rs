//! What connections are made with, as the bundle in force says.

use std::sync::Arc;

use casemate_protocol::code::Code;
use casemate_protocol::device::assignment::Assignment;
use casemate_protocol::device::transport::TransportSettings;
use casemate_protocol::evidence::receipt::Transport;

use super::contacts::transport;
use crate::exit::Failure;
use crate::runtime::keeper::Keeper;
use crate::store::KeptTransport;
use crate::transport::tls::{self, Credentials, TlsError};

impl Keeper {
    /// Tells the transports what to connect with and what there is to say, where that is not what they were told last.
    pub(in crate::runtime) fn tell_transports(&mut self) {
        if self.damage.is_some() {
            return;
        }
        self.tell_credentials();
        self.tell_news();
    }

    fn tell_credentials(&mut self) {
        // Every bundle brings a newer one: whoever is connected stays so.
        self.signed_time.set(self.signed_at());
        let made = self.make_credentials();
        let fault = made.as_ref().err().map(|failure| failure.code);
        if let Err(failure) = &made
            && self.transports_fault != fault
        {
            tracing::warn!(code = %failure.code, error = %failure.told(), "nothing is sent or taken over the network");
        }
        self.transports_fault = fault;
        let made = made.ok().flatten();
        self.credentials.send_if_modified(|told| {
            let same = match (&*told, &made) {
                (None, None) => true,
                (Some(one), Some(other)) => one.is_same(other),
                _ => false,
            };
            if !same {
                *told = made.map(Arc::new);
            }
            !same
        });
    }

    /// `None` where none were signed.
    fn make_credentials(&self) -> Result<Option<Credentials>, Failure> {
        let state = self.store.state();
        let Some(assignment) = &state.assignment else { return Ok(None) };
        let remembered = state.transport.as_ref().map_or(&[][..], |kept| &kept.crls);
        self.credentials_of(assignment, self.transport_signed(), remembered)
    }

    /// The settings that were signed, and could be used.
    fn transport_signed(&self) -> Option<&TransportSettings> {
        let state = self.store.state();
        let worked = state.transport.as_ref().and_then(|kept| kept.settings.as_ref());
        worked.or_else(|| state.assignment.as_ref()?.transport.as_ref())
    }

    /// The settings that count now: revocation lists never go back.
    pub(in crate::runtime) fn transport_in_force(&self) -> Option<TransportSettings> {
        let settings = self.transport_signed()?;
        let remembered = self.store.state().transport.as_ref().map_or(&[][..], |kept| &kept.crls);
        Some(tls::settings_in_force(settings, remembered).unwrap_or_else(|_| settings.clone()))
    }

    fn credentials_of(
        &self,
        assignment: &Assignment,
        settings: Option<&TransportSettings>,
        remembered: &[String],
    ) -> Result<Option<Credentials>, Failure> {
        let (Ok(enrolled), Some(identity), Some(settings)) = (self.confirmed(), &self.identity, settings) else {
            return Ok(None);
        };
        // Whatever else they say: without a certificate no connection is wanted.
        if settings.certificate.is_empty() {
            return Ok(None);
        }
        // Limits first: what exceeds them is not read any further.
        settings.material()?;
        let settings = tls::settings_in_force(settings, remembered)?;
        let credentials = Credentials {
            appliance: enrolled.appliance,
            jurisdiction: enrolled.jurisdiction,
            groups: assignment.groups.clone(),
            material: settings.material()?,
            settings,
            key: identity.tls_key(),
            clock: self.config.clock.clone(),
            signed_at: self.signed_time.clone(),
        };
        match credentials.check() {
            Ok(()) => Ok(Some(credentials)),
            // The first one comes by stick; until then there is nothing to complain of.
            Err(TlsError::NoCertificate) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What is kept beside `next` once that is in force: the settings that work where its own do not, and lists newer
    /// than its own.
    pub(in crate::runtime) fn transport_to_keep(&self, next: &Assignment) -> Option<Box<KeptTransport>> {
        let before = self.transport_signed();
        let remembered = self.store.state().transport.as_ref().map_or(&[][..], |kept| &kept.crls);
        let kept = match self.credentials_of(next, next.transport.as_ref(), remembered) {
            Ok(_) => {
                let crls = tls::to_remember(remembered, before, next.transport.as_ref());
                KeptTransport { settings: None, crls }
            }
            Err(failure) => {
                tracing::warn!(code = %failure.code, error = %failure.told(), "new settings for connections cannot be used; those before stay");
                let worked = before.filter(|_| self.make_credentials().is_ok());
                KeptTransport { settings: worked.cloned(), crls: remembered.to_vec() }
            }
        };
        (kept != KeptTransport::default()).then(|| Box::new(kept))
    }

    /// Whether what was signed for the transports cannot be used.
    pub(in crate::runtime) fn are_transports_invalid(&self) -> bool {
        let kept = self.store.state().transport.as_ref();
        self.transports_fault.is_some() || kept.is_some_and(|kept| kept.settings.is_some())
    }

    /// Tells what there is to say to peers.
    pub(super) fn tell_news(&mut self) {
        let receipts = self.store.state().receipts;
        let says_health = self.door.policy().peers.iter().any(|peer| transport(peer) == Some(Transport::Mqtt));
        let changed = says_health && {
            let report = self.health();
            let reasons: Vec<Code> = report.reasons;
            let now = Some((report.state, reasons));
            let changed = self.told_health != now;
            self.told_health = now;
            changed
        };
        let round_trip = self.awaits_round_trip();
        self.news.send_if_modified(|news| {
            let before = *news;
            news.receipts = receipts;
            news.health += u64::from(changed);
            news.round_trip += u64::from(round_trip);
            before != *news
        });
    }
}
