//! The local API's sockets: one a role.

use std::fmt;
use std::path::PathBuf;

use nix::unistd::Gid;

use super::file::ConfigError;

/// Where the machine's groups stand. Read here, not by the C library: that would ask whatever `nsswitch.conf` names,
/// directories on the network too.
const GROUPS: &str = "/etc/group";

/// What a peer of a local socket may do. The socket it comes through decides, and who may open that is the file
/// system's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read what is current, follow what changes, report whether it works.
    Consumer,
    /// Read how the appliance is.
    Monitor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Consumer, Self::Monitor];

    /// Its name in the configuration, as in `[local.admin]`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Consumer => "consumer",
            Self::Monitor => "monitor",
        }
    }

    /// Where its socket stands unless the file says otherwise.
    pub(super) const fn default_path(self) -> &'static str {
        match self {
            Self::Admin => "/run/casemate/agent.sock",
            Self::Consumer => "/run/casemate/consumer.sock",
            Self::Monitor => "/run/casemate/monitor.sock",
        }
    }

    pub(super) const fn socket_key(self) -> &'static str {
        match self {
            Self::Admin => "local.admin.socket",
            Self::Consumer => "local.consumer.socket",
            Self::Monitor => "local.monitor.socket",
        }
    }

    pub(super) const fn group_key(self) -> &'static str {
        match self {
            Self::Admin => "local.admin.group",
            Self::Consumer => "local.consumer.group",
            Self::Monitor => "local.monitor.group",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One socket of the local API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalSocket {
    /// What its peers may do.
    pub role: Role,
    /// Where it stands, absolute.
    pub path: PathBuf,
    /// The group that may open it beside the agent's own user: mode 0660. Nobody else if absent: mode 0600.
    pub group: Option<String>,
}

impl LocalSocket {
    /// The group's number, looked up now: groups may be made after the file was written.
    ///
    /// # Errors
    /// There is no group of that name in `/etc/group`.
    pub fn gid(&self) -> Result<Option<Gid>, ConfigError> {
        let Some(name) = &self.group else { return Ok(None) };
        let groups = std::fs::read_to_string(GROUPS).unwrap_or_default();
        let gid = number_of(name, &groups);
        gid.map(Some).ok_or_else(|| ConfigError::NoGroup { role: self.role, group: name.clone() })
    }
}

/// The number of the group called `name`, in the form of group(5).
fn number_of(name: &str, groups: &str) -> Option<Gid> {
    let mut entries = groups.lines().map(|line| line.split(':'));
    let mut entry = entries.find(|entry| entry.clone().next() == Some(name))?;
    entry.nth(2)?.parse().ok().map(Gid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_number_its_line_says() {
        let groups = "root:x:0:\nadm:x:4:a,b\nshort:x\nodd:x:minus:\ncasemate-consumer:!:990:\n";
        assert_eq!(number_of("casemate-consumer", groups), Some(Gid::from_raw(990)));
        assert_eq!(number_of("root", groups), Some(Gid::from_raw(0)));
        for name in ["casemate", "short", "odd", "x", ""] {
            assert_eq!(number_of(name, groups), None, "{name}");
        }
    }
}
