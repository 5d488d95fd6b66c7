//! The input as the child reads it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use casemate_protocol::digest::{Digest, Hasher};

use super::child::ALIVE_STEP;

/// Bytes read ahead: headers and small objects come many to a read; larger ones bypass it. More would only be more memory
/// to fault in and to copy from.
const CHUNK: usize = 16 << 10;
/// Contents from this length on are jumped over, not read, where the input allows it, bytes.
const JUMP: u64 = 256 << 10;
/// Of a refused input, at most this much is hashed for the receipt, bytes.
const MAX_HASHED: u64 = 16 << 30;

/// A file or a pipe, read once from front to back.
pub(super) struct Source {
    input: File,
    chunk: Box<[u8]>,
    start: usize,
    end: usize,
    /// Of everything read, until a verified snapshot makes a better subject for a receipt.
    hasher: Option<Hasher>,
}

impl Source {
    pub(super) fn new(input: File) -> Self {
        Self { input, chunk: vec![0; CHUNK].into(), start: 0, end: 0, hasher: Some(Hasher::new()) }
    }

    /// The snapshot is verified: no digest of the input will be needed.
    pub(super) fn verified(&mut self) {
        self.hasher = None;
    }

    /// What is read ahead; read anew if that is nothing. Empty at the end of the input.
    pub(super) fn bytes(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.start = 0;
            self.end = self.input.read(&mut self.chunk)?;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&self.chunk[..self.end]);
            }
        }
        Ok(&self.chunk[self.start..self.end])
    }

    /// `count` of [`Self::bytes`] are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Fills `buffer`; fewer bytes only at the end of the input.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = buffer.len().min(self.end - self.start);
        buffer[..ahead].copy_from_slice(&self.chunk[self.start..self.start + ahead]);
        self.start += ahead;
        let mut filled = ahead;
        while filled < buffer.len() {
            let count = self.input.read(&mut buffer[filled..])?;
            if count == 0 {
                break;
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&buffer[filled..filled + count]);
            }
            filled += count;
        }
        Ok(filled)
    }

    /// Lets `count` bytes go by; fewer only at the end of the input.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        let mut left = count;
        loop {
            let ahead = (self.end - self.start).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.start += ahead;
            left -= ahead as u64;
            if left == 0 || (left >= JUMP && self.hasher.is_none() && self.jump(left)) {
                return Ok(count);
            }
            if self.bytes()?.is_empty() {
                return Ok(count - left);
            }
        }
    }

    /// Moves a file's position. Beyond its end the next read says so.
    fn jump(&mut self, count: u64) -> bool {
        i64::try_from(count).is_ok_and(|count| self.input.seek(SeekFrom::Current(count)).is_ok())
    }

    /// SHA-256 of the whole input, unless a snapshot was verified. Reads to its end.
    /// Says now and then that it is `alive`.
    pub(super) fn digest(&mut self, alive: &mut dyn FnMut()) -> Option<Digest> {
        self.hasher.as_ref()?;
        let (mut hashed, mut told) = (0, 0);
        while hashed < MAX_HASHED {
            self.start = self.end;
            match self.bytes().map(<[u8]>::len) {
                Ok(count) if count > 0 => hashed += count as u64,
                _ => break,
            }
            if hashed >= told + ALIVE_STEP {
                told = hashed;
                alive();
            }
        }
        self.hasher.take().map(Hasher::finish)
    }
}
