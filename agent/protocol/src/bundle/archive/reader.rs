//! Bytes in, events out.

use super::error::ArchiveError;
use super::header::{self, BLOCK};
use super::member::Member;

/// What the bytes say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A member begins.
    Member(Member),
    /// Some of its content: a slice of the input, never a copy.
    Data(&'a [u8]),
    /// All of its content and padding went by.
    MemberEnd,
    /// The end mark is complete. Any byte after it is an error.
    End,
}

/// Reads an archive in one pass and constant memory. It judges the form only: what may stand where, and what the
/// contents must hash to, is [`super::super::appraisal`]'s.
#[derive(Debug)]
pub struct Reader {
    state: State,
    /// Bytes seen.
    offset: u64,
}

#[derive(Debug)]
enum State {
    Header {
        block: Box<[u8; BLOCK]>,
        filled: usize,
    },
    Content {
        left: u64,
        padding: usize,
    },
    Padding {
        left: usize,
    },
    /// The second zero block.
    EndMark {
        left: usize,
    },
    Ended,
}

/// Bytes that fill a member of `length` up to whole blocks.
pub(super) fn padding(length: u64) -> usize {
    // Smaller than a block.
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 512 fits everywhere")]
    let over = (length % BLOCK as u64) as usize;
    (BLOCK - over) % BLOCK
}

fn header() -> State {
    State::Header { block: Box::new([0; BLOCK]), filled: 0 }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader at the first byte.
    #[must_use]
    pub fn new() -> Self {
        Self { state: header(), offset: 0 }
    }

    /// Bytes seen so far.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Content of the current member that has not gone by yet. While it is not zero, the caller may read that many
    /// bytes straight to where they belong and say so with [`Self::passed`].
    #[must_use]
    pub fn content_left(&self) -> u64 {
        match self.state {
            State::Content { left, .. } => left,
            _ => 0,
        }
    }

    /// `count` bytes of content went by without being shown, at most [`Self::content_left`].
    pub fn passed(&mut self, count: u64) {
        if let State::Content { left, .. } = &mut self.state {
            let count = count.min(*left);
            *left -= count;
            self.offset += count;
        }
    }

    /// Takes bytes off the front of `input` until there is something to say or nothing left. Call again with the rest
    /// until it returns no event.
    ///
    /// # Errors
    /// The bytes are no archive of the subset. The reader must not be used after that.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Event<'a>>, ArchiveError> {
        loop {
            let start = self.offset;
            match &mut self.state {
                State::Header { block, filled } => {
                    let bytes = take(input, BLOCK - *filled, &mut self.offset);
                    block[*filled..*filled + bytes.len()].copy_from_slice(bytes);
                    *filled += bytes.len();
                    if *filled < BLOCK {
                        return Ok(None);
                    }
                    if block.iter().all(|byte| *byte == 0) {
                        self.state = State::EndMark { left: BLOCK };
                        continue;
                    }
                    let member = header::decode(block, self.offset - BLOCK as u64)?;
                    self.state = State::Content { left: member.length, padding: padding(member.length) };
                    return Ok(Some(Event::Member(member)));
                }
                State::Content { left: 0, padding } => self.state = State::Padding { left: *padding },
                State::Content { left, .. } => {
                    let bytes = take(input, usize::try_from(*left).unwrap_or(usize::MAX), &mut self.offset);
                    *left -= bytes.len() as u64;
                    return Ok((!bytes.is_empty()).then_some(Event::Data(bytes)));
                }
                State::Padding { left } => {
                    let bytes = take(input, *left, &mut self.offset);
                    if let Some(index) = bytes.iter().position(|byte| *byte != 0) {
                        return Err(ArchiveError::Padding { offset: start + index as u64 });
                    }
                    *left -= bytes.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = header();
                    return Ok(Some(Event::MemberEnd));
                }
                State::EndMark { left } => {
                    // Where the second block starts, however the input is cut.
                    let mark = start - (BLOCK - *left) as u64;
                    let bytes = take(input, *left, &mut self.offset);
                    if bytes.iter().any(|byte| *byte != 0) {
                        return Err(ArchiveError::EndMark { offset: mark });
                    }
                    *left -= bytes.len();
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Ended;
                    return Ok(Some(Event::End));
                }
                State::Ended if input.is_empty() => return Ok(None),
                State::Ended => return Err(ArchiveError::Trailing { offset: start }),
            }
        }
    }

    /// The input has ended.
    ///
    /// # Errors
    /// The archive has not.
    pub fn finish(&self) -> Result<(), ArchiveError> {
        let inside = match &self.state {
            State::Ended => return Ok(()),
            State::Header { filled: 0, .. } => "no member: the two zero blocks at the end are absent",
            State::Header { .. } => "a header",
            State::Content { .. } => "a member's content",
            State::Padding { .. } => "a member's padding",
            State::EndMark { .. } => "the end mark",
        };
        Err(ArchiveError::Truncated { offset: self.offset, inside })
    }
}

/// Splits at most `most` bytes off `input` and counts them.
fn take<'a>(input: &mut &'a [u8], most: usize, offset: &mut u64) -> &'a [u8] {
    let (head, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    *offset += head.len() as u64;
    head
}
