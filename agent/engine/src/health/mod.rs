//! Whether what is on trial works.

mod gate;

pub use gate::Gate;
