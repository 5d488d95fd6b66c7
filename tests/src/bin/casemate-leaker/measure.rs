//! What the layers cost: connections to the peer, one after the other.

use std::time::{Duration, Instant};

use crate::layer::Door;
use crate::leak::{PEER, connect};

/// Connects `count` times and says the median of their durations. With a door, through it.
pub(crate) fn connections(count: usize, door: Option<&Door>) -> std::io::Result<Duration> {
    let mut taken = match door {
        Some(door) => door.connections(count)?,
        None => (0..count)
            .map(|_| {
                let begun = Instant::now();
                connect(PEER, socket2::Protocol::TCP).map(|_| begun.elapsed())
            })
            .collect::<Result<_, _>>()?,
    };
    taken.sort_unstable();
    Ok(taken.get(taken.len() / 2).copied().unwrap_or_default())
}
