//! How much may be open through one role's socket at once. Each role has its own, so none starves another.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::refusal::RequestError;
use crate::config::Role;

/// Connections; who comes when all are taken waits in the kernel's queue.
pub(super) const CONNECTIONS: usize = 64;
/// Of them, followers of events.
pub(super) const FOLLOWERS: usize = 32;
/// Of them, readers of files.
pub(super) const READERS: usize = 16;

/// A role's places.
#[derive(Clone, Debug)]
pub(super) struct Places {
    connections: Arc<Semaphore>,
    followers: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

/// Something that takes long is open; its place is free again when this is dropped.
pub(super) type Place = OwnedSemaphorePermit;

impl Places {
    pub(super) fn new(role: Role) -> Self {
        // Calls of all roles and from elsewhere together fit into the loop's queue, which holds 32.
        Self::with_calls(match role {
            Role::Admin => 16,
            Role::Consumer => 8,
            Role::Monitor => 4,
        })
    }

    /// The places of everybody elsewhere.
    pub(super) fn remote() -> Self {
        Self::with_calls(4)
    }

    fn with_calls(calls: usize) -> Self {
        let made = |count| Arc::new(Semaphore::new(count));
        Self { connections: made(CONNECTIONS), followers: made(FOLLOWERS), readers: made(READERS), calls: made(calls) }
    }

    /// A connection's place, as soon as one is free.
    pub(super) async fn connection(&self) -> Option<Place> {
        Arc::clone(&self.connections).acquire_owned().await.ok()
    }

    /// A call's place, as soon as one is free.
    pub(super) async fn call(&self) -> Option<Place> {
        Arc::clone(&self.calls).acquire_owned().await.ok()
    }

    pub(super) fn follower(&self) -> Result<Place, RequestError> {
        let place = Arc::clone(&self.followers).try_acquire_owned();
        place.map_err(|_| RequestError::Places { what: "event streams", limit: FOLLOWERS })
    }

    pub(super) fn reader(&self) -> Result<Place, RequestError> {
        let place = Arc::clone(&self.readers).try_acquire_owned();
        place.map_err(|_| RequestError::Places { what: "file transfers", limit: READERS })
    }
}
