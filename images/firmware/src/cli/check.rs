//! `check`.

use crate::config::{Config, WriterConfig};
use crate::exit::Failure;
use crate::wish::Assigners;

/// Says what the configuration means; reading it was the check.
#[expect(clippy::unnecessary_wraps, reason = "every verb may fail")]
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    println!("consumer  {}", config.consumer);
    println!("socket    {}", config.socket.display());
    println!("state     {}", config.state.display());
    println!("limit     {} s", config.limit.as_secs());
    match &config.assigners {
        Assigners::AnyGroup => println!("owners    any group, no tenant"),
        Assigners::Only(owners) => owners.iter().for_each(|owner| println!("owner     {owner}")),
    }
    match &config.writer {
        WriterConfig::Rauc { bus } => println!("writer    RAUC on {}", bus.display()),
        WriterConfig::Files { slots, pointer, booted } => {
            println!("writer    files; pointer {}, booted slot from {}", pointer.display(), booted.display());
            for (slot, path) in slots {
                println!("slot      {slot}: {}", path.display());
            }
        }
    }
    Ok(())
}
