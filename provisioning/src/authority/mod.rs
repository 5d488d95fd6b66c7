//! The site's certificate authority: who holds which certificate, for connections alone. Roles are signed with other
//! keys; nothing here lets anybody change an appliance.
//!
//! | file of the site | what it is | module |
//! |---|---|---|
//! | `ca/authority.pem` | the authority's certificate; its key is in the keys folder | [`certificate`] |
//! | `ca/crl.pem` | which certificates are revoked | [`crl`] |
//! | `ca/issued.csv` | every certificate ever issued | [`register`] |
//! | `ca/certificates/<kind>/<id>.pem` | the newest certificate of each holder | [`folder`] |
//! | `ca/anchors/*.pem` | further authorities that appliances accept, with their revocation lists | [`folder`] |

pub(crate) mod certificate;
pub(crate) mod crl;
mod error;
pub(crate) mod folder;
pub(crate) mod issuer;
pub(crate) mod pem;
pub(crate) mod register;
pub(crate) mod request;
pub(crate) mod transport;

pub(crate) use certificate::Certificate;
pub(crate) use crl::Crl;
pub(crate) use error::AuthorityError;
pub(crate) use folder::Folder;
pub(crate) use issuer::Issuer;
