//! What the agent's tree asks of this consumer.

use casemate_protocol::device::id::{Name, Owner};

use crate::agent::{OwnerTree, Tree, TreeFile};
use crate::reason::Reason;

/// What should boot next, and who waits for a report about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The firmware.
    pub firmware: Firmware,
    /// Generations in probation that declare this consumer.
    pub awaited: Vec<(Owner, u64)>,
}

/// The firmware the current generations want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// None of them assigns any: whatever runs, stays.
    AsItIs,
    /// A generation is being switched: an event will follow.
    Undecided,
    /// This one.
    Assigned(Assigned),
    /// They contradict themselves or each other.
    Unclear(Reason),
}

/// A file assigned to this consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// Who assigned it.
    pub owner: Owner,
    /// The folder of the owner's generation.
    pub folder: std::path::PathBuf,
    /// The file.
    pub file: TreeFile,
}

impl Wish {
    /// What `tree` asks of `consumer`.
    #[must_use]
    pub fn of(tree: &Tree, consumer: &Name) -> Self {
        let declaring: Vec<_> = tree.owners.iter().filter(|owner| owner.consumers.contains_key(consumer)).collect();
        let awaited: Vec<_> = declaring
            .iter()
            .filter(|owner| owner.state == "probation")
            .map(|owner| (owner.id.clone(), owner.generation.number))
            .collect();
        Self { firmware: firmware(&declaring, consumer), awaited }
    }
}

fn firmware(declaring: &[&OwnerTree], consumer: &Name) -> Firmware {
    if declaring.iter().any(|owner| matches!(owner.state.as_str(), "switching" | "restoring")) {
        return Firmware::Undecided;
    }
    let assigned: Vec<_> = declaring
        .iter()
        .flat_map(|owner| {
            let mine = owner.files.iter().filter(|file| file.consumer.as_ref() == Some(consumer));
            mine.map(|file| Assigned { owner: owner.id.clone(), folder: owner.path.clone(), file: file.clone() })
        })
        .collect();
    match assigned.as_slice() {
        [] if declaring.is_empty() => Firmware::AsItIs,
        [] => Firmware::Unclear(Reason::NoArtifact),
        [one] => Firmware::Assigned(one.clone()),
        [..] => Firmware::Unclear(Reason::SeveralArtifacts),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner(id: &str, state: &str, files: &[&str]) -> Value {
        let files: Vec<_> = files
            .iter()
            .map(|path| json!({ "path": path, "length": 1, "object": "0".repeat(64), "consumer": "firmware" }))
            .chain([json!({ "path": "nginx.conf", "length": 1, "object": "0".repeat(64), "consumer": "nginx" })])
            .collect();
        json!({ "id": id, "state": state, "generation": { "number": 4, "version": 2 }, "path": "/c", "files": files,
                "consumers": { "firmware": { "on_change": "none" }, "nginx": { "unit": "nginx.service" } } })
    }

    fn wish(owners: &[Value]) -> Wish {
        let tree = serde_json::from_value(json!({ "sequence": 1, "owners": owners })).unwrap();
        Wish::of(&tree, &"firmware".parse().unwrap())
    }

    #[test]
    fn only_a_file_assigned_to_this_consumer_is_firmware() {
        let Wish { firmware: Firmware::Assigned(assigned), awaited } =
            wish(&[owner("group.base", "probation", &["firmware/appliance.raucb"])])
        else {
            panic!("nothing is assigned")
        };
        assert_eq!(assigned.file.path.as_str(), "firmware/appliance.raucb");
        assert_eq!(awaited, [("group.base".parse().unwrap(), 4)]);
        let tree = serde_json::from_value(json!({ "owners": [owner("group.base", "probation", &["a"])] })).unwrap();
        let other = Wish::of(&tree, &"synapse".parse().unwrap());
        assert_eq!(other, Wish { firmware: Firmware::AsItIs, awaited: Vec::new() });
    }

    #[test]
    fn a_committed_generation_is_installed_and_awaits_nothing() {
        let wish = wish(&[owner("group.base", "committed", &["a"])]);
        assert!(matches!(wish.firmware, Firmware::Assigned(_)) && wish.awaited.is_empty());
    }

    #[test]
    fn nobody_guesses_among_several_files_or_owners() {
        let base = owner("group.base", "probation", &["a"]);
        let unclear = |owners: &[Value]| wish(owners).firmware;
        let several = Firmware::Unclear(Reason::SeveralArtifacts);
        assert_eq!(unclear(&[owner("group.base", "probation", &["a", "b"])]), several);
        assert_eq!(unclear(&[base.clone(), owner("tenant.rail", "committed", &["b"])]), several);
        assert_eq!(unclear(&[owner("group.base", "probation", &[])]), Firmware::Unclear(Reason::NoArtifact));
        assert_eq!(unclear(&[base, owner("tenant.rail", "restoring", &[])]), Firmware::Undecided);
    }
}
