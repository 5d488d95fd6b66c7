//! One bundle over several sticks: each holds all of its metadata and some of its parts.

use casemate_tests::large;

use super::AGENT;

#[test]
fn three_sticks_make_one_file_whoever_is_killed_between_them_and_a_flipped_bit_is_named() {
    let figures = large::carry(AGENT, 3, 3, 2);
    assert_eq!(figures.kills, 2);
    assert!(figures.agent_kib <= 32 << 10 && figures.reader_kib <= 32 << 10, "{figures:?}");
}
