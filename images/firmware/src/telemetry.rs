//! What the service logs: one event a line on standard error, which systemd takes into the journal.
//!
//! What varies stands in fields, and the fields' names are fixed ([`KEYS`]), as in the agent.

use tracing::Level;

/// Every field an event may carry. `.ci/house` compares the service's events with this list.
pub const KEYS: [&str; 10] = [
    "digest",     // the agent's object id of an artifact
    "error",      // what failed and why, outermost first
    "generation", // an owner's generation number
    "outcome",    // what was reported
    "owner",      // who signs a subtree
    "path",       // a path of the configuration, the state or a generation
    "percent",    // of an installation
    "reason",     // a hyphenated word
    "said",       // RAUC's own text
    "slot",       // a slot's name
];

/// Sends events of `level` and above to standard error. The environment cannot raise the level.
pub fn start(level: Level) {
    // A second call (a test) keeps the first subscriber. The journal knows the time.
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).with_ansi(false);
    let _already = subscriber.with_target(false).without_time().try_init();
}

/// An error with what stands behind it, in one line.
#[must_use]
pub fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
