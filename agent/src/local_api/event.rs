//! What changes, as it is told to whoever follows.

use casemate_protocol::code::Code;
use casemate_protocol::device::id::{Name, Owner};
use casemate_protocol::digest::Digest;
use serde::{Deserialize, Serialize};

use super::answer::Outcome;

/// One thing that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Journal size after the change. One durable write may bring several events of one sequence.
    pub sequence: u64,
    /// What.
    pub kind: EventKind,
}

/// What changed. The variant's name is the event's name on the wire, its fields (and the sequence) are its data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// An owner's machine moved.
    Generation(GenerationEvent),
    /// A consumer reported.
    Consumer(ConsumerEvent),
    /// A receipt was written.
    Receipt(ReceiptEvent),
    /// What may be exchanged with whom changed.
    Boundary(BoundaryEvent),
    /// Events before this one are gone: read the tree anew. Made by the hub, never published.
    Reset,
}

/// An owner's machine moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationEvent {
    /// Whose.
    pub owner: Owner,
    /// Where to.
    pub state: Milestone,
    /// Number of the generation it is about: the one that moves, or the one that is current again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Why, if it did not go well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
}

/// What an owner's machine reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Milestone {
    /// The generation is whole on disk, beside what is current.
    Staged,
    /// It waits for its maintenance window.
    Waiting,
    /// It is current and on trial.
    Probation,
    /// It is current for good.
    Committed,
    /// It was undone: the one before is current again.
    Restored,
    /// It ended before it was current.
    Failed,
    /// The owner left.
    Removed,
}

impl Milestone {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Staged => "staged",
            Self::Waiting => "waiting",
            Self::Probation => "probation",
            Self::Committed => "committed",
            Self::Restored => "restored",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// A consumer reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerEvent {
    /// Whose generation.
    pub owner: Owner,
    /// Its number.
    pub generation: u64,
    /// Who.
    pub consumer: Name,
    /// What it said.
    pub outcome: Outcome,
    /// Why, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Name>,
}

/// A receipt was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptEvent {
    /// Its number.
    pub receipt: u64,
    /// Its overall code.
    pub code: Code,
}

/// What may be exchanged with whom changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundaryEvent {
    /// `applied`, `probation` while a wider one is tried, or why it went back.
    pub code: Code,
    /// Digest of the policy in force now.
    pub policy: Digest,
}

impl EventKind {
    /// The event's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Generation(_) => "generation",
            Self::Consumer(_) => "consumer",
            Self::Receipt(_) => "receipt",
            Self::Boundary(_) => "boundary",
            Self::Reset => "reset",
        }
    }
}

/// The fields of an event with its sequence: the data on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Data<T> {
    pub(super) sequence: u64,
    #[serde(flatten)]
    pub(super) fields: T,
}

impl Event {
    /// The data as one line of JSON.
    #[must_use]
    pub fn data(&self) -> String {
        fn line<T: Serialize>(sequence: u64, fields: &T) -> String {
            // Names, numbers and codes: there is nothing in them that cannot be written.
            serde_json::to_string(&Data { sequence, fields }).unwrap_or_default()
        }
        match &self.kind {
            EventKind::Generation(fields) => line(self.sequence, fields),
            EventKind::Consumer(fields) => line(self.sequence, fields),
            EventKind::Receipt(fields) => line(self.sequence, fields),
            EventKind::Boundary(fields) => line(self.sequence, fields),
            EventKind::Reset => line(self.sequence, &serde_json::Map::new()),
        }
    }

    /// The event `name` with this data; `None` for a name this version does not know.
    ///
    /// # Errors
    /// The data is not that event's.
    pub fn parse(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        fn read<T: for<'de> Deserialize<'de>>(data: &str, kind: fn(T) -> EventKind) -> serde_json::Result<Event> {
            let Data { sequence, fields } = serde_json::from_str::<Data<T>>(data)?;
            Ok(Event { sequence, kind: kind(fields) })
        }
        Ok(Some(match name {
            "generation" => read(data, EventKind::Generation)?,
            "consumer" => read(data, EventKind::Consumer)?,
            "receipt" => read(data, EventKind::Receipt)?,
            "boundary" => read(data, EventKind::Boundary)?,
            "reset" => read(data, |_: serde_json::Map<String, serde_json::Value>| EventKind::Reset)?,
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_as_written() {
        let owner: Owner = "group.clinics".parse().unwrap();
        let name: Name = "synapse".parse().unwrap();
        let (state, code) = (Milestone::Restored, Some(Code::DiskFull));
        for kind in [
            EventKind::Generation(GenerationEvent { owner: owner.clone(), state, generation: Some(3), code }),
            EventKind::Generation(GenerationEvent {
                owner: owner.clone(),
                state: Milestone::Removed,
                generation: None,
                code: None,
            }),
            EventKind::Consumer(ConsumerEvent {
                owner,
                generation: 4,
                consumer: name.clone(),
                outcome: Outcome::Failed,
                reason: Some(name),
            }),
            EventKind::Receipt(ReceiptEvent { receipt: 9, code: Code::Applied }),
            EventKind::Boundary(BoundaryEvent { code: Code::Applied, policy: Digest::of(b"policy") }),
            EventKind::Reset,
        ] {
            let event = Event { sequence: 41, kind };
            let data = event.data();
            assert!(data.starts_with("{\"sequence\":41") && !data.contains('\n'), "{data}");
            assert_eq!(Event::parse(event.kind.name(), &data).unwrap(), Some(event));
        }
        assert_eq!(Event::parse("weather", "{}").unwrap(), None);
    }
}
