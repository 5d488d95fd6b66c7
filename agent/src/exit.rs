//! How a command ends: what the operator is told, and the process exit code.

use std::fmt;
use std::process::ExitCode;

use casemate_protocol::code::{Class, Code, Explain};
use serde::{Deserialize, Serialize};

/// What to do about an input that the agent's user cannot reach, though whoever named it can.
pub(crate) const OUT_OF_SIGHT: &str = "Check the path, its permissions and the medium. The service reads as the user \
    casemate and sees neither /root nor /home nor anybody's /tmp: put the bundle on the stick, or where that user may \
    read it, such as /srv.";

/// The process exit code of a daemon that asks to be started anew, because what is in force takes a new process: not a
/// failure (`SuccessExitStatus=`, `RestartForceExitStatus=` in its unit).
pub const RESTART: u8 = 75;

/// An error as an operator sees it: what failed, why, and what to do. Also the body of an error answer of the local
/// API, so that a command prints the same text whether a daemon did the work or the command itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The stable code.
    pub code: Code,
    /// What failed.
    #[serde(rename = "what")]
    pub message: String,
    /// Why, outermost cause first.
    #[serde(default, rename = "why")]
    pub causes: Vec<String>,
    /// What to do.
    pub remedy: String,
}

impl<E: Explain> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

impl Failure {
    /// What the operator is told about `error`.
    #[must_use]
    pub fn of(error: &impl Explain) -> Self {
        let mut causes = Vec::new();
        let mut source = error.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Self { code: error.code(), message: error.to_string(), causes, remedy: error.remedy() }
    }

    /// What failed and why, on one line: for a log.
    #[must_use]
    pub fn told(&self) -> String {
        self.causes.iter().fold(self.message.clone(), |text, cause| text + ": " + cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {} ({})", self.message, self.code)?;
        for cause in &self.causes {
            write!(f, "\n  why: {cause}")?;
        }
        write!(f, "\n  to do: {}", self.remedy)
    }
}

/// The process exit code of an outcome: 0 done, 1 refused, 2 wrong usage, 3 the environment failed, 4 damaged state.
#[must_use]
pub fn status(code: Code) -> u8 {
    match code.class() {
        Class::Done => 0,
        Class::Refused => 1,
        Class::Usage => 2,
        Class::Environment => 3,
        Class::Damaged => 4,
    }
}

/// Tells the operator about a failure, as data too if `json`, and ends with its exit code.
#[must_use]
pub fn report(result: &Result<Code, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(status(*code)),
        Err(failure) => {
            eprintln!("{failure}");
            if json {
                println!("{:#}", serde_json::json!({ "error": failure }));
            }
            ExitCode::from(status(failure.code))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the stick cannot be read")]
    struct Outer(#[source] std::fmt::Error);

    impl Explain for Outer {
        fn code(&self) -> Code {
            Code::InputUnreadable
        }
    }

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let failure = Failure::from(Outer(std::fmt::Error));
        let text = failure.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "error: the stick cannot be read (input-unreadable)");
        assert!(lines[1].starts_with("  why: ") && lines[2].starts_with("  to do: "), "{text}");
    }

    #[test]
    fn each_class_has_its_own_exit_code() {
        let codes = [Code::Applied, Code::NotAddressed, Code::UsageInvalid, Code::DiskFull, Code::StateDamaged];
        assert_eq!(codes.map(status), [0, 1, 2, 3, 4]);
    }
}
