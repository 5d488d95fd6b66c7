//! `casemate codes`: the text of docs/codes.md.

use casemate_protocol::code::{Class, Code};
use serde_json::json;

use crate::cli::Context;
use crate::exit::{Exit, Failure};

const HEAD: &str = "\
# Codes

Every outcome and every error has one of these codes: the same word in the command line's errors, `--json`, receipts, the
journal and health. Codes are never renamed and never reused. The exit is what a command that ends with the code
returns to the shell. (Printed by `casemate codes`; a test keeps this file equal to it.)

| code | exit | meaning | what to do |
|---|---|---|---|
";

/// Runs it.
pub(crate) fn run(context: &Context) -> Result<Exit, Failure> {
    let values: Vec<_> = Code::ALL
        .iter()
        .map(|code| json!({ "code": code, "exit": exit(*code), "meaning": code.meaning(), "remedy": code.remedy() }))
        .collect();
    context.output.data(&json!({ "codes": values }), table());
    Ok(Exit::DONE)
}

fn exit(code: Code) -> u8 {
    match code.class() {
        Class::Done => 0,
        Class::Refused => 1,
        Class::Usage => 2,
        Class::Environment => 3,
        Class::Damaged => 4,
    }
}

fn table() -> String {
    let rows = Code::ALL
        .iter()
        .map(|code| format!("| `{code}` | {} | {} | {} |\n", exit(*code), code.meaning(), code.remedy()));
    HEAD.to_owned() + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_table_is_the_printed_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/codes.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == super::table(), "run `cargo run -p casemate -- codes > docs/codes.md`");
    }
}
