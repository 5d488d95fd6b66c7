//! Who is at the other end of a socket.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::unistd::{Gid, Uid};
use tokio::net::UnixStream;

/// Permission bits of a socket that its owner alone may open.
const OWN: u32 = 0o600;
/// Permission bits of a socket that a group may open as well.
const GROUP: u32 = 0o660;

/// Whom a socket lets in.
///
/// The first check is the kernel's: `connect` needs write permission on the socket file. This is the second one, so
/// that a mode changed by mistake opens nothing: the agent's own user and root always; with a group, who has it as its
/// group, or whom the kernel let in by one of its supplementary groups. SO_PEERCRED names one group only (SO_PEERGROUPS
/// would name all, but there is no safe way to it), so for those the socket file must still be as it was made: our
/// inode, mode 0660, that group. With `PrivateUsers=` every peer reads as uid 65534: only root and the agent's own user
/// would be missed then, nobody else let in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) path: PathBuf,
    pub(super) group: Option<Gid>,
    /// Device and inode of the socket file as it was made.
    pub(super) inode: (u64, u64),
}

impl Door {
    /// The mode its file has.
    pub(super) fn mode(group: Option<Gid>) -> u32 {
        if group.is_some() { GROUP } else { OWN }
    }

    /// Whether the peer may come in.
    pub(super) fn lets_in(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| self.permits(peer.uid(), peer.gid(), Uid::effective()))
    }

    fn permits(&self, uid: u32, gid: u32, own: Uid) -> bool {
        let Some(group) = self.group else { return uid == own.as_raw() || uid == 0 };
        uid == own.as_raw() || uid == 0 || gid == group.as_raw() || self.is_as_made(group)
    }

    fn is_as_made(&self, group: Gid) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|file| {
            (file.dev(), file.ino()) == self.inode && file.gid() == group.as_raw() && file.mode() & 0o7777 == GROUP
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const OURS: Uid = Uid::from_raw(990);

    #[test]
    fn without_a_group_only_the_agents_own_user_and_root_come_in() {
        let door = Door { path: "/nonexistent".into(), group: None, inode: (0, 0) };
        assert!(door.permits(990, 7, OURS) && door.permits(0, 7, OURS));
        assert!(!door.permits(991, 990, OURS) && !door.permits(65_534, 0, OURS));
    }

    #[test]
    fn with_a_group_its_members_come_in_and_nobody_else_when_the_mode_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        std::fs::write(&path, "").unwrap();
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        set(GROUP);
        let made = std::fs::metadata(&path).unwrap();
        let (group, inode) = (Gid::from_raw(made.gid()), (made.dev(), made.ino()));
        let door = Door { path: path.clone(), group: Some(group), inode };
        let other = made.gid() + 1;
        assert!(door.permits(991, made.gid(), OURS));
        // By a supplementary group, which SO_PEERCRED does not name.
        assert!(door.permits(991, other, OURS));
        set(0o666);
        assert!(!door.permits(991, other, OURS), "anybody could have come through");
        assert!(door.permits(991, made.gid(), OURS) && door.permits(0, 0, OURS));
        set(GROUP);
        let elsewhere = Door { inode: (made.dev(), made.ino() + 1), path, ..door };
        assert!(!elsewhere.permits(991, other, OURS), "another file stands there now");
    }
}
