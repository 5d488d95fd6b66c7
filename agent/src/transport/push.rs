//! The listener: whoever may knock and shows a certificate that counts is handed on; nobody else costs much.
//!
//! ```text
//!  gate (from) ──▶ places, pace ──▶ handshake, 10 s ──▶ who ──▶ served until done, revoked or expired
//! ```

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use casemate_protocol::boundary::Listen;
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::certificate_name::CertificateName;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::tls::{Acceptor, Admitted, Credentials, NotAdmitted, Rejected};
use crate::boundary::listen::Gate;
use crate::pace::Pace;

mod refusals;

use refusals::Refusals;

/// Pause after a port could not be had, or a connection not be accepted.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// At least so often an open connection's certificate is judged again.
const JUDGED_EVERY: Duration = Duration::from_secs(600);

/// How much may be asked of the listener at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections, handshakes included; who comes when all are taken waits in the kernel's queue.
    pub connections: usize,
    /// Of them, from one address; of IPv6, from one /64. Who comes with more is sent away.
    pub from_one_address: usize,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Handshakes from one address: one every so often in the long run …
    pub handshake_every: Duration,
    /// … and so many at once.
    pub handshake_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            from_one_address: 16,
            handshake: Duration::from_secs(10),
            handshake_every: Duration::from_millis(50),
            handshake_burst: 40,
        }
    }
}

/// What there is to say of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// It takes connections, at this port.
    Opened(u16),
    /// It does not any more.
    Closed,
    /// So many were not let in for their certificates.
    Refused(u64),
}

/// Listens for as long as the policy says so: whoever comes in is handed to `on_stream`, which serves him.
///
/// Nothing is listened on while there is no certificate or no authority. New credentials hold for the next handshake; an
/// open connection whose certificate they do not let in any more, or that expires, ends.
pub async fn serve<F, S>(listen: Listen, credentials: watch::Receiver<Arc<Credentials>>, on_stream: F)
where
    F: Fn(TlsStream<TcpStream>, CertificateName) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    Listener::new(listen, Limits::default()).serve(credentials, on_stream, |_| {}).await;
}

/// The listener, and everybody inside.
#[derive(Debug)]
pub struct Listener {
    listen: Listen,
    limits: Limits,
    gate: Option<Gate>,
    /// What judges from now on; open connections look at it too.
    judge: watch::Sender<Option<Acceptor>>,
    places: Arc<Semaphore>,
    addresses: Addresses,
    pace: Pace<IpAddr>,
    /// Connections; what ends for its certificate says why.
    inside: JoinSet<Option<NotAdmitted>>,
    refusals: Refusals,
    /// The port could not be had, and that was said.
    is_shut_out: bool,
}

impl Listener {
    /// A listener that does not listen yet.
    #[must_use]
    pub fn new(listen: Listen, limits: Limits) -> Self {
        Self {
            listen,
            limits,
            gate: None,
            judge: watch::Sender::new(None),
            places: Arc::new(Semaphore::new(limits.connections)),
            addresses: Addresses::default(),
            pace: Pace::new(limits.handshake_every, limits.handshake_burst),
            inside: JoinSet::new(),
            refusals: Refusals::default(),
            is_shut_out: false,
        }
    }

    /// As [`serve`]; `told` hears what there is to say.
    pub async fn serve<F, S>(
        mut self,
        mut credentials: watch::Receiver<Arc<Credentials>>,
        on_stream: F,
        told: impl Fn(News),
    ) where
        F: Fn(TlsStream<TcpStream>, CertificateName) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let on_stream = Arc::new(on_stream);
        credentials.mark_changed();
        loop {
            if self.gate.is_none() && self.judge.borrow().is_some() {
                self.open(&told).await;
            }
            tokio::select! {
                biased;
                Ok(()) = credentials.changed() => {
                    let current = credentials.borrow_and_update().clone();
                    self.renew(current, &told);
                }
                () = self.refusals.due() => self.tell_refusals(&told),
                Some(ended) = self.inside.join_next() => if let Ok(Some(why)) = ended {
                    self.refusals.add(why.reason(), Instant::now());
                },
                (place, knocked) = knock(self.places.clone(), self.gate.as_ref()) => match knocked {
                    Ok(Some((stream, address))) => self.take_in(stream, address, place, &on_stream),
                    Ok(None) => {}
                    // Out of descriptors, most likely: connections are given time to end.
                    Err(_) => sleep(AFTER_FAILURE).await,
                },
            }
        }
    }

    /// From now on `credentials` count.
    fn renew(&mut self, credentials: Arc<Credentials>, told: &impl Fn(News)) {
        let acceptor = match Acceptor::new(credentials) {
            Ok(acceptor) => Some(acceptor),
            Err(error) => {
                tracing::warn!(code = %error.code(), %error, "the listener stays closed");
                self.gate = None;
                told(News::Closed);
                None
            }
        };
        self.judge.send_replace(acceptor);
    }

    fn tell_refusals(&mut self, told: &impl Fn(News)) {
        for (reason, count) in self.refusals.take(Instant::now()) {
            tracing::info!(code = %Code::CertificateRefused, reason, count, "certificates were not let in");
            told(News::Refused(count));
        }
    }

    async fn open(&mut self, told: &impl Fn(News)) {
        match Gate::open(&self.listen) {
            Ok(gate) => {
                told(News::Opened(gate.port().unwrap_or(self.listen.port)));
                self.gate = Some(gate);
                self.is_shut_out = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_shut_out, true) {
                    tracing::warn!(code = %Code::StateBusy, %error, "the listener's port cannot be had");
                }
                sleep(AFTER_FAILURE).await;
            }
        }
    }

    fn take_in<F, S>(&mut self, stream: TcpStream, address: IpAddr, place: Place, on_stream: &Arc<F>)
    where
        F: Fn(TlsStream<TcpStream>, CertificateName) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let address = site(address);
        let Some(from) = self.addresses.enter(address, self.limits.from_one_address) else { return };
        if self.pace.take(address, Instant::now()).is_err() {
            return;
        }
        let (limit, judge, on_stream) = (self.limits.handshake, self.judge.subscribe(), on_stream.clone());
        self.inside.spawn(async move {
            let refused = attend(stream, limit, judge, on_stream).await;
            drop((place, from));
            refused
        });
    }
}

