//! Events on the wire: `text/event-stream`, as the HTML standard's server-sent events.

use std::fmt::Write;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::{Instant, sleep_until};

use super::event::Event;
use super::hub::{Follower, News};

/// A comment goes out when nothing else did for so long, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What a follower is greeted with: it is subscribed from here on, and comes back a second after an end.
const GREETING: &[u8] = b"retry: 1000\n\n";
const BEAT: &[u8] = b":\n\n";

/// What one follower is sent.
#[derive(Debug)]
pub(super) struct Feed {
    follower: Follower,
    greeted: bool,
}

impl Feed {
    pub(super) fn new(follower: Follower) -> Self {
        Self { follower, greeted: false }
    }

    /// The next bytes, and the feed again; `None` if the follower is too far behind: it resumes by its last id.
    pub(super) async fn next(mut self) -> Option<(Self, Bytes)> {
        if !self.greeted {
            self.greeted = true;
            return Some((self, Bytes::from_static(GREETING)));
        }
        let beat = sleep_until(Instant::now() + HEARTBEAT);
        let news = tokio::select! {
            biased;
            news = self.follower.next() => news,
            () = beat => return Some((self, Bytes::from_static(BEAT))),
        };
        match news {
            News::Events(events) => Some((self, text(&events).into())),
            News::Overrun => {
                tracing::info!("a follower of events fell too far behind");
                None
            }
            News::Ended => None,
        }
    }
}

/// Only the last event of a sequence carries its id: whoever breaks off between two of one sequence is told both again.
fn text(events: &[(Event, bool)]) -> String {
    let mut text = String::new();
    for (event, ends) in events {
        if *ends {
            // Writing into a string cannot fail.
            let _written = writeln!(text, "id: {}", event.sequence);
        }
        let _written = write!(text, "event: {}\ndata: {}\n\n", event.kind.name(), event.data());
    }
    text
}

#[cfg(test)]
mod tests {
    use casemate_protocol::code::Code;

    use super::super::event::{EventKind, ReceiptEvent};
    use super::*;

    #[test]
    fn an_event_is_a_name_a_line_of_json_and_the_last_of_a_sequence_has_its_id() {
        let event = |sequence, receipt| {
            let kind = EventKind::Receipt(ReceiptEvent { receipt, code: Code::Applied });
            Event { sequence, kind }
        };
        let events = [(event(7, 1), false), (event(7, 2), true), (Event { sequence: 8, kind: EventKind::Reset }, true)];
        assert_eq!(
            text(&events),
            "event: receipt\ndata: {\"sequence\":7,\"receipt\":1,\"code\":\"applied\"}\n\n\
             id: 7\nevent: receipt\ndata: {\"sequence\":7,\"receipt\":2,\"code\":\"applied\"}\n\n\
             id: 8\nevent: reset\ndata: {\"sequence\":8}\n\n"
        );
    }
}
