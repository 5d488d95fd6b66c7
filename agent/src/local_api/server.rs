//! The listening sockets.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use casemate_protocol::code::{Code, Explain};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::Gid;
use thiserror::Error;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::call::Request;
use super::caller::Caller;
use super::connection::{Backend, connection};
use super::hub::Hub;
use super::peer::Door;
use super::places::Places;
use crate::config::{ConfigError, LocalSocket, Role};

/// Connections that wait in the kernel while every place is taken.
const BACKLOG: i32 = 128;
/// Pause after a failed `accept`.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Why a socket cannot be served.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The socket cannot be made.
    #[error("cannot listen on {path}")]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket cannot be given to its group.
    #[error("cannot give {path} to the group {group:?}")]
    Group {
        /// The socket.
        path: PathBuf,
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its configuration names a group that does not exist.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl Explain for ServerError {
    fn code(&self) -> Code {
        match self {
            Self::Listen { .. } => Code::StateUnavailable,
            Self::Group { .. } => Code::ConfigInvalid,
            Self::Config(error) => error.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Group { group, .. } => {
                format!("Make the agent's user a member of {group}, for instance by SupplementaryGroups= in its unit.")
            }
            Self::Config(error) => error.remedy(),
            Self::Listen { .. } => self.code().remedy().into(),
        }
    }
}

/// The local API's sockets, one a role; removed when dropped.
#[derive(Debug)]
pub struct Sockets(Vec<Arc<Socket>>);

/// One role's socket.
#[derive(Debug)]
struct Socket {
    role: Role,
    listener: UnixListener,
    door: Door,
}

impl Sockets {
    /// Listens on each path with the mode and group its role needs, taking the place of sockets a dead agent left: the
    /// caller holds the state's lock, so there is no living one.
    ///
    /// # Errors
    /// A socket cannot be made, or its group does not exist.
    pub fn bind(local: &[LocalSocket]) -> Result<Self, ServerError> {
        let mut sockets = Vec::new();
        for one in local {
            sockets.push(Arc::new(Socket::bind(one)?));
        }
        Ok(Self(sockets))
    }

    /// Serves until the future is dropped, which ends every connection. Calls go into `calls`; followers hear what is
    /// told to `hub`.
    pub async fn serve(&self, calls: mpsc::Sender<Request>, hub: Hub) {
        let mut serving = JoinSet::new();
        for socket in &self.0 {
            let (role, calls, hub) = (socket.role, calls.clone(), hub.clone());
            let (caller, places) = (Caller::Local(role), Places::new(role));
            let backend = Arc::new(Backend { caller, calls, hub, places, remote: None });
            let socket = Arc::clone(socket);
            serving.spawn(async move { socket.serve(backend).await });
        }
        while serving.join_next().await.is_some() {}
    }
}

impl Socket {
    fn bind(local: &LocalSocket) -> Result<Self, ServerError> {
        let path = &local.path;
        let group = local.gid()?;
        let fail = |source| ServerError::Listen { path: path.clone(), source };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        #[expect(clippy::disallowed_methods, reason = "a unix socket, to listen at")]
        let made = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(|errno| fail(errno.into()))?;
        let address = UnixAddr::new(path).map_err(|errno| fail(errno.into()))?;
        bind(made.as_raw_fd(), &address).map_err(|errno| fail(errno.into()))?;
        // Nobody can connect before `listen`: the mode and group are in force from the first connection on.
        restrict(path, group).map_err(|source| match (&local.group, group) {
            (Some(group), Some(_)) => ServerError::Group { path: path.clone(), group: group.clone(), source },
            _ => fail(source),
        })?;
        let backlog = Backlog::new(BACKLOG).map_err(|errno| fail(errno.into()))?;
        listen(&made, backlog).map_err(|errno| fail(errno.into()))?;
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(made)).map_err(fail)?;
        let file = std::fs::symlink_metadata(path).map_err(fail)?;
        let door = Door { path: path.clone(), group, inode: (file.dev(), file.ino()) };
        Ok(Self { role: local.role, listener, door })
    }

    async fn serve(&self, backend: Arc<Backend>) {
        let mut open = JoinSet::new();
        while let Some(place) = backend.places.connection().await {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = open.join_next() => continue,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors, most likely: give connections time to end instead of spinning.
                tokio::time::sleep(AFTER_FAILURE).await;
                continue;
            };
            if !self.door.lets_in(&stream) {
                tracing::warn!(code = %Code::WrongUser, role = %self.role, "a connection by another user was closed");
                continue;
            }
            let backend = backend.clone();
            open.spawn(async move {
                connection(stream, backend).await;
                drop(place);
            });
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.door.path);
    }
}

fn restrict(path: &Path, group: Option<Gid>) -> io::Result<()> {
    if let Some(group) = group {
        std::os::unix::fs::chown(path, None, Some(group.as_raw()))?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(Door::mode(group)))
}
