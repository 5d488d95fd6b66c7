//! What connections are made with, as the bundle in force says.

use std::sync::Arc;

use casemate_protocol::code::Code;
use casemate_protocol::evidence::receipt::Transport;

use super::contacts::transport;
use crate::exit::Failure;
use crate::runtime::keeper::Keeper;
use crate::transport::tls::{Credentials, TlsError};

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
                (Some(one), Some(other)) => {
                    (&one.settings, &one.groups, one.signed_at) == (&other.settings, &other.groups, other.signed_at)
                }
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
        let (Ok(enrolled), Some(identity)) = (self.confirmed(), &self.identity) else { return Ok(None) };
        let Some(assignment) = &self.store.state().assignment else { return Ok(None) };
        let Some(settings) = &assignment.transport else { return Ok(None) };
        let credentials = Credentials {
            appliance: enrolled.appliance,
            jurisdiction: enrolled.jurisdiction,
            groups: assignment.groups.clone(),
            settings: settings.clone(),
            material: settings.material()?,
            key: identity.tls_key(),
            clock: self.config.clock.clone(),
            signed_at: self.signed_at(),
        };
        match credentials.check() {
            Ok(()) => Ok(Some(credentials)),
            // The first one comes by stick; until then there is nothing to complain of.
            Err(TlsError::NoCertificate) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether what was signed for the transports cannot be used.
    pub(in crate::runtime) fn are_transports_invalid(&self) -> bool {
        self.transports_fault.is_some()
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
