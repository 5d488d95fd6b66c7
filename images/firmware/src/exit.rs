//! How a command ends: what the operator is told, and the process exit code.

use std::process::ExitCode;

use casemate_protocol::code::{Class, Code, Explain};
use serde::Serialize;

/// An error as an operator sees it: what failed, why, and what to do. The same shape as the agent's.
#[derive(Debug, Serialize)]
pub struct Failure {
    code: Code,
    #[serde(rename = "what")]
    message: String,
    #[serde(rename = "why")]
    causes: Vec<String>,
    remedy: String,
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: error.code(), message: error.to_string(), causes: causes(&error), remedy: error.remedy() }
    }
}

/// What stands behind an error, outermost cause first.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect()
}

/// Tells the operator about a failure, as data too if `json`; ends with 0 done, 2 usage, 3 the environment.
#[must_use]
pub fn report(result: &Result<(), Failure>, json: bool) -> ExitCode {
    let Err(failure) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {} ({})", failure.message, failure.code);
    for cause in &failure.causes {
        eprintln!("  why: {cause}");
    }
    eprintln!("  to do: {}", failure.remedy);
    if json {
        println!("{:#}", serde_json::json!({ "error": failure }));
    }
    ExitCode::from(match failure.code.class() {
        Class::Done => 0,
        Class::Refused => 1,
        Class::Usage => 2,
        Class::Environment => 3,
        Class::Damaged => 4,
    })
}