type Place = Option<OwnedSemaphorePermit>;

/// A place and whoever takes it.
async fn knock(places: Arc<Semaphore>, gate: Option<&Gate>) -> (Place, std::io::Result<Option<(TcpStream, IpAddr)>>) {
    let Some(gate) = gate else { return std::future::pending().await };
    let place = places.acquire_owned().await.ok();
    (place, gate.accept().await)
}

/// One connection: who is it, and what does he want, for as long as he may. Or why he was not let in.
async fn attend<F, S>(
    stream: TcpStream,
    limit: Duration,
    mut judge: watch::Receiver<Option<Acceptor>>,
    on_stream: Arc<F>,
) -> Option<NotAdmitted>
where
    F: Fn(TlsStream<TcpStream>, CertificateName) -> S,
    S: Future<Output = ()>,
{
    let acceptor = judge.borrow_and_update().clone()?;
    let (stream, admitted) = match timeout(limit, acceptor.accept(stream)).await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(Rejected::Certificate(why))) => return Some(why),
        Ok(Err(Rejected::Broken(error))) => {
            tracing::debug!(%error, "a handshake broke off");
            return None;
        }
        Err(_) => return None,
    };
    tracing::debug!(role = %admitted.name.kind, peer = %admitted.name.id, "somebody came in");
    tokio::select! {
        () = on_stream(stream, admitted.name.clone()) => {}
        why = no_longer(&admitted, judge) => {
            let (role, peer) = (admitted.name.kind, &admitted.name.id);
            let reason = why.reason();
            tracing::info!(code = %Code::CertificateRefused, %role, %peer, reason, "a connection was ended");
        }
    }
    None
}

/// Until whoever is inside would not be let in any more.
async fn no_longer(admitted: &Admitted, mut judge: watch::Receiver<Option<Acceptor>>) -> NotAdmitted {
    let mut left = left_of(admitted, judge.borrow().as_ref());
    loop {
        tokio::select! {
            changed = judge.changed() => if changed.is_err() {
                // The listener is gone, and everybody inside with it.
                return NotAdmitted::Authority;
            },
            () = sleep(left.min(JUDGED_EVERY)) => {}
        }
        // What the handshake judged is judged again only now.
        let acceptor = judge.borrow_and_update();
        let Some(acceptor) = acceptor.as_ref() else { return NotAdmitted::Authority };
        if let Err(why) = acceptor.judge_again(admitted) {
            return why;
        }
        left = left_of(admitted, Some(acceptor));
    }
}

/// How long a certificate lasts, and a second.
fn left_of(admitted: &Admitted, acceptor: Option<&Acceptor>) -> Duration {
    let now = acceptor.map_or(0, |acceptor| acceptor.now().unix());
    Duration::from_secs(admitted.until.unix().saturating_sub(now) + 1)
}

/// Whom an address counts for: of IPv6, the /64 it is in, which one machine may have to itself (RFC 6177 §2). This
/// machine is one, whichever of its own addresses it uses.
fn site(address: IpAddr) -> IpAddr {
    match address {
        _ if address.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// How many are inside, by address.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them.
struct From {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    fn enter(&self, address: IpAddr, most: usize) -> Option<From> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(From { addresses: self.clone(), address })
    }
}

impl Drop for From {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests;
