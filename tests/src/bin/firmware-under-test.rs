//! The firmware service as the scenario tests start it: `casemate-firmware` itself, built where cargo tells tests its
//! path.

fn main() -> std::process::ExitCode {
    casemate_firmware::cli::main()
}
