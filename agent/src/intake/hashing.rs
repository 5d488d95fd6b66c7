//! Large contents: one thread reads and writes, a second one hashes the same memory. An input without large contents is
//! hashed by the one that reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use casemate_protocol::digest::{Digest, Hasher};

/// Bytes in a buffer; measured as the size beyond which direct writes no longer get cheaper.
pub(super) const BUFFER: usize = 1 << 20;
/// Buffers going round: one being filled and written, the others waiting to be hashed.
const BUFFERS: usize = 4;
/// What direct writes want buffers and lengths to be a multiple of, bytes.
pub(super) const ALIGNMENT: usize = 4096;

/// [`BUFFER`] bytes that start at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
pub(super) struct Aligned {
    memory: Vec<u8>,
    start: usize,
}

impl Aligned {
    fn new() -> Self {
        let memory = vec![0; BUFFER + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + BUFFER]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + BUFFER]
    }
}

enum Job {
    Bytes(Arc<Aligned>, usize),
    Finish,
}

/// Who hashes.
enum Hand {
    /// Whoever reads.
    Same(Hasher),
    /// A thread of its own.
    Second(Thread),
}

/// The way to the second thread.
struct Thread {
    jobs: SyncSender<Job>,
    released: Receiver<()>,
    digests: Receiver<Digest>,
}

/// Who hashes, and the buffers that go round.
pub(super) struct Hashing {
    hand: Hand,
    free: Vec<Aligned>,
    lent: VecDeque<Arc<Aligned>>,
}

/// The hashing thread is gone, which only a defect can bring about.
#[derive(Debug)]
pub(super) struct Gone;

impl Hashing {
    /// On the thread that reads: what an input of few bytes is hashed in is less than it takes to start another.
    pub(super) fn here() -> Self {
        Self::by(Hand::Same(Hasher::new()))
    }

    fn by(hand: Hand) -> Self {
        Self { hand, free: Vec::new(), lent: VecDeque::new() }
    }

    /// Starts the thread: before the sandbox closes, which forbids it.
    pub(super) fn start() -> std::io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(BUFFERS);
        let (release, released) = sync_channel(BUFFERS);
        let (digest, digests) = sync_channel(1);
        let work = move || {
            let mut hasher = Hasher::new();
            // Running: what a thread does to start is forbidden later.
            let _ = release.send(());
            while let Ok(job) = queue.recv() {
                let gone = match job {
                    Job::Bytes(buffer, length) => {
                        hasher.update(&buffer.bytes()[..length]);
                        // Given up before the other thread hears of it, so that it then owns the buffer alone.
                        drop(buffer);
                        release.send(()).is_err()
                    }
                    Job::Finish => digest.send(std::mem::take(&mut hasher).finish()).is_err(),
                };
                if gone {
                    break;
                }
            }
        };
        thread::Builder::new().name("hash".into()).stack_size(128 << 10).spawn(work)?;
        released.recv().map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(Self::by(Hand::Second(Thread { jobs, released, digests })))
    }

    /// A buffer to fill: a new one until all go round, then the one hashed longest ago.
    pub(super) fn buffer(&mut self) -> Result<Aligned, Gone> {
        if let Some(buffer) = self.free.pop() {
            return Ok(buffer);
        }
        if self.lent.len() < BUFFERS {
            return Ok(Aligned::new());
        }
        self.reclaim()
    }

    fn reclaim(&mut self) -> Result<Aligned, Gone> {
        if let Hand::Second(thread) = &self.hand {
            thread.released.recv().map_err(|_| Gone)?;
        }
        self.lent.pop_front().and_then(Arc::into_inner).ok_or(Gone)
    }

    /// Gives the first `length` bytes of `buffer` to be hashed. They may still be read through what is returned.
    pub(super) fn hash(&mut self, buffer: Aligned, length: usize) -> Result<Arc<Aligned>, Gone> {
        let buffer = Arc::new(buffer);
        match &mut self.hand {
            Hand::Same(hasher) => hasher.update(&buffer.bytes()[..length]),
            Hand::Second(thread) => {
                thread.jobs.send(Job::Bytes(Arc::clone(&buffer), length)).map_err(|_| Gone)?;
            }
        }
        Ok(buffer)
    }

    /// Takes a buffer back that [`Self::hash`] returned, in the same order.
    pub(super) fn give_back(&mut self, buffer: Arc<Aligned>) {
        self.lent.push_back(buffer);
    }

    /// The digest of everything since the last one.
    pub(super) fn finish(&mut self) -> Result<Digest, Gone> {
        let digest = match &mut self.hand {
            Hand::Same(hasher) => std::mem::take(hasher).finish(),
            Hand::Second(thread) => {
                thread.jobs.send(Job::Finish).map_err(|_| Gone)?;
                thread.digests.recv().map_err(|_| Gone)?
            }
        };
        while !self.lent.is_empty() {
            let buffer = self.reclaim()?;
            self.free.push(buffer);
        }
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_thread_hashes_what_was_filled_in_order() {
        for mut hashing in [Hashing::start().unwrap(), Hashing::here()] {
            hash_twice(&mut hashing);
        }
    }

    fn hash_twice(hashing: &mut Hashing) {
        for _ in 0..2 {
            let mut expected = Hasher::new();
            for round in 0..11_u8 {
                let mut buffer = hashing.buffer().unwrap();
                assert_eq!(buffer.bytes().as_ptr().align_offset(ALIGNMENT), 0);
                let length = BUFFER - usize::from(round);
                buffer.bytes_mut()[..length].fill(round);
                expected.update(&buffer.bytes()[..length]);
                let shared = hashing.hash(buffer, length).unwrap();
                hashing.give_back(shared);
            }
            assert_eq!(hashing.finish().unwrap(), expected.finish());
        }
    }
}
