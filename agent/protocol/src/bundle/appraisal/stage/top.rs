//! Roots, timestamp, snapshot, targets.

use super::super::case::{Case, Pending, Step};
use super::super::refusal::Refusal;
use super::super::request::Request;
use super::super::verdict::Disposition;
use super::bins::Bins;
use super::{Stage, misplaced};
use crate::bundle::archive::{Member, MemberKind};
use crate::tuf::client::{Client, Optional, Want};
use crate::tuf::role::{RoleName, Version};

const ORDER: &str = "roots, timestamp, snapshot and targets come first, in this order";

/// Which of the four came last.
#[derive(Debug, Default)]
pub(in super::super) struct Top {
    last: Option<(usize, Version)>,
}

/// The place of a top-level role.
fn rank(role: &RoleName) -> Option<usize> {
    ["root", "timestamp", "snapshot", "targets"].iter().position(|name| *name == role.as_str())
}

impl Top {
    pub(super) fn member(&mut self, case: &mut Case, member: Option<&Member>) -> Result<Step, Refusal> {
        let found = member.and_then(|member| match &member.kind {
            MemberKind::Metadata { role, version } => Some((member, role, rank(role)?, *version)),
            _ => None,
        });
        if let Some((member, _, rank, version)) = found {
            let in_order = match self.last {
                None => true,
                Some((0, last)) if rank == 0 => version > last,
                Some((last, _)) => rank > last,
            };
            if !in_order {
                return Err(misplaced(member, ORDER));
            }
        }
        while let Want::Metadata { role, version: wanted, max_length, optional, .. } = case.client.want() {
            match (found, member) {
                (Some((member, name, rank, version)), _) if *name == role => {
                    self.last = Some((rank, version));
                    if let Some(step) = asked(name, version, wanted)? {
                        return Ok(step);
                    }
                    return case.read(member, max_length, Pending::Top { role, version });
                }
                (None, None) => case.client.absent()?,
                _ if optional == Optional::Yes => {
                    case.client.absent()?;
                    governed(case)?;
                }
                (_, Some(member)) => return Err(misplaced(member, ORDER)),
                (Some(_), None) => break,
            }
        }
        match found {
            None => Ok(Step::Next(Box::new(Self::leave(case)?))),
            Some((_, role, rank, version)) => {
                self.last = Some((rank, version));
                held(case, role, version)
            }
        }
    }

    /// All four are known: what comes next.
    pub(super) fn leave(case: &Case) -> Result<Stage, Refusal> {
        governed(case)?;
        Ok(Stage::Bins(Bins::default()))
    }

    /// Snapshot or targets that the client had from earlier, so that they were not handed in.
    pub(in super::super) fn passed_over(&self, client: &Client) -> Option<Request> {
        let (last, _) = self.last?;
        let snapshot = client.snapshot().map(|snapshot| (snapshot.get().version, snapshot.raw()));
        let targets = client.targets().map(|targets| (targets.get().version, targets.raw()));
        let known = [(RoleName::snapshot(), snapshot), (RoleName::targets(), targets)];
        let (role, found) = known.into_iter().find(|(role, _)| rank(role) > Some(last))?;
        found.map(|(version, raw)| Request::Known { kind: MemberKind::Metadata { role, version }, raw: raw.to_vec() })
    }
}

/// The client asks for `role`: whether this version is the one, is known already, or leaves a gap.
fn asked(role: &RoleName, found: Version, wanted: Option<Version>) -> Result<Option<Step>, Refusal> {
    match wanted {
        Some(wanted) if *role == RoleName::root() && found < wanted => Ok(Some(Step::Do(Disposition::Skip))),
        Some(wanted) if *role == RoleName::root() && found > wanted => {
            let after = Version::new(wanted.get() - 1).unwrap_or(wanted);
            Err(Refusal::RootGap { after, found })
        }
        Some(expected) if found != expected => Err(Refusal::Version { role: role.clone(), expected, found }),
        _ => Ok(None),
    }
}

/// The chain of roots is complete: it must govern the appliance that asks.
fn governed(case: &Case) -> Result<(), Refusal> {
    let found = case.jurisdiction()?;
    match case.device() {
        Some(device) if device.jurisdiction != found => {
            Err(Refusal::Jurisdiction { whose: "root", expected: device.jurisdiction, found })
        }
        _ => Ok(()),
    }
}

/// Metadata the client has already from earlier: its name must be the one signed metadata gives.
fn held(case: &Case, role: &RoleName, found: Version) -> Result<Step, Refusal> {
    let client = &case.client;
    let expected = match role.as_str() {
        "timestamp" => client.timestamp().map(|timestamp| timestamp.get().version),
        "snapshot" => client.snapshot().map(|snapshot| snapshot.get().version),
        "targets" => client.targets().map(|targets| targets.get().version),
        _ => Some(client.root().get().version),
    };
    match expected {
        Some(expected) if expected != found => Err(Refusal::Version { role: role.clone(), expected, found }),
        _ => Ok(Step::Do(Disposition::Skip)),
    }
}
