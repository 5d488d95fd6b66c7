//! The only place that holds private keys.

pub(crate) mod certificate_key;
pub(crate) mod file;
pub(crate) mod keyring;

pub(crate) use certificate_key::{Algorithm, CertificateKey};
pub(crate) use file::{FileKey, KeyError, public_path};
pub(crate) use keyring::Keyring;
