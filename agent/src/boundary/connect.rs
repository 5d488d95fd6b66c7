//! The door: the only place where this program connects to anything.

use std::io::{self, Error, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::boundary::Policy;
use casemate_protocol::device::id::Name;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a peer may take to answer. Packet filters drop silently: without a limit a connection hangs for minutes.
const LIMIT: Duration = Duration::from_secs(10);

/// The way to the peers of the policy in force, and to nobody else. Clones share the policy.
#[derive(Clone, Debug)]
pub struct Door {
    policy: watch::Sender<Arc<Policy>>,
    limit: Duration,
}

impl Door {
    /// A door for `policy`.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy: watch::Sender::new(policy), limit: LIMIT }
    }

    /// The same door with another time limit for each connection.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.policy.borrow().clone()
    }

    /// The policy in force, and every one after it.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Policy>> {
        self.policy.subscribe()
    }

    /// Puts `policy` in force at once: a connection under way to somebody whom it does not name is given up.
    pub fn replace(&self, policy: Arc<Policy>) {
        self.policy.send_replace(policy);
    }

    /// Connects to the peer called `id`, wherever the policy says it is, without delay of small writes.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`]: the policy names no such peer (nothing was attempted), or no longer does.
    /// [`ErrorKind::TimedOut`]: it did not answer in time. Else what the kernel says.
    pub async fn peer(&self, id: &Name) -> io::Result<TcpStream> {
        let mut policy = self.policy.subscribe();
        let address = address(&policy.borrow_and_update(), id)?;
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        #[expect(clippy::disallowed_methods, reason = "this is boundary/connect")]
        let connecting = timeout(self.limit, socket.connect(address));
        tokio::select! {
            biased;
            refused = narrowed(&mut policy, id, address) => Err(refused),
            connected = connecting => connected.map_err(|_| Error::from(ErrorKind::TimedOut))?,
        }
    }
}

/// Where the peer is, if the policy names it.
fn address(policy: &Policy, id: &Name) -> io::Result<SocketAddr> {
    let refuse = |why| Error::new(ErrorKind::PermissionDenied, why);
    let peer = policy.peers.iter().find(|peer| peer.id == *id);
    let peer = peer.ok_or_else(|| refuse("not a peer of the boundary in force"))?;
    // Checked when the document was read; whoever makes a policy by other means is not trusted with that.
    peer.network().map_err(|_| refuse("no address a boundary can name"))?;
    Ok(peer.socket())
}

/// Until the policy no longer says that `id` is at `address`.
async fn narrowed(policy: &mut watch::Receiver<Arc<Policy>>, id: &Name, known: SocketAddr) -> Error {
    let moved = |policy: &Arc<Policy>| address(policy, id).ok() != Some(known);
    if policy.wait_for(moved).await.is_err() {
        // The door is held by whoever waits here.
        std::future::pending::<()>().await;
    }
    Error::new(ErrorKind::PermissionDenied, "the boundary changed meanwhile")
}

/// Connects to a loopback address.
///
/// # Errors
/// The address is not on this machine (nothing was attempted), or nobody accepts there.
pub async fn loopback(address: SocketAddr) -> io::Result<TcpStream> {
    // An IPv4 address in IPv6 form is no loopback address to the standard library, and none here.
    if !address.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "not a loopback address"));
    }
    #[expect(clippy::disallowed_methods, reason = "this is boundary/connect")]
    TcpStream::connect(address).await
}

/// Connects to the socket at `path`.
///
/// # Errors
/// The path is not absolute, or nobody accepts there.
pub async fn unix(path: &Path) -> io::Result<UnixStream> {
    if !path.is_absolute() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an absolute path"));
    }
    UnixStream::connect(path).await
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, UnixListener};

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    #[test]
    fn what_listens_on_this_machine_is_reached() {
        block_on(async {
            for address in ["127.0.0.1:0", "127.0.0.2:0"] {
                let listener = TcpListener::bind(address).await.unwrap();
                loopback(listener.local_addr().unwrap()).await.unwrap();
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let _listener = UnixListener::bind(&path).unwrap();
            unix(&path).await.unwrap();
        });
    }

    #[test]
    fn every_other_address_is_refused_without_an_attempt() {
        block_on(async {
            // Bound here, so that an attempt would succeed.
            let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            for ip in
                ["0.0.0.0", "10.0.0.1", "192.0.2.1", "224.0.0.1", "::", "::ffff:127.0.0.1", "fe80::1", "2001:db8::1"]
            {
                let refused = loopback(SocketAddr::new(ip.parse().unwrap(), port)).await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied, "{ip}");
            }
            assert_eq!(unix(Path::new("socket")).await.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        });
    }
}
