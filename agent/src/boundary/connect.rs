//! The only place where this program connects to anything: loopback addresses and sockets on this machine.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::{TcpStream, UnixStream};

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
