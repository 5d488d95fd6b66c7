//! The documents as signed and read.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::BoundaryError;
use super::flow::Flow;
use super::policy::{Policy, check_tenant};
use crate::canonical;
use crate::device::id::{Jurisdiction, Name, Owner};

/// `format` of every boundary document written here.
pub const FORMAT: u32 = 1;
/// Longest boundary document read, bytes: [`Policy::check`]'s limits leave room in it.
pub const MAX_DOCUMENT: u64 = 256 * 1024;

/// The content of `boundary/<name>.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boundary {
    /// [`FORMAT`].
    pub format: u32,
    /// By which assignments name it.
    pub name: Name,
    /// Must equal the root's.
    pub jurisdiction: Jurisdiction,
    /// What may be exchanged with whom.
    pub allow: Policy,
}

impl Boundary {
    /// The target path of the boundary `name`.
    #[must_use]
    pub fn target_path(name: &Name) -> String {
        format!("boundary/{name}.json")
    }

    /// The boundary in `raw`, every rule but the envelope's checked ([`super::Envelope::admit`]).
    ///
    /// # Errors
    /// Malformed, another boundary than `name`, or an entry that breaks a rule.
    pub fn parse(raw: &[u8], name: &Name) -> Result<Self, BoundaryError> {
        let boundary: Self = read(raw, "a boundary", |boundary: &Self| boundary.format)?;
        if boundary.name != *name {
            return Err(BoundaryError::Name { expected: name.to_string(), found: boundary.name.to_string() });
        }
        boundary.allow.check()?;
        Ok(boundary)
    }
}

/// What a tenant leaves of the flows the boundary gives it: the content of `tenants/<id>/boundary.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantFlows {
    /// [`FORMAT`].
    pub format: u32,
    /// Each within one of the tenant's own; at most 32.
    pub flows: Vec<Flow>,
}

impl TenantFlows {
    /// The target path in `owner`'s tree.
    #[must_use]
    pub fn target_path(owner: &Owner) -> String {
        format!("{}/boundary.json", owner.tree())
    }

    /// The document in `raw`; [`Policy::narrowed_by`] judges it against the boundary.
    ///
    /// # Errors
    /// Malformed, a flow that breaks a rule, or too many.
    pub fn parse(raw: &[u8]) -> Result<Self, BoundaryError> {
        let document: Self = read(raw, "a tenant's boundary", |document: &Self| document.format)?;
        check_tenant(&document.flows)?;
        Ok(document)
    }
}

/// Less than the boundary, of anything; unsigned, because it can only take away. A site's own, or what remains after a
/// wider boundary was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowing {
    /// [`FORMAT`].
    pub format: u32,
    /// In force is what the boundary and this allow.
    pub allow: Policy,
}

impl Narrowing {
    /// The document in `raw`.
    ///
    /// # Errors
    /// Malformed, or an entry that breaks a rule.
    pub fn parse(raw: &[u8]) -> Result<Self, BoundaryError> {
        let narrowing: Self = read(raw, "a narrowing", |document: &Self| document.format)?;
        narrowing.allow.check()?;
        Ok(narrowing)
    }
}

pub(super) fn read<T: DeserializeOwned>(
    raw: &[u8],
    expected: &'static str,
    format: impl Fn(&T) -> u32,
) -> Result<T, BoundaryError> {
    let length = raw.len() as u64;
    if length > MAX_DOCUMENT {
        return Err(BoundaryError::Length(length));
    }
    let value = canonical::parse(raw)?;
    let document = serde_json::from_value(value).map_err(|source| BoundaryError::Shape { expected, source })?;
    match format(&document) {
        FORMAT => Ok(document),
        other => Err(BoundaryError::Format(other)),
    }
}
