//! Ending a run from elsewhere.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ends what is being read, from another thread. Clones end the same.
#[derive(Clone, Debug, Default)]
pub struct Halt(Arc<Mutex<Line>>);

#[derive(Debug, Default)]
struct Line {
    called: bool,
    /// What leads to the child that runs.
    to_child: Option<UnixStream>,
}

/// As long as this is kept, the child it was made for can be ended.
pub(super) struct Tied<'a>(&'a Halt);

impl Halt {
    /// Whatever reads now, or begins to later, ends without a verdict. What it has verified stays staged.
    pub fn call(&self) {
        let mut line = self.line();
        line.called = true;
        if let Some(to_child) = line.to_child.take() {
            // It fails only if the child has gone already.
            let _gone = to_child.shutdown(Shutdown::Both);
        }
    }

    /// Whether it was called.
    #[must_use]
    pub fn is_called(&self) -> bool {
        self.line().called
    }

    /// Makes that a call closes `to_child`, which is closed at once if there was one.
    pub(super) fn tie(&self, to_child: &UnixStream) -> io::Result<Tied<'_>> {
        let mut line = self.line();
        if line.called {
            to_child.shutdown(Shutdown::Both)?;
        } else {
            line.to_child = Some(to_child.try_clone()?);
        }
        drop(line);
        Ok(Tied(self))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tied<'_> {
    fn drop(&mut self) {
        self.0.line().to_child = None;
    }
}
