//! The gate: the only place where this program listens for anything that is not on this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use casemate_protocol::boundary::Listen;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait in the kernel while all places are taken.
const BACKLOG: u32 = 128;

/// The listening sockets, and whom the boundary lets knock.
#[derive(Debug)]
pub struct Gate {
    sockets: Vec<TcpListener>,
    allowed: Listen,
}

impl Gate {
    /// Listens at the port the boundary names, on every address of the machine; port 0 leaves the choice to the kernel.
    ///
    /// # Errors
    /// Neither IPv6 nor IPv4 can be listened on, such as when somebody else has the port.
    pub fn open(allowed: &Listen) -> io::Result<Self> {
        // Usually the first takes IPv4 as well, and the second then finds its place taken.
        let six = listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), allowed.port));
        let port = six.as_ref().ok().and_then(|socket| socket.local_addr().ok()).map_or(allowed.port, |at| at.port());
        let four = listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        let sockets = match (six, four) {
            (Ok(six), Ok(four)) => vec![six, four],
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => vec![one],
            (Err(_), Err(error)) => return Err(error),
        };
        Ok(Self { sockets, allowed: allowed.clone() })
    }

    /// The port.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.sockets[0].local_addr()?.port())
    }

    /// The next peer that may connect, and where it is; `None` in place of one that was sent away before a byte was
    /// read from it.
    ///
    /// # Errors
    /// As `accept`.
    pub async fn accept(&self) -> io::Result<Option<(TcpStream, IpAddr)>> {
        let (stream, address) = match self.sockets.as_slice() {
            [one, other, ..] => tokio::select! {
                accepted = one.accept() => accepted?,
                accepted = other.accept() => accepted?,
            },
            [one] => one.accept().await?,
            [] => std::future::pending().await,
        };
        let address = address.ip().to_canonical();
        if !self.lets_knock(address) {
            return Ok(None);
        }
        stream.set_nodelay(true)?;
        Ok(Some((stream, address)))
    }

    /// Whoever is named; and this machine itself, which is no network and has other ways to the agent anyway.
    fn lets_knock(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.allowed.from.iter().any(|network| network.contains(address))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // The process starts anew with each policy: its connections' remains must not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let allowed = Listen { port: 0, from: vec!["10.20.0.0/16".parse().unwrap(), "2001:db8::/64".parse().unwrap()] };
        Gate { sockets: Vec::new(), allowed }
    }

    #[test]
    fn whom_the_boundary_names_may_knock_and_nobody_else() {
        let gate = gate();
        for address in ["10.20.255.1", "2001:db8::7", "127.0.0.1", "::1"] {
            assert!(gate.lets_knock(address.parse().unwrap()), "{address}");
        }
        for address in ["10.21.0.1", "192.0.2.1", "2001:db8:0:1::7", "fe80::1", "0.0.0.0", "::"] {
            assert!(!gate.lets_knock(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn both_families_are_listened_on_at_one_port() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let gate = Gate::open(&gate().allowed).unwrap();
            for ip in ["127.0.0.1", "::1"] {
                let address = SocketAddr::new(ip.parse().unwrap(), gate.port().unwrap());
                let _peer = super::super::connect::loopback(address).await.unwrap();
                let (_, from) = gate.accept().await.unwrap().unwrap();
                assert_eq!(from, address.ip());
            }
        });
    }
}
