//! `casemate-firmware`.

fn main() -> std::process::ExitCode {
    casemate_firmware::cli::main()
}
