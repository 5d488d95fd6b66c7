//! Following the agent's events.

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::super::event::Event;
use super::ClientError;

/// Longest event read, bytes: its names and codes are short.
const MAX_EVENT: usize = 64 * 1024;

/// Events as they come.
#[derive(Debug)]
pub struct Events {
    pub(super) body: Incoming,
    reader: Reader,
}

/// One event as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What happened.
    pub event: Event,
    /// Resume after this once the event is dealt with. Absent if more of the same sequence follows.
    pub resume: Option<u64>,
}

/// `text/event-stream`, line by line.
#[derive(Debug, Default)]
struct Reader {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read.
    done: usize,
    id: Option<u64>,
    name: String,
    data: String,
}

impl Events {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, reader: Reader::default() }
    }

    /// The next event; `None` once the agent ends the stream, because it stops or because this follower fell too far
    /// behind. Events of a name this version does not know are left out. May be dropped and called again.
    ///
    /// # Errors
    /// The connection broke off, or what comes is no event.
    pub async fn next(&mut self) -> Result<Option<Received>, ClientError> {
        loop {
            if let Some(received) = self.reader.event()? {
                return Ok(Some(received));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Some(bytes) = frame.map_err(ClientError::Stream)?.data_ref() {
                self.reader.take(bytes);
            }
        }
    }
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.done);
        self.done = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event in the buffer.
    fn event(&mut self) -> Result<Option<Received>, ClientError> {
        while let Some(length) = self.buffer[self.done..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.buffer[self.done..self.done + length]).into_owned();
            self.done += length + 1;
            let line = line.strip_suffix('\r').unwrap_or(&line);
            if line.is_empty() {
                let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
                let resume = self.id.take();
                if let Some(event) = Event::parse(&name, &data).map_err(ClientError::Answer)? {
                    return Ok(Some(Received { event, resume }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.id = value.parse().ok(),
                "event" => value.clone_into(&mut self.name),
                "data" => self.data.push_str(value),
                // A comment, or a field that is not ours.
                _ => {}
            }
        }
        if self.buffer.len() - self.done + self.data.len() > MAX_EVENT {
            return Err(ClientError::TooLong);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_the_bytes_come() {
        let text = "retry: 1000\n\n:\n\nevent: reset\ndata: {\"sequence\":7}\n\nid: 7\nevent: reset\ndata: \
                    {\"sequence\":7}\n\nevent: weather\ndata: x\n\nid: 8\r\nevent:reset\r\ndata:{\"sequence\":8}\r\n\r\n";
        for step in [1, 2, 7, text.len()] {
            let mut reader = Reader::default();
            let mut seen = Vec::new();
            for bytes in text.as_bytes().chunks(step) {
                reader.take(bytes);
                while let Some(received) = reader.event().unwrap() {
                    seen.push((received.event.sequence, received.resume));
                }
            }
            assert_eq!(seen, [(7, None), (7, Some(7)), (8, Some(8))], "{step} at a time");
        }
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut reader = Reader::default();
        reader.take(&vec![b'x'; MAX_EVENT + 1]);
        assert!(matches!(reader.event(), Err(ClientError::TooLong)));
    }
}
