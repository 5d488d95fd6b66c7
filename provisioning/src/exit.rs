//! How a command ends: the process exit code and the words of a failure.
//!
//! | exit | meaning |
//! |---|---|
//! | 0 | done, or nothing to do |
//! | 1 | refused: the input is not acceptable, nothing changed |
//! | 2 | the command line or a file an operator wrote is wrong; from `receipt verify`: a receipt does not verify |
//! | 3 | the environment failed: disk, permission, another process |
//! | 4 | stored state is damaged |

use std::process::ExitCode;

use casemate_protocol::code::{Class, Code, Explain};

/// A process exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Everything went well.
    pub(crate) const DONE: Self = Self(0);
    /// A receipt does not verify: what it says proves nothing, whatever it says.
    pub(crate) const RECEIPT_INVALID: Self = Self(2);
}

impl From<Code> for Exit {
    fn from(code: Code) -> Self {
        Self(match code.class() {
            Class::Done => 0,
            Class::Refused => 1,
            Class::Usage => 2,
            Class::Environment => 3,
            Class::Damaged => 4,
        })
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// Any error a command ends with; it always has a code and a remedy.
#[derive(Debug)]
pub(crate) struct Failure(Box<dyn Explain + Send + Sync>);

impl<E: Explain + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

impl Failure {
    /// The process exit code.
    pub(crate) fn exit(&self) -> Exit {
        self.0.code().into()
    }

    /// The stable code.
    pub(crate) fn code(&self) -> Code {
        self.0.code()
    }

    /// What happened.
    pub(crate) fn what(&self) -> String {
        self.0.to_string()
    }

    /// Why: the chain of causes, nearest first.
    pub(crate) fn why(&self) -> Vec<String> {
        causes(self.0.as_ref())
    }

    /// What to do about it.
    pub(crate) fn remedy(&self) -> String {
        self.0.remedy()
    }
}

/// The chain of causes behind `error`, nearest first.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_documented_exit() {
        assert_eq!(Exit::from(Code::Applied), Exit::DONE);
        assert_eq!(Exit::from(Code::NotAddressed), Exit(1));
        assert_eq!(Exit::from(Code::SiteInvalid), Exit(2));
        assert_eq!(Exit::from(Code::StateBusy), Exit(3));
        assert_eq!(Exit::from(Code::StateDamaged), Exit(4));
    }
}
