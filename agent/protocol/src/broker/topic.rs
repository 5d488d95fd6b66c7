//! Topics: one tree for each appliance and each group.

use std::fmt;

use crate::device::id::{ApplianceId, Name};
use crate::digest::Digest;

/// What every topic begins with.
pub const PREFIX: &str = "casemate/v1";
/// Longest topic an answer is sent to, bytes.
const MAX_ANSWER_TOPIC: usize = 256;

/// Whose tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One appliance.
    Appliance(ApplianceId),
    /// All appliances of a group.
    Group(Name),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appliance(id) => write!(f, "{PREFIX}/appliances/{id}"),
            Self::Group(group) => write!(f, "{PREFIX}/groups/{group}"),
        }
    }
}

/// A topic. Its `Display` is the topic itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// Which bundle the broker holds; retained.
    Announce(&'a Scope),
    /// One chunk of a bundle; retained, expires.
    Chunk(&'a Scope, Digest, usize),
    /// Whether the appliance is connected; retained, also its will.
    Presence(&'a ApplianceId),
    /// One receipt.
    Receipt(&'a ApplianceId, u64),
    /// Health reports.
    Health(&'a ApplianceId),
    /// What the appliance is asked.
    Requests(&'a ApplianceId),
}

impl fmt::Display for Topic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announce(scope) => write!(f, "{scope}/bundles/announce"),
            Self::Chunk(scope, bundle, index) => write!(f, "{scope}/bundles/{bundle}/{index}"),
            Self::Presence(id) => write!(f, "{PREFIX}/appliances/{id}/presence"),
            Self::Receipt(id, sequence) => write!(f, "{PREFIX}/appliances/{id}/receipts/{sequence}"),
            Self::Health(id) => write!(f, "{PREFIX}/appliances/{id}/health"),
            Self::Requests(id) => write!(f, "{PREFIX}/appliances/{id}/requests"),
        }
    }
}

/// Where answers may be sent: everything below this topic.
#[must_use]
pub fn answers(id: &ApplianceId) -> String {
    format!("{PREFIX}/appliances/{id}/responses/")
}

/// Whether an answer may be sent to `topic`: inside the appliance's own tree, where nothing else is said, and no wild
/// card or character that brokers treat in a way of their own.
#[must_use]
pub fn is_answer_topic(id: &ApplianceId, topic: &str) -> bool {
    let rest = topic.strip_prefix(&answers(id));
    topic.len() <= MAX_ANSWER_TOPIC
        && rest.is_some_and(|rest| {
            rest.split('/').all(|level| {
                !level.is_empty() && level.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            })
        })
}

/// The filter that finds every chunk retained for `scope`.
#[must_use]
pub fn filter_of_others(scope: &Scope) -> String {
    format!("{scope}/bundles/+/+")
}

/// What stands under [`Topic::Presence`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Connected.
    Online,
    /// Not connected.
    Offline,
}

impl Presence {
    /// The payload.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_stand_in_the_tree_of_whom_they_are_for() {
        let id: ApplianceId = "clinic-7".parse().unwrap();
        let scope = Scope::Group("clinics".parse().unwrap());
        assert_eq!(Topic::Announce(&scope).to_string(), "casemate/v1/groups/clinics/bundles/announce");
        assert_eq!(Topic::Receipt(&id, 12).to_string(), "casemate/v1/appliances/clinic-7/receipts/12");
        let bundle = Digest::of(b"");
        let chunk = Topic::Chunk(&Scope::Appliance(id), bundle, 3).to_string();
        assert_eq!(chunk, format!("casemate/v1/appliances/clinic-7/bundles/{bundle}/3"));
    }

    #[test]
    fn answers_stay_in_the_appliances_own_tree_where_nothing_else_is_said() {
        let id: ApplianceId = "clinic-7".parse().unwrap();
        assert!(is_answer_topic(&id, "casemate/v1/appliances/clinic-7/responses/a/B_1.2"), "control");
        for topic in [
            "",
            "elsewhere",
            "casemate/v1/appliances/clinic-7/responses",
            "casemate/v1/appliances/clinic-7/responses/",
            "casemate/v1/appliances/clinic-7/responses/a//b",
            "casemate/v1/appliances/clinic-7/responses/+",
            "casemate/v1/appliances/clinic-7/responses/#",
            "casemate/v1/appliances/clinic-7/responses/a\0",
            "casemate/v1/appliances/clinic-7/presence",
            "casemate/v1/appliances/clinic-7/bundles/announce",
            "casemate/v1/appliances/clinic-8/responses/a",
            "casemate/v1/appliances/clinic-77/responses/a",
            "/casemate/v1/appliances/clinic-7/responses/a",
        ] {
            assert!(!is_answer_topic(&id, topic), "{topic}");
        }
        assert!(!is_answer_topic(&id, &format!("{}{}", answers(&id), "a".repeat(256))));
    }
}
