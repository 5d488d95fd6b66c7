//! `casemate-agent`.

use casemate_agent::clock::WallClock;

fn main() -> std::process::ExitCode {
    casemate_agent::program::main(WallClock::system)
}
