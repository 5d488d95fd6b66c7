//! The stick's folder, looked at again and again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use casemate_protocol::code::{Class, Code};
use casemate_protocol::evidence::receipt::Transport;
use tokio::time::Instant;

use super::agent::Agent;
use super::import::send_home;
use super::store_thread::Desk;
use crate::local_api::call::{Call, ImportSource};
use crate::local_api::event::EventKind;
use crate::local_api::hub::{Follower, Hub, News};
use crate::transport::stick::Inventory;

/// How often the stick's folder is looked at: often enough for a person who waits beside it, seldom enough not to
/// count as work.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// Before what failed here, not because of what is on the stick, is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What was seen of the stick.
#[derive(Debug, Default)]
struct Sightings {
    imported: Inventory,
    seen: Inventory,
    /// When the same is tried again, and the pause before that.
    again: Option<(Instant, Duration)>,
}

impl Sightings {
    /// Whether `found` is to be imported: it has come to rest, and is something else than at the last import or due once
    /// more.
    fn look(&mut self, found: Inventory, now: Instant) -> bool {
        let at_rest = found == self.seen;
        self.seen = found;
        if !at_rest {
            return false;
        }
        let is_new = self.seen != self.imported;
        if is_new {
            self.again = None;
            self.imported = self.seen.clone();
        }
        !self.seen.is_empty() && (is_new || self.again.is_some_and(|(due, _)| due <= now))
    }

    /// The import of what was seen ended with `code`.
    fn ended(&mut self, code: Code, now: Instant) {
        self.again = (code.class() == Class::Environment).then(|| {
            let pause = self.again.map_or(FIRST_PAUSE, |(_, pause)| LONGEST_PAUSE.min(pause * 2));
            (now + pause, pause)
        });
    }
}

/// Imports the stick whenever its inbox holds something else than at the last import and has come to rest; and again
/// after a while if the import failed for a reason that may pass. Outcomes are not waited for; a receipt that comes later
/// goes onto the stick if it is still the same.
pub(super) async fn watch(stick: Option<&Path>, agent: &Agent) {
    let Some(stick) = stick else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let hub = agent.hub();
    let mut receipts = hub.follow(None);
    let mut sightings = Sightings::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = receipt(&mut receipts, &hub), if !sightings.imported.is_empty() => {
                if Inventory::take(stick) == sightings.imported {
                    carry_home(agent.desk(), stick).await;
                }
                continue;
            }
        }
        if sightings.look(Inventory::take(stick), Instant::now()) {
            let code = import(stick, agent).await;
            sightings.ended(code, Instant::now());
        }
    }
}

async fn import(stick: &Path, agent: &Agent) -> Code {
    tracing::info!("a stick with bundles");
    let source = ImportSource::Path(PathBuf::from(stick));
    match agent.call(Call::Import { source, transport: Transport::Stick, wait: false, dry_run: false }).await {
        Ok(report) => {
            tracing::info!(code = report["code"].as_str(), "the stick was imported");
            serde_json::from_value(report["code"].clone()).unwrap_or(Code::Internal)
        }
        Err(failure) => {
            tracing::warn!(code = %failure.code, "the stick was not imported");
            failure.code
        }
    }
}

/// Until a receipt was written, or may have been.
async fn receipt(changes: &mut Follower, hub: &Hub) {
    loop {
        match changes.next().await {
            News::Events(events) => {
                if events.iter().any(|(event, _)| matches!(event.kind, EventKind::Receipt(_))) {
                    return;
                }
            }
            News::Overrun => {
                *changes = hub.follow(None);
                return;
            }
            News::Ended => return std::future::pending().await,
        }
    }
}

async fn carry_home(desk: Desk, stick: &Path) {
    let stick = stick.to_owned();
    // A panic there is told by the runtime; the receipts wait for the next stick.
    let _written = tokio::task::spawn_blocking(move || {
        // What an import wrote went with it.
        if desk.ask_blocking(|keeper| keeper.owes_receipts()).unwrap_or(false) {
            send_home(&desk, &stick);
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A stick with one bundle of so many bytes.
    fn stick(length: usize) -> Inventory {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/bundle.casemate"), vec![7; length]).unwrap();
        Inventory::take(folder.path())
    }

    #[test]
    fn a_stick_is_imported_once_it_has_come_to_rest_and_again_only_when_it_changes() {
        let (mut sightings, now, first, second) = (Sightings::default(), Instant::now(), stick(1), stick(2));
        assert!(!sightings.look(first.clone(), now), "it may still be written to");
        assert!(sightings.look(first.clone(), now));
        sightings.ended(Code::Applied, now);
        assert!(!sightings.look(first.clone(), now + LONGEST_PAUSE));
        assert!(!sightings.look(second.clone(), now) && sightings.look(second.clone(), now));
        sightings.ended(Code::MetadataRollback, now);
        assert!(!sightings.look(second.clone(), now + LONGEST_PAUSE), "what is refused stays refused");
        // It is taken out and put in again.
        assert!(!sightings.look(Inventory::default(), now) && !sightings.look(Inventory::default(), now));
        assert!(!sightings.look(second.clone(), now) && sightings.look(second, now));
    }

    #[test]
    fn what_failed_for_a_reason_that_may_pass_is_tried_again_later_and_later() {
        let (mut sightings, mut now, stick) = (Sightings::default(), Instant::now(), stick(1));
        assert!(!sightings.look(stick.clone(), now) && sightings.look(stick.clone(), now));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            sightings.ended(Code::DiskFull, now);
            assert!(!sightings.look(stick.clone(), now + Duration::from_secs(60 * minutes - 1)), "{minutes}");
            now += Duration::from_secs(60 * minutes);
            assert!(sightings.look(stick.clone(), now), "{minutes}");
        }
        sightings.ended(Code::AlreadyApplied, now);
        assert!(!sightings.look(stick.clone(), now + LONGEST_PAUSE));
    }

    #[test]
    fn another_stick_does_not_wait_for_the_pause_of_the_one_before() {
        let (mut sightings, now, first, second) = (Sightings::default(), Instant::now(), stick(1), stick(2));
        assert!(!sightings.look(first.clone(), now) && sightings.look(first, now));
        sightings.ended(Code::Overload, now);
        assert!(!sightings.look(second.clone(), now) && sightings.look(second.clone(), now));
        sightings.ended(Code::Overload, now);
        assert!(sightings.look(second, now + FIRST_PAUSE), "and begins with the shortest pause itself");
    }
}
