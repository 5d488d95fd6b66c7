//! Who is at the other end of the socket.

use nix::unistd::Uid;
use tokio::net::UnixStream;

/// Whether the peer may ask anything: the agent's own user, or root, who could become that user.
///
/// The second check; the first is the socket's mode.
pub(super) fn allowed(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| permits(peer.uid(), Uid::effective()))
}

fn permits(peer: u32, own: Uid) -> bool {
    peer == own.as_raw() || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agents_own_user_and_root_may_ask() {
        let own = Uid::from_raw(990);
        assert!(permits(990, own) && permits(0, own));
        assert!(!permits(991, own) && !permits(65_534, own));
    }
}
