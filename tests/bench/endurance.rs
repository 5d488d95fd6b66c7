//! Hundreds of bundles, good and bad in turn, through one daemon: nothing may be left over.
//!
//! `casemate-bench-endurance PROGRAM [BUNDLES]`

use std::process::ExitCode;

use casemate_tests::endurance::endure;

/// What the second half of the bundles may add to memory, KiB. The store thread's heap takes its last pages at any time: from
/// run to run 50 to 320 KiB. Of 400 bundles, 1.3 KiB kept of each would be more.
const SLACK_KIB: u64 = 512;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().unwrap_or_else(|| "casemate-agent".into());
    let bundles: u64 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(800);
    // By the half everything that has a size of its own has reached it: remembered receipts, events, a journal segment.
    let looks: Vec<u64> = [bundles / 10, bundles / 4, bundles / 2, bundles].to_vec();
    let held = endure(&program, bundles, &looks);
    for (number, held) in looks.iter().zip(&held) {
        println!(
            "after {number:>4} bundles: {} descriptors, {} KiB resident, {} objects, {} generations, {} staged",
            held.descriptors, held.rss_kib, held.objects, held.generations, held.staged
        );
    }
    let [.., half, whole] = held.as_slice() else { return ExitCode::FAILURE };
    match whole.is_no_more_than(half, SLACK_KIB) {
        Ok(()) => ExitCode::SUCCESS,
        Err(more) => {
            println!("not flat: {more}");
            ExitCode::FAILURE
        }
    }
}
