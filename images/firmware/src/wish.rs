//! What the agent's tree asks of this consumer.

use std::collections::BTreeSet;

use casemate_protocol::device::id::{Name, Owner};

use crate::agent::{OwnerTree, Tree, TreeFile};
use crate::reason::Reason;

/// Who may assign firmware: whoever does decides what the whole appliance runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigners {
    /// Every group, and no tenant.
    AnyGroup,
    /// These.
    Only(BTreeSet<Owner>),
}

impl Assigners {
    fn include(&self, owner: &Owner) -> bool {
        match self {
            Self::AnyGroup => matches!(owner, Owner::Group(_)),
            Self::Only(owners) => owners.contains(owner),
        }
    }
}

/// What should boot next, and who waits for a report about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// The firmware.
    pub firmware: Firmware,
    /// Generations in probation that declare this consumer.
    pub awaited: Vec<(Owner, u64)>,
    /// The same of owners who may not: nothing they assign counts, and nobody else waits because of them.
    pub refused: Vec<(Owner, u64)>,
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
    /// What `tree` asks of `consumer`, as far as `assigners` may.
    #[must_use]
    pub fn of(tree: &Tree, consumer: &Name, assigners: &Assigners) -> Self {
        let declaring = tree.owners.iter().filter(|owner| owner.consumers.contains_key(consumer));
        let (allowed, others): (Vec<_>, Vec<_>) = declaring.partition(|owner| assigners.include(&owner.id));
        let on_trial = |owners: &[&OwnerTree]| {
            let owners = owners.iter().filter(|owner| owner.state == "probation");
            owners.map(|owner| (owner.id.clone(), owner.generation.number)).collect()
        };
        let (awaited, refused) = (on_trial(&allowed), on_trial(&others));
        Self { firmware: firmware(&allowed, consumer), awaited, refused }
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
        Wish::of(&tree, &"firmware".parse().unwrap(), &Assigners::AnyGroup)
    }

    #[test]
    fn only_a_file_assigned_to_this_consumer_is_firmware() {
        let Wish { firmware: Firmware::Assigned(assigned), awaited, .. } =
            wish(&[owner("group.base", "probation", &["firmware/appliance.raucb"])])
        else {
            panic!("nothing is assigned")
        };
        assert_eq!(assigned.file.path.as_str(), "firmware/appliance.raucb");
        assert_eq!(awaited, [("group.base".parse().unwrap(), 4)]);
        let tree = serde_json::from_value(json!({ "owners": [owner("group.base", "probation", &["a"])] })).unwrap();
        let other = Wish::of(&tree, &"synapse".parse().unwrap(), &Assigners::AnyGroup);
        assert_eq!(other, Wish { firmware: Firmware::AsItIs, awaited: Vec::new(), refused: Vec::new() });
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
        assert_eq!(unclear(&[base.clone(), owner("group.rail", "committed", &["b"])]), several);
        assert_eq!(unclear(&[owner("group.base", "probation", &[])]), Firmware::Unclear(Reason::NoArtifact));
        assert_eq!(unclear(&[base, owner("group.rail", "restoring", &[])]), Firmware::Undecided);
    }

    #[test]
    fn a_tenant_assigns_no_firmware_and_keeps_nobody_from_getting_his() {
        let (base, rail) = (owner("group.base", "probation", &["a"]), "tenant.rail".parse().unwrap());
        for state in ["probation", "committed", "restoring"] {
            let both = wish(&[base.clone(), owner("tenant.rail", state, &["b"])]);
            assert!(matches!(&both.firmware, Firmware::Assigned(one) if one.owner.to_string() == "group.base"));
            assert_eq!(both.awaited, [("group.base".parse().unwrap(), 4)]);
        }
        let alone = wish(&[owner("tenant.rail", "probation", &["b"])]);
        assert_eq!(alone, Wish { firmware: Firmware::AsItIs, awaited: Vec::new(), refused: vec![(rail, 4)] });
    }

    #[test]
    fn the_image_may_name_who_assigns_firmware() {
        let tree =
            json!({ "owners": [owner("group.base", "probation", &["a"]), owner("tenant.rail", "committed", &["b"])] });
        let only = Assigners::Only(["tenant.rail".parse().unwrap()].into());
        let wish = Wish::of(&serde_json::from_value(tree).unwrap(), &"firmware".parse().unwrap(), &only);
        assert!(matches!(wish.firmware, Firmware::Assigned(one) if one.owner.to_string() == "tenant.rail"));
        assert_eq!(wish.refused, [("group.base".parse().unwrap(), 4)]);
    }
}
