//! What this process may still do once it has started: the layers that hold whatever its code comes to.
//!
//! [`confine`] is called before any thread exists. In this order it empties the environment (by starting the program
//! again), gives up privileges, closes the file system and TCP ports off (Landlock), and closes every system call off
//! that the program does not make (seccomp). None of it can be taken back, so a wider policy needs a new process.

mod capabilities;
mod confinement;
pub mod environment;
mod error;
pub mod fence;
pub mod filter;
mod interpreter;

pub use confinement::{Confinement, Layers, Ports, confine, give_up_privileges};
pub use error::ConfineError;
