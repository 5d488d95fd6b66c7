//! Names of appliances, owners and jurisdictions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A text that breaks the rule for names.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// Not a name.
    #[error("{0:?} is no name: 1 to 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit")]
    Name(String),
    /// Not a country.
    #[error("{0:?} is no ISO 3166-1 alpha-2 code: two letters A-Z")]
    Jurisdiction(String),
    /// Not an owner.
    #[error("{0:?} is no owner: group.<name> or tenant.<name>")]
    Owner(String),
}

fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A name of the profile: safe in a path, a role name, a log line. A DNS label (RFC 1123 §2.1) in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let edges = !text.starts_with('-') && !text.ends_with('-');
        if (1..=63).contains(&text.len()) && text.bytes().all(allowed) && edges {
            Ok(Self(text.into()))
        } else {
            Err(IdError::Name(excerpt(text)))
        }
    }
}

/// An appliance's id, chosen by the control plane.
pub type ApplianceId = Name;

/// An ISO 3166-1 alpha-2 code. Data: nothing in the code prefers one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jurisdiction([u8; 2]);

impl FromStr for Jurisdiction {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.as_bytes() {
            [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Ok(Self([*a, *b])),
            _ => Err(IdError::Jurisdiction(excerpt(text))),
        }
    }
}

/// Whoever signs a subtree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Role `group.<name>`, signed by the operator; owns `groups/<name>/…`.
    Group(Name),
    /// Role `tenant.<name>`, signed by the tenant; owns `tenants/<name>/…`.
    Tenant(Name),
}

impl Owner {
    /// The folder the owner's targets and generations stand under: `groups/<name>` or `tenants/<name>`.
    #[must_use]
    pub fn tree(&self) -> String {
        match self {
            Self::Group(name) => format!("groups/{name}"),
            Self::Tenant(name) => format!("tenants/{name}"),
        }
    }

    /// The owner's role: `group.<name>` or `tenant.<name>`.
    #[must_use]
    pub fn role(&self) -> crate::tuf::role::RoleName {
        crate::tuf::role::RoleName::foreign(self.to_string())
    }
}

impl FromStr for Owner {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('.') {
            Some(("group", name)) => name.parse().map(Self::Group),
            Some(("tenant", name)) => name.parse().map(Self::Tenant),
            _ => Err(IdError::Owner(excerpt(text))),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Jurisdiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.0[0]), char::from(self.0[1]))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "group.{name}"),
            Self::Tenant(name) => write!(f, "tenant.{name}"),
        }
    }
}

macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
as_text!(Name, Jurisdiction, Owner);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in ["", "..", "a/b", "-a", "a-", "A", "a b", "a\n", "é", &"a".repeat(64)] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
            assert!(format!("group.{text}").parse::<Owner>().is_err(), "{text:?}");
        }
        assert!("group.clinics".parse::<Owner>().is_ok() && "boundary".parse::<Owner>().is_err());
    }

    #[test]
    fn a_jurisdiction_is_two_capital_letters() {
        assert!("LU".parse::<Jurisdiction>().is_ok());
        for text in ["lu", "LUX", "L", "", "L1"] {
            assert!(text.parse::<Jurisdiction>().is_err(), "{text}");
        }
    }
}
