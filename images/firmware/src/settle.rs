//! From what the slots hold to what they should hold: a decision without input or output.

use casemate_protocol::digest::Digest;

use crate::ledger::Entries;
use crate::reason::Reason;
use crate::slot::{SlotName, Slots};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the wanted firmware runs, or boots next.
    Done,
    /// Write the artifact into the slot that does not run.
    Install,
    /// The wanted firmware is there: mark it.
    BootNext(SlotName),
    /// Nothing will help.
    Refuse(Reason),
}

/// Decides. `wanted` is the artifact of the current generations, or none if they assign none.
#[must_use]
pub fn step(wanted: Option<&Digest>, slots: &Slots, known: &Entries) -> Step {
    let holds = |slot: &SlotName| known.filling(slot, slots).filter(|filling| Some(&filling.object) == wanted);
    let mark = |slot: &SlotName| if slots.next == *slot { Step::Done } else { Step::BootNext(slot.clone()) };
    if wanted.is_none() {
        // Undone before it booted: what runs stays. A mark somebody else has set is not ours to take back.
        let ours = known.filling(&slots.next, slots).is_some();
        return if ours { mark(&slots.booted) } else { Step::Done };
    }
    if holds(&slots.booted).is_some() {
        return mark(&slots.booted);
    }
    match slots.seals.keys().find_map(|slot| holds(slot).map(|filling| (slot, filling))) {
        Some((_, filling)) if filling.fell_back => Step::Refuse(Reason::FellBack),
        Some((slot, _)) => mark(slot),
        None => Step::Install,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Filling;

    fn slots(next: &str) -> Slots {
        let seals = ["a", "b"].map(|name| (SlotName::new(name), format!("seal of {name}")));
        Slots { booted: SlotName::new("a"), next: SlotName::new(next), seals: seals.into() }
    }

    fn known(fillings: &[(&str, &[u8])]) -> Entries {
        let fillings = fillings.iter().map(|(name, content)| {
            let seal = format!("seal of {name}");
            (SlotName::new(*name), Filling { object: Digest::of(content), seal, fell_back: false })
        });
        Entries { slots: fillings.collect(), ..Entries::default() }
    }

    fn boot_next(slot: &str) -> Step {
        Step::BootNext(SlotName::new(slot))
    }

    #[test]
    fn what_no_slot_holds_is_installed() {
        let new = Digest::of(b"new");
        assert_eq!(step(Some(&new), &slots("a"), &known(&[])), Step::Install);
        assert_eq!(step(Some(&new), &slots("a"), &known(&[("a", b"old"), ("b", b"older")])), Step::Install);
    }

    #[test]
    fn what_a_slot_holds_is_never_written_again() {
        let (new, both) = (Digest::of(b"new"), known(&[("a", b"old"), ("b", b"new")]));
        assert_eq!(step(Some(&new), &slots("b"), &both), Step::Done);
        assert_eq!(step(Some(&new), &slots("a"), &both), boot_next("b"));
        assert_eq!(step(Some(&Digest::of(b"old")), &slots("a"), &both), Step::Done);
    }

    #[test]
    fn an_undone_generation_takes_its_mark_back() {
        let both = known(&[("a", b"old"), ("b", b"new")]);
        assert_eq!(step(Some(&Digest::of(b"old")), &slots("b"), &both), boot_next("a"));
        assert_eq!(step(None, &slots("b"), &known(&[("b", b"new")])), boot_next("a"));
    }

    #[test]
    fn a_mark_of_somebody_else_stays() {
        assert_eq!(step(None, &slots("b"), &known(&[])), Step::Done);
        let mut foreign = known(&[("b", b"new")]);
        foreign.slots.get_mut(&SlotName::new("b")).unwrap().seal = "before somebody wrote it".into();
        assert_eq!(step(None, &slots("b"), &foreign), Step::Done);
        assert_eq!(step(Some(&Digest::of(b"new")), &slots("b"), &foreign), Step::Install);
    }

    #[test]
    fn an_artifact_that_did_not_come_up_is_not_marked_again() {
        let mut known = known(&[("b", b"new")]);
        known.marked(&SlotName::new("b"), &slots("b"), "first boot");
        known.booted(&slots("b"), "first boot");
        assert_eq!(step(Some(&Digest::of(b"new")), &slots("b"), &known), Step::Done);
        known.booted(&slots("a"), "second boot");
        assert_eq!(step(Some(&Digest::of(b"new")), &slots("a"), &known), Step::Refuse(Reason::FellBack));
        assert_eq!(step(Some(&Digest::of(b"mended")), &slots("a"), &known), Step::Install);
    }

    #[test]
    fn an_artifact_that_came_up_is_at_home() {
        let mut known = known(&[("b", b"new")]);
        known.marked(&SlotName::new("b"), &slots("b"), "first boot");
        let after = Slots { booted: SlotName::new("b"), ..slots("b") };
        known.booted(&after, "second boot");
        assert_eq!((known.mark.clone(), step(Some(&Digest::of(b"new")), &after, &known)), (None, Step::Done));
    }
}
