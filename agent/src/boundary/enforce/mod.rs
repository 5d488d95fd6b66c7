//! `boundary enforce`: the kernel lets pass what the boundary names, for the whole machine.
//!
//! A one-shot of root's that trusts nobody else on the machine: it has its own anchor (`pin`), its own floors
//! ([`kept`]), takes one copy of what the agent hands over ([`input`]), judges that copy by the same verifier that
//! judges bundles, decides what comes into force ([`decision`]), renders it ([`ruleset`]) and loads it in one
//! transaction ([`nft`]). An agent in an attacker's hands can hand over anything: nothing older, wider or of somebody
//! else comes into force, and the last good rules stay.

pub mod decision;
pub mod device;
mod enforcer;
mod error;
pub mod input;
pub mod kept;
mod loader;
pub mod nft;
pub mod observed;
mod pin;
pub mod ruleset;
mod unit;

pub use self::enforcer::{Enforcer, Places, Wish};
pub use self::error::EnforceError;
pub use self::kept::DEFAULT_PATH;
pub use self::pin::Pin;
pub use self::unit::Unit;
