//! 200 bundles, good and bad in turn, through one daemon: nothing may be left over.
//!
//! `casemate-bench-endurance PROGRAM [BUNDLES]`

use casemate_tests::endurance::endure;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let program = arguments.next().unwrap_or_else(|| "casemate-agent".into());
    let bundles: u64 = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(200);
    let looks: Vec<u64> = [bundles / 10, bundles / 2, bundles].to_vec();
    for (number, held) in looks.iter().zip(endure(&program, bundles, &looks)) {
        println!(
            "after {number:>4} bundles: {} descriptors, {} KiB resident, {} objects, {} generations, {} staged",
            held.descriptors, held.rss_kib, held.objects, held.generations, held.staged
        );
    }
}
