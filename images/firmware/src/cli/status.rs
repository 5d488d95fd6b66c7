//! `status`.

use serde_json::json;

use super::run::runtime;
use crate::config::{Config, WriterConfig};
use crate::exit::Failure;
use crate::ledger::Ledger;
use crate::slot::{Files, Rauc, SlotWriter, Slots};

/// Asks the slot writer, not the service: it answers whether the service runs or not.
pub(super) fn status(config: &Config, as_json: bool) -> Result<(), Failure> {
    let (kind, slots) = match config.writer.clone() {
        WriterConfig::Rauc { bus } => ("rauc", runtime()?.block_on(Rauc::new(bus, config.limit).look())?),
        WriterConfig::Files { slots, pointer, booted } => {
            ("files", Files::new(slots, pointer, booted, config.limit).inspect()?)
        }
    };
    let ledger = Ledger::open(&config.state)?;
    if as_json {
        println!("{:#}", document(config, kind, &slots, &ledger));
    } else {
        show(config, kind, &slots, &ledger);
    }
    Ok(())
}

fn document(config: &Config, kind: &str, slots: &Slots, ledger: &Ledger) -> serde_json::Value {
    let held: Vec<_> = slots
        .seals
        .keys()
        .map(|slot| {
            let filling = ledger.entries.filling(slot, slots);
            json!({
                "slot": slot,
                "booted": *slot == slots.booted,
                "next": *slot == slots.next,
                "object": filling.map(|filling| filling.object),
                "fell_back": filling.is_some_and(|filling| filling.fell_back),
            })
        })
        .collect();
    json!({ "consumer": config.consumer, "writer": kind, "slots": held, "last": ledger.entries.last })
}

fn show(config: &Config, kind: &str, slots: &Slots, ledger: &Ledger) {
    println!("consumer  {}, slots written by {kind}", config.consumer);
    for slot in slots.seals.keys() {
        let object = ledger.entries.filling(slot, slots);
        let object =
            object.map_or_else(|| "not written by this service".into(), |held| format!("object {}", held.object));
        let runs = if *slot == slots.booted { ", runs" } else { "" };
        let next = if *slot == slots.next { ", boots next" } else { "" };
        println!("slot      {slot}: {object}{runs}{next}");
    }
    if let Some(last) = &ledger.entries.last {
        let how = last.failed.map_or_else(|| "in place".into(), |reason| format!("failed, {reason}"));
        println!("last      object {}: {how}", last.object);
    }
}
