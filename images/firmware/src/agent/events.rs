//! Server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, as far as the agent uses them.

use std::collections::VecDeque;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::error::AgentError;

/// Longest unfinished event kept, bytes. The agent's are a few hundred.
const MAX_PENDING: usize = 64 * 1024;

/// One event. Its data is not read: whatever happened, the tree says where things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The sequence number to resume after.
    pub id: Option<String>,
    /// `generation`, `consumer`, `receipt`, `reset`.
    pub name: String,
}

/// The agent's events as they come.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    decoder: Decoder,
}

impl Events {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, decoder: Decoder::default() }
    }

    /// The next event, however long it takes. May be dropped while it waits: nothing is lost.
    ///
    /// # Errors
    /// The stream ended or broke off.
    pub async fn next(&mut self) -> Result<Event, AgentError> {
        loop {
            if let Some(event) = self.decoder.ready.pop_front() {
                return Ok(event);
            }
            let frame = self.body.frame().await.ok_or(AgentError::Ended)?.map_err(AgentError::Broken)?;
            if let Some(bytes) = frame.data_ref() {
                self.decoder.push(bytes);
            }
            if self.decoder.pending.len() > MAX_PENDING {
                return Err(AgentError::TooLong { route: "/v1/events".into(), limit: MAX_PENDING });
            }
        }
    }
}

/// Bytes in, events out.
#[derive(Debug, Default)]
struct Decoder {
    pending: Vec<u8>,
    event: Event,
    ready: VecDeque<Event>,
}

impl Decoder {
    fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        }
    }

    fn line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                let event = std::mem::take(&mut self.event);
                if !event.name.is_empty() {
                    self.ready.push_back(event);
                }
            }
            "id" => self.event.id = Some(value.into()),
            "event" => self.event.name = value.into(),
            // Data, comments that keep the connection alive, fields of another time.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\nid: 7\nevent: generation\ndata: {\"sequence\":7}\n\n:\n\nid:9\r\nevent:reset\r\n\r\nid: 10\nev";

    #[test]
    fn events_are_read_however_the_bytes_are_cut() {
        let event = |id: &str, name: &str| Event { id: Some(id.into()), name: name.into() };
        for step in 1..STREAM.len() {
            let mut decoder = Decoder::default();
            STREAM.as_bytes().chunks(step).for_each(|chunk| decoder.push(chunk));
            assert_eq!(decoder.ready, [event("7", "generation"), event("9", "reset")], "by {step}");
        }
    }
}
