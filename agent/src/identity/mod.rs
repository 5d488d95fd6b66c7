//! The device's private keys. Nothing else holds one, and there is no function that gives one away (R01).

mod certificate_request;
mod device;
mod error;
mod tls_key;

pub use device::Identity;
pub use error::IdentityError;
