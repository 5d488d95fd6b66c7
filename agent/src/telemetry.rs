//! What the program tells whoever looks over its shoulder: one line an event, on standard error.
//!
//! Nothing secret and nothing personal is logged: codes, numbers, digests and paths of the configuration. Neither
//! the environment nor a bundle can raise the level.

use tracing::Level;

/// Sends events of `level` and above to standard error.
pub fn start(level: Level) {
    // A second call (a test hosting several runtimes) keeps the first subscriber.
    let _already = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(level)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .try_init();
}
