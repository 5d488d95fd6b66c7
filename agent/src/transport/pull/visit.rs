//! One look at a repository: asks what the errand wants, and hands what it brings to the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use casemate_protocol::bundle::appraisal::{Piece, Wanted};
use casemate_protocol::bundle::archive::{MemberKind, Writer};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::digest::Digest;
use casemate_protocol::evidence::receipt::Transport;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask::Ask;
use super::errand::{Cargo, Errand, Need};
use super::error::PullError;
use super::memory::Memory;
use super::route::{Poured, Route, Spill};
use super::sink::{Gone, Sink};
use crate::exit::Failure;
use crate::transport::backend::{Arrived, Backend, Held, Order, Source};
use crate::transport::space::claim;

/// A part of at most this many bytes is looked at before any of it is passed on.
const SMALL: u64 = 1 << 20;
/// Bytes moved at once from the spool.
const BLOCK: usize = 64 * 1024;

/// Who looks.
pub(super) struct Visit<'a> {
    pub(super) route: &'a mut Route,
    pub(super) backend: &'a Backend,
    pub(super) memory: &'a mut Memory,
}

impl Visit<'_> {
    /// Looks, and brings what is new.
    ///
    /// # Errors
    /// Something is missing still: another look may bring it.
    pub(super) async fn look(&mut self) -> Result<(), PullError> {
        let standing = self.order(|reply| Order::Standing { reply }).await?.map_err(PullError::Agent)?;
        let mut errand = Errand::new(*standing)?;
        let cargo = loop {
            match errand.next(self.memory.settled())? {
                Need::File(ask) => match self.route.whole(&ask).await? {
                    Some(raw) => errand.got(&raw)?,
                    None => errand.absent()?,
                },
                Need::Held(wanted) => {
                    let held = self.held(&wanted).await?;
                    errand.held(&wanted, held);
                }
                Need::Nothing => return Ok(()),
                Need::Parts(cargo) => break cargo,
            }
        };
        drop(errand);
        self.bring(cargo).await
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Result<T, PullError> {
        let (reply, answer) = oneshot::channel();
        self.backend.orders.send(order(reply)).await.map_err(|_| PullError::Stopping)?;
        answer.await.map_err(|_| PullError::Stopping)
    }

    async fn held(&self, wanted: &[Wanted]) -> Result<Vec<Held>, PullError> {
        let mut held = Vec::with_capacity(wanted.len());
        for Wanted { object, length, .. } in wanted {
            let (object, length) = (*object, *length);
            held.push(self.order(|reply| Order::Held { object, length, reply }).await?);
        }
        Ok(held)
    }

    async fn bring(&mut self, cargo: Cargo) -> Result<(), PullError> {
        let head = Digest::of(&cargo.head);
        if self.memory.is_refused(cargo.edition, head, Instant::now()) {
            return Ok(());
        }
        let mut load = Load::default();
        for piece in cargo.parts.iter().filter(|piece| piece.length > SMALL) {
            if self.memory.suspects.contains(&piece.digest) {
                self.examine(piece, &mut load).await?;
            }
        }
        let is_left = |piece: &Piece| !load.omitted.contains(&piece.digest);
        if let Some(error) = load.error.take_if(|_| !cargo.parts.iter().any(is_left)) {
            return Err(error);
        }
        let edition = cargo.edition;
        let code = self.import(cargo, &mut load).await?;
        tracing::info!(peer = %self.route.peer().id, code = %code, bytes = load.bytes, "a bundle was pulled");
        match load.error {
            Some(error) => Err(error),
            None => {
                self.memory.record(edition, head, code, Instant::now());
                Ok(())
            }
        }
    }

    /// Fetches a part that was bad before into the spool, so that no archive is spoilt by it again.
    async fn examine(&mut self, piece: &Piece, load: &mut Load) -> Result<(), PullError> {
        let path = self.backend.spool.join(piece.digest.to_string());
        let file = File::create(&path).map_err(PullError::Local)?;
        if let Err(claim) = claim(&file, piece.length + BLOCK as u64, self.backend.reserve) {
            let _ = fs::remove_file(&path);
            return Err(PullError::Local(claim.into()));
        }
        let mut sink = Sink::File(file);
        match self.route.pour(piece, &mut sink).await {
            Ok(Poured::Whole) => {
                self.memory.suspects.remove(&piece.digest);
                load.spooled.insert(piece.digest, Spooled(path));
                Ok(())
            }
            other => {
                let _ = fs::remove_file(&path);
                match other {
                    Ok(_) => Err(PullError::Local(std::io::ErrorKind::StorageFull.into())),
                    Err(spill) => self.omit(piece, spill.error, load).await,
                }
            }
        }
    }

    /// Goes on without a part; what concerns the way as a whole ends the look.
    async fn omit(&mut self, piece: &Piece, error: PullError, load: &mut Load) -> Result<(), PullError> {
        if !error.is_about_one_file() {
            return Err(error);
        }
        self.name(piece, &error).await;
        load.omitted.insert(piece.digest);
        load.error.get_or_insert(error);
        Ok(())
    }

    /// Says which part is bad.
    async fn name(&mut self, piece: &Piece, error: &PullError) {
        let (code, error) = (error.code(), Failure::of(error).told());
        let (path, digest) = (&piece.target, piece.digest);
        tracing::warn!(peer = %self.route.peer().id, path, %digest, code = %code, error, "a part cannot be used");
        self.memory.suspects.insert(digest);
        self.route.notice(code).await;
    }

    /// Streams the archive to the reader, which judges it while it comes.
    async fn import(&mut self, cargo: Cargo, load: &mut Load) -> Result<Code, PullError> {
        let (reading, mut sink) = Sink::pipe().map_err(PullError::Local)?;
        let (reply, answer) = oneshot::channel();
        let order = Order::Import { bundle: Source::Stream(reading), transport: Transport::Pull, reply };
        self.backend.orders.send(order).await.map_err(|_| PullError::Stopping)?;
        let poured = self.pour(cargo, load, &mut sink).await;
        // The reader sees the archive's end, or that it breaks off.
        drop(sink);
        let answer: Result<Arrived, Failure> = answer.await.map_err(|_| PullError::Stopping)?;
        poured?;
        answer.map(|arrived| arrived.code).map_err(PullError::Agent)
    }

    async fn pour(&mut self, cargo: Cargo, load: &mut Load, sink: &mut Sink) -> Result<(), PullError> {
        if sink.write(&cargo.head).await == Err(Gone) {
            return Ok(());
        }
        load.bytes = cargo.head.len() as u64;
        drop(cargo.head);
        for piece in cargo.parts {
            if load.omitted.contains(&piece.digest) || load.poured.contains(&piece.digest) {
                continue;
            }
            let poured = if let Some(Spooled(path)) = load.spooled.get(&piece.digest) {
                copy(path, sink).await.map_err(|error| Spill { error, begun: true })
            } else if piece.length <= SMALL {
                self.pour_small(&piece, sink).await.map_err(|error| Spill { error, begun: false })
            } else {
                self.route.pour(&piece, sink).await
            };
            match poured {
                Ok(Poured::Whole) => {
                    load.poured.insert(piece.digest);
                    load.bytes += piece.length;
                }
                Ok(Poured::Unwanted) => return Ok(()),
                // The archive is spoilt: some of the part is in it.
                Err(Spill { error, begun: true }) => {
                    if error.is_about_one_file() {
                        self.name(&piece, &error).await;
                    }
                    return Err(error);
                }
                Err(Spill { error, begun: false }) => self.omit(&piece, error, load).await?,
            }
        }
        // A reader that has gone has seen enough.
        let _ = sink.write(Writer::end()).await;
        Ok(())
    }

    async fn pour_small(&mut self, piece: &Piece, sink: &mut Sink) -> Result<Poured, PullError> {
        let absent = || PullError::Absent { what: piece.target.clone() };
        let raw = self.route.whole(&Ask::piece(piece)).await?.ok_or_else(absent)?;
        let found = Digest::of(&raw);
        if found != piece.digest {
            return Err(PullError::BadContent { target: piece.target.clone(), expected: piece.digest, found });
        }
        let mut member = Vec::with_capacity(raw.len() + BLOCK);
        let kind = MemberKind::Object { digest: piece.digest };
        Writer::append(&mut member, &kind, &raw).map_err(|_| PullError::Empty { what: piece.target.clone() })?;
        Ok(if sink.write(&member).await.is_ok() { Poured::Whole } else { Poured::Unwanted })
    }
}

