//! What the program tells whoever looks over its shoulder: one event a line on standard error, or an entry with fields
//! in systemd's journal where standard error leads there.
//!
//! Nothing secret and nothing personal is logged. What varies stands in fields, never inside the message, and the
//! fields' names are fixed ([`KEYS`]): codes, numbers, digests, names of the signed profile, paths of the
//! configuration and of the state. Names of files on a stick are whatever people call them, so they are not logged;
//! whoever asked for the import is told them. Nothing in a bundle can raise the level.

mod entry;
mod journal;
mod start;

pub use start::start;

/// Every field an event may carry. `.ci/house` compares the program's events with this list.
pub const KEYS: [&str; 24] = [
    "bytes",      // a length
    "code",       // an outcome's stable word
    "consumer",   // a consumer's name in the manifest
    "count",      // how many
    "cut",        // bytes of a torn journal tail
    "damage",     // what is wrong with the stored state
    "digest",     // SHA-256, hexadecimal
    "error",      // a cause, from the system or the store
    "generation", // an owner's generation number
    "outcome",    // what a consumer reported
    "owner",      // who signs a subtree
    "path",       // a path of the configuration or the state
    "peer",       // a peer's name in the boundary
    "probe",      // a declared probe, as signed
    "reason",     // a hyphenated word
    "receipt",    // a receipt's number
    "records",    // journal records
    "remedy",     // what to do about it
    "role",       // a role of the local API
    "route",      // a route of the API, as in its description
    "sequence",   // a position in the journal
    "socket",     // a socket's path
    "state",      // where an owner's update stands
    "unit",       // a systemd unit
];

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_about_the_log_names_every_key() {
        let page = include_str!("../../../docs/service.md").replace('\n', " ");
        let keys = super::KEYS.map(str::to_uppercase);
        assert!(page.contains(&keys.join(" ")), "{}", keys.join(" "));
    }
}
