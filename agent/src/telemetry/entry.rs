//! One event as systemd's journal takes it: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// What the entry is filed under.
const IDENTIFIER: &str = "casemate-agent";
/// Longest value, bytes: an entry must fit one datagram, and the kernel's default is 212,992.
const MAX_VALUE: usize = 16 * 1024;

/// An event's message and fields.
#[derive(Debug, Default)]
pub(super) struct Entry {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Entry {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut entry = Self::default();
        event.record(&mut entry);
        entry
    }

    /// The datagram. `MESSAGE` repeats the fields, because that is what `journalctl` shows.
    pub(super) fn datagram(&self, level: Level) -> Vec<u8> {
        let mut datagram = Vec::new();
        put(&mut datagram, "MESSAGE", &self.line());
        put(&mut datagram, "PRIORITY", priority(level));
        put(&mut datagram, "SYSLOG_IDENTIFIER", IDENTIFIER);
        for (key, value) in &self.fields {
            put(&mut datagram, &format!("CASEMATE_{}", key.to_ascii_uppercase()), value);
        }
        datagram
    }

    /// Message and fields on one line.
    pub(super) fn line(&self) -> String {
        let mut line = self.message.clone();
        for (key, value) in &self.fields {
            let _written = write!(line, " {key}={value}");
        }
        line
    }

    fn note(&mut self, field: &Field, mut value: String) {
        let end = (0..=MAX_VALUE.min(value.len())).rev().find(|end| value.is_char_boundary(*end));
        value.truncate(end.unwrap_or(0));
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }
}

/// Syslog's number for a level.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// A value with a line break needs its length in front, or the break would start another field.
fn put(datagram: &mut Vec<u8>, key: &str, value: &str) {
    datagram.extend_from_slice(key.as_bytes());
    if value.contains('\n') {
        datagram.push(b'\n');
        datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        datagram.push(b'=');
    }
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}
