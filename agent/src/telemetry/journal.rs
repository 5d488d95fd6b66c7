//! systemd's journal as a place for events.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::entry::Entry;

/// Where journald listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Sends events to journald with their fields.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
    /// Events that were lost because journald did not keep up. The agent does not wait for whoever logs.
    lost: AtomicU64,
}

impl Journal {
    /// journald, if standard error leads there.
    pub(super) fn behind_stderr() -> Option<Self> {
        let stat = nix::sys::stat::fstat(io::stderr()).ok()?;
        let stream = stream()?;
        leads_to(&stream, stat.st_dev, stat.st_ino).then(|| Self::at(Path::new(SOCKET)).ok()).flatten()
    }

    /// Whatever reads datagrams at `path`. Nothing is connected: journald may be restarted.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path: path.into(), lost: AtomicU64::new(0) })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let entry = Entry::of(event);
        let mut datagram = entry.datagram(*event.metadata().level());
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            datagram.extend_from_slice(format!("CASEMATE_LOST={lost}\n").as_bytes());
        }
        match self.socket.send_to(&datagram, &self.path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.lost.fetch_add(lost + 1, Ordering::Relaxed);
            }
            // journald is not there: its stream may still be.
            Err(_) => eprintln!("{}", entry.line()),
        }
    }
}

/// What systemd says about the stream it connected, as systemd.exec(5) documents.
#[expect(clippy::disallowed_methods, reason = "says where standard error leads, configures nothing")]
fn stream() -> Option<String> {
    std::env::var("JOURNAL_STREAM").ok()
}

/// Whether `stream` names the file of that device and inode. A descriptor that was redirected since has another one.
fn leads_to(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The fields of the next entry, as journald reads them.
    fn receive(journald: &UnixDatagram) -> Vec<(String, String)> {
        let mut buffer = vec![0; 1 << 18];
        let length = journald.recv(&mut buffer).unwrap();
        let (mut rest, mut fields) = (&buffer[..length], Vec::new());
        while let Some(end) = rest.iter().position(|byte| matches!(byte, b'=' | b'\n')) {
            let (key, plain) = (&rest[..end], rest[end] == b'=');
            rest = &rest[end + 1..];
            let length = if plain {
                rest.iter().position(|byte| *byte == b'\n').unwrap()
            } else {
                let (length, tail) = rest.split_first_chunk::<8>().unwrap();
                rest = tail;
                usize::try_from(u64::from_le_bytes(*length)).unwrap()
            };
            let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
            fields.push((text(key), text(&rest[..length])));
            assert_eq!(rest[length], b'\n');
            rest = &rest[length + 1..];
        }
        fields
    }

    fn journald() -> (tempfile::TempDir, UnixDatagram, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        (folder, journald, Journal::at(&path).unwrap())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    #[test]
    fn an_event_arrives_with_its_fields_under_fixed_keys() {
        let (_folder, journald, journal) = journald();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            tracing::warn!(code = %"metadata-expired", count = 3, "the stick was not imported");
        });
        let expected = pairs(&[
            ("MESSAGE", "the stick was not imported code=metadata-expired count=3"),
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "casemate-agent"),
            ("CASEMATE_CODE", "metadata-expired"),
            ("CASEMATE_COUNT", "3"),
        ]);
        assert_eq!(receive(&journald), expected);
    }

    #[test]
    fn a_line_break_in_a_value_starts_no_field() {
        let (_folder, journald, journal) = journald();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            tracing::error!(error = "torn\nPRIORITY=0", "the state is damaged");
        });
        let fields = receive(&journald);
        assert_eq!(fields[1], ("PRIORITY".into(), "3".into()));
        assert_eq!(fields[3], ("CASEMATE_ERROR".into(), "torn\nPRIORITY=0".into()));
        assert_eq!(fields.len(), 4);
    }

    #[test]
    fn a_long_value_is_cut_at_a_character_and_still_arrives() {
        let (_folder, journald, journal) = journald();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            tracing::error!(error = "a".to_owned() + &"ü".repeat(200_000), "long");
        });
        assert_eq!(receive(&journald)[3].1.len(), 16 * 1024 - 1);
    }

    #[test]
    fn a_journal_that_does_not_keep_up_is_not_waited_for_and_learns_what_it_missed() {
        let (_folder, journald, journal) = journald();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(journal), || {
            for _ in 0..10_000 {
                tracing::info!("again");
            }
            let mut held = 0;
            journald.set_nonblocking(true).unwrap();
            while journald.recv(&mut [0; 256]).is_ok() {
                held += 1;
            }
            tracing::info!("after");
            let lost = pairs(&[("CASEMATE_LOST", &(10_000 - held).to_string())]);
            assert_eq!(receive(&journald)[3..], lost);
        });
    }

    #[test]
    fn only_the_very_stream_systemd_made_counts() {
        assert!(leads_to("8:12345", 8, 12345));
        for other in ["8:1234", "9:12345", "", "8", "8:12345 "] {
            assert!(!leads_to(other, 8, 12345), "{other}");
        }
    }
}
