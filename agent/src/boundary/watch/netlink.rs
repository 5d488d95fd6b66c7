//! Talking to the kernel: the packet log, and the table of sockets.

use std::io::{self, Error, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt, socket,
};

use super::attributes::{attribute, messages, request};

/// The netlink group the host's rules log to.
pub const GROUP: u16 = 53;
/// Longest answer read, bytes: the kernel batches packets up to the size set below.
pub(super) const BUFFER: usize = 64 * 1024;
/// What may wait in the kernel, bytes.
const QUEUE: usize = 2 << 20;
/// Bytes of each packet that are told: every header in front of the ports.
const TOLD: u32 = 128;
/// After so many packets, or hundredths of a second, what was gathered is told.
const BATCH: u32 = 32;
const AT_LATEST: u32 = 20;

/// `NFNL_SUBSYS_ULOG` and the kinds of its messages (`linux/netfilter/nfnetlink_log.h`).
const LOG: u16 = 4 << 8;
pub(super) const PACKET: u16 = LOG;
const CONFIG: u16 = LOG | 1;
/// Its attributes: a command, what is told of packets, batches, numbering.
const COMMAND: u16 = 1;
const MODE: u16 = 2;
const HOLD: u16 = 4;
const THRESHOLD: u16 = 5;
const NUMBERING: u16 = 6;
const BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const NUMBERED: u16 = 1;

/// Flags of a request that is to be answered (`NLM_F_REQUEST`, `NLM_F_ACK`).
pub(super) const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
/// `NLMSG_ERROR`: also says that all is well, with 0.
pub(super) const ERROR: u16 = 2;

/// A netlink socket.
#[derive(Debug)]
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    /// A socket for `protocol` that never blocks.
    pub(super) fn open(protocol: SockProtocol) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        #[expect(clippy::disallowed_methods, reason = "netlink leads to the kernel and no further")]
        let made = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(made.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self(made))
    }

    /// The packet log's `group`, from now on. Needs CAP_NET_ADMIN; reading it afterwards does not.
    pub(super) fn log(group: u16) -> io::Result<Self> {
        let socket = Self::open(SockProtocol::NetlinkNetFilter)?;
        setsockopt(&socket.0, RcvBufForce, &QUEUE)?;
        let [high, low] = group.to_be_bytes();
        let mut mode = TOLD.to_be_bytes().to_vec();
        mode.extend([COPY_PACKET, 0]);
        let bound = attribute(COMMAND, &[BIND]);
        let form = [
            attribute(MODE, &mode),
            attribute(HOLD, &AT_LATEST.to_be_bytes()),
            attribute(THRESHOLD, &BATCH.to_be_bytes()),
            attribute(NUMBERING, &NUMBERED.to_be_bytes()),
        ];
        for attributes in [bound, form.concat()] {
            let body = [&[0, 0, high, low][..], &attributes].concat();
            socket.tell(&request(CONFIG, REQUEST | ACKNOWLEDGE, &body))?;
            socket.confirmed()?;
        }
        Ok(socket)
    }

    pub(super) fn tell(&self, bytes: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), bytes, MsgFlags::empty())?;
        Ok(())
    }

    /// What the kernel says next, into `buffer`; `None` if it says nothing now. [`Errno::ENOBUFS`] is passed on: it said
    /// more than could wait.
    pub(super) fn hear<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<&'a [u8]>> {
        match recvfrom::<NetlinkAddr>(self.0.as_raw_fd(), buffer) {
            // Other processes may send here as well, and have numbers.
            Ok((_, Some(sender))) if sender.pid() != 0 => Ok(Some(&[])),
            Ok((length, _)) => Ok(buffer.get(..length)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The answer to a request: netlink answers before `send` returns.
    fn confirmed(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        while let Some(answer) = self.hear(&mut buffer)? {
            let code = messages(answer).find(|message| message.kind == ERROR);
            if let Some(code) = code.and_then(|message| message.body.first_chunk()) {
                return match i32::from_ne_bytes(*code) {
                    0 => Ok(()),
                    negative => Err(Error::from_raw_os_error(negative.saturating_neg())),
                };
            }
        }
        Err(ErrorKind::UnexpectedEof.into())
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
