//! The site folder: what an operator writes, reviewable in git, no keys in it.
//!
//! | file | what it is | module |
//! |---|---|---|
//! | `site.toml` | jurisdiction, expiries, persons | [`settings`] |
//! | `appliances.csv` | which appliance serves which groups | [`inventory`] |
//! | `appliances/<id>.json` | an enrolled appliance's public keys | [`enrolled`] |
//! | `groups/<group>/bundle.toml`, `files/**` | what a group's appliances get | [`group`] |
//! | `boundary/envelope.toml`, `boundary/<name>.toml` | what may be exchanged with whom | [`boundary`] |
//! | `groups/<group>/values/<group or id>.toml` | what `{{ name }}` stands for | [`values`], [`template`] |
//! | `ca/**` | who holds which certificate | [`crate::authority`] |
//!
//! Everything is typed and unknown keys are errors; every error names file and line ([`finding`]).

pub(crate) mod boundary;
pub(crate) mod enrolled;
pub(crate) mod finding;
pub(crate) mod folder;
pub(crate) mod group;
pub(crate) mod inventory;
pub(crate) mod settings;
pub(crate) mod template;
pub(crate) mod values;

pub(crate) use finding::SiteError;
pub(crate) use folder::{Layout, Site};