/// How far an archive is.
#[derive(Debug, Default)]
struct Load {
    spooled: BTreeMap<Digest, Spooled>,
    poured: BTreeSet<Digest>,
    omitted: BTreeSet<Digest>,
    /// Why the first one was omitted.
    error: Option<PullError>,
    bytes: u64,
}

/// A file in the spool, which goes with this.
#[derive(Debug)]
struct Spooled(PathBuf);

impl Drop for Spooled {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn copy(path: &PathBuf, sink: &mut Sink) -> Result<Poured, PullError> {
    let mut file = File::open(path).map_err(PullError::Local)?;
    let mut block = vec![0; BLOCK];
    loop {
        let count = file.read(&mut block).map_err(PullError::Local)?;
        if count == 0 {
            return Ok(Poured::Whole);
        }
        if sink.write(&block[..count]).await == Err(Gone) {
            return Ok(Poured::Unwanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use casemate_protocol::boundary::{Peer, PeerProtocol, Pins, Policy, Purpose};
    use casemate_protocol::device::transport::{TransportMaterial, TransportSettings};
    use tokio::sync::{Notify, mpsc, watch};

    use super::*;
    use crate::boundary::connect::Door;
    use crate::clock::WallClock;
    use crate::identity::Identity;
    use crate::transport::backend::News;
    use crate::transport::pull::Limits;
    use crate::transport::tls::Credentials;

    #[tokio::test]
    async fn a_part_is_not_examined_at_the_cost_of_the_reserve() {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        fs::create_dir(&spool).unwrap();
        let (orders, _orders) = mpsc::channel(1);
        let (_news, news) = watch::channel(News::default());
        let door = Door::new(Arc::new(Policy::default()));
        let backend = Backend { door, spool, reserve: u64::MAX, orders, look: Arc::new(Notify::new()), news };
        let credentials = Credentials {
            appliance: "clinic-7".parse().unwrap(),
            jurisdiction: "LU".parse().unwrap(),
            groups: vec![],
            settings: TransportSettings::default(),
            material: TransportMaterial::default(),
            key: Identity::create(&folder.path().join("identity")).unwrap().tls_key(),
            clock: WallClock::system(),
            signed_at: None.into(),
        };
        let peer = Peer {
            id: "repository".parse().unwrap(),
            protocol: PeerProtocol::Https,
            address: Ipv4Addr::LOCALHOST.into(),
            port: 443,
            pins: Pins { current: Digest::of(b""), next: None },
            purpose: Purpose::Repository,
            required: false,
        };
        let (_credentials, credentials) = watch::channel(Arc::new(credentials));
        let mut route = Route::new(peer, backend.clone(), credentials, Limits::default());
        let mut visit = Visit { route: &mut route, backend: &backend, memory: &mut Memory::default() };
        let piece = Piece { target: "a".into(), path: "a".into(), digest: Digest::of(b"a"), length: 1 };
        let error = visit.examine(&piece, &mut Load::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::DiskFull, "{error}");
        assert_eq!(fs::read_dir(&backend.spool).unwrap().count(), 0);
    }
}
