//! The agent as the scenario tests start it: `casemate-agent` itself, with the samples' clock, built where cargo tells
//! tests its path.

fn main() -> std::process::ExitCode {
    casemate_agent::program::main(casemate_tests::appliance::wall_clock)
}
