//! A large file over three sticks and by pull, each time with the agent killed ten times and a bit flipped on the way.
//!
//! `casemate-bench-pull PROGRAM [PARTS]`: 128 parts of 64 MiB are 8 GiB. Wants root, nginx and that much disk.

use casemate_tests::depot::at_the_depot;
use casemate_tests::large::{self, Figures};

/// What the agent and its reader may each hold at most (T4a), KiB.
const MOST_KIB: u64 = 32 * 1024;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().unwrap_or_else(|| "casemate-agent".into());
    let parts: usize = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(128);
    tell("three sticks", large::carry(&program, parts, 3, 10));
    at_the_depot(|| tell("pull", large::pull(&program, parts, 10)));
}

fn tell(what: &str, figures: Figures) {
    let mebibytes = |bytes: u64| bytes >> 20;
    println!(
        "{what}: {} MiB in {:.0} s; agent {} KiB, reader {} KiB at most; killed {} times; {} MiB sent, {} MiB of them after the repair",
        mebibytes(figures.length),
        figures.seconds,
        figures.agent_kib,
        figures.reader_kib,
        figures.kills,
        mebibytes(figures.sent),
        mebibytes(figures.sent_after_repair),
    );
    assert!(figures.agent_kib <= MOST_KIB && figures.reader_kib <= MOST_KIB, "more than {MOST_KIB} KiB were held");
}
