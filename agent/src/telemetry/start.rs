//! Where events go.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::journal::Journal;

/// Sends events of `level` and above to the journal if standard error leads there, else to standard error.
pub fn start(level: Level) {
    let filter = LevelFilter::from_level(level);
    let registry = tracing_subscriber::registry().with(filter);
    // A second call (a test hosting several runtimes) keeps the first subscriber.
    let _already = match Journal::behind_stderr() {
        Some(journal) => registry.with(journal).try_init(),
        None => {
            let plain = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).without_time();
            registry.with(plain.with_writer(std::io::stderr)).try_init()
        }
    };
}
